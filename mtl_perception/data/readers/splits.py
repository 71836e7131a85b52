"""How a manifest names the images of a split: the types of split that a reader may declare."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, field_validator, PlainValidator, WrapValidator

from mtl_perception.data.set_spec import FlightSplit, ListSplit, Split
from mtl_perception.data.yaml_file import brief
from mtl_perception.data.yaml_model import problem, Section

_NO_SOURCE = 'is the name of a file or folder, or a list of stems, not '


class _ListedSection(Section):
    source: Any = Field(alias='list')
    without: str

    @field_validator('source')
    @classmethod
    def _check_source(cls, value: Any) -> str | tuple[str, ...]:
        return _source(value)


class _FlightSection(Section):
    first_seed: int = Field(ge=0)
    flights: int = Field(ge=1)
    frames: int = Field(ge=1)


def _source(value: Any) -> str | tuple[str, ...]:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, list) and value and all(isinstance(s, str) and s for s in value):
        return tuple(value)
    raise problem(f'{_NO_SOURCE}{brief(value)}')


def _listed(value: Any, validate: Any) -> Split:
    if isinstance(value, dict):
        section: _ListedSection = validate(value)
        return ListSplit(section.source, section.without)
    source = _source(value)
    return source if isinstance(source, str) else ListSplit(source)


def _one_file(value: Any) -> str:
    if isinstance(value, str) and value:
        return value
    raise problem(f'is the name of a file, not {brief(value)}')


def _flights(section: _FlightSection) -> FlightSplit:
    return FlightSplit(section.first_seed, section.flights, section.frames)


ListedSplit = Annotated[_ListedSection, WrapValidator(_listed)]
"""A file that lists images, a folder of them, a list of stems, or `{list:, without:}`."""

OneFileSplit = Annotated[str, PlainValidator(_one_file)]
"""A file that lists and annotates its images."""

FlightsSplit = Annotated[_FlightSection, AfterValidator(_flights)]
"""Synthetic flights: `{first_seed:, flights:, frames:}`."""
