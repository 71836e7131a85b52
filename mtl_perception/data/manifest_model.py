"""
The keys of a manifest and the types of their values, as pydantic models.

What depends on the label sets (whether a name is a class) is checked by
``mtl_perception.data.label_meaning`` and ``mtl_perception.data.manifest`` afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, reduce
from operator import or_
from types import GenericAlias
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    create_model,
    Field,
    field_validator,
    model_validator,
    PlainValidator,
    ValidationInfo,
)

from mtl_perception.data.readers.registry import Reader, ReaderOptions
from mtl_perception.data.yaml_file import brief, Keys
from mtl_perception.data.yaml_model import KEY, OptionalKey, problem, Section
from mtl_perception.labels import Color

MAX_CROP_SIDE = 16384
MAX_WEIGHT = 1000
MAX_PASTED = 10
MIN_SCALE, MAX_SCALE = 0.05, 20

TASK_LABELS = {'detection': 'boxes', 'segmentation': 'masks'}
"""Task -> the key of a set with its labels."""

_OPTIONAL_KEYS: dict[str, Callable[[Reader], bool]] = {
    'boxes': lambda reader: reader.boxes, 'masks': lambda reader: reader.masks,
    'colors': lambda reader: reader.colors, 'crops': lambda reader: reader.image_files}
"""Key of a set -> whether a reader supports it."""


def _weight(value: float) -> float:
    if not 0 <= value <= MAX_WEIGHT:
        raise problem(f'is a weight in 0..{MAX_WEIGHT}, not {value}')
    return value


def _positive_weight(value: float) -> float:
    if not value > 0:
        raise problem(f'is a weight in 0..{MAX_WEIGHT} and not 0, not {value}')
    return _weight(value)


def _pasted(value: float) -> float:
    if not 0 < value <= MAX_PASTED:
        raise problem(f'is a mean number of objects above 0 and up to {MAX_PASTED}, not {value}')
    return value


def _length(value: float) -> float:
    if not value > 0:
        raise problem(f'is a length in pixels, not {value}')
    return value


def _class_names(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise problem(f'is a list of class names, not {brief(value)}')
    return value


def _one_or_more_class_names(value: Any) -> list[Any]:
    return [value] if isinstance(value, str) else _class_names(value)


def _color(value: Any) -> Color:
    if not isinstance(value, list) or len(value) != 3 \
            or not all(type(level) is int and 0 <= level <= 255 for level in value):
        raise problem(f'is [red, green, blue] in 0..255, not {brief(value)}')
    return value[0], value[1], value[2]


def _scale(value: Any) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2 \
            or not all(type(factor) in (int, float) for factor in value) \
            or not MIN_SCALE <= value[0] <= value[1] <= MAX_SCALE:
        raise problem(f'is [low, high] within {MIN_SCALE}..{MAX_SCALE}, not {brief(value)}')
    return float(value[0]), float(value[1])


def _set_name(name: str) -> str:
    if not name or set(name) & set('/\\,') or name.strip() != name:
        raise problem('is not a valid name of a set: no slashes, commas or outer spaces')
    return name


Weight = Annotated[float, AfterValidator(_weight)]
Pasted = Annotated[float, AfterValidator(_pasted)]
PositiveWeight = Annotated[float, AfterValidator(_positive_weight)]
SetName = Annotated[str, AfterValidator(_set_name)]
ClassNames = Annotated[list[Any], PlainValidator(_class_names)]
MaskClasses = Annotated[list[Any], PlainValidator(_one_or_more_class_names)]
MaskColor = Annotated[Color, PlainValidator(_color)]


class DetectionSection(Section):
    """The key `detection`."""

    names: list[Any]
    colors: list[Any] = Field(default_factory=list)
    score_groups: dict[str, ClassNames] = Field(default_factory=dict)


class SegmentationSection(Section):
    """The key `segmentation`."""

    names: list[Any]
    colors: list[Any] = Field(default_factory=list)
    weights: dict[str, PositiveWeight] = Field(default_factory=dict)


class LengthRule(Section):
    """A value of `by_length`."""

    at_least: Annotated[float, AfterValidator(_length)]
    class_name: str = Field(alias='class')


class BoxesSection(Section):
    """The key `boxes` of a set."""

    classes: dict[str, str | None]
    complete: ClassNames
    by_length: dict[str, LengthRule] = Field(default_factory=dict)


class CropsSection(Section):
    """The key `crops` of a set."""

    side: int
    overlap: int = 0

    @field_validator('side')
    @classmethod
    def _check_side(cls, side: int) -> int:
        if not 32 <= side <= MAX_CROP_SIDE:
            raise problem(f'is a length in 32..{MAX_CROP_SIDE} pixels, not {side}')
        return side

    @field_validator('overlap')
    @classmethod
    def _check_overlap(cls, overlap: int, info: ValidationInfo) -> int:
        most = info.data.get('side', MAX_CROP_SIDE) // 2
        if not 0 <= overlap <= most:
            raise problem(f'is a length in 0..{most} pixels, at most half of the side, '
                          f'not {overlap}')
        return overlap


class SetSection(Section):
    """A data set; the type of `splits` and `options` is what its reader declares."""

    reader: str
    boxes: OptionalKey[BoxesSection] = None
    masks: OptionalKey[dict[str, MaskClasses]] = None
    colors: OptionalKey[dict[str, MaskColor]] = None
    boxes_as_masks: OptionalKey[dict[str, str]] = None
    masks_as_background: OptionalKey[dict[str, ClassNames]] = None
    paste: OptionalKey[dict[str, Pasted]] = None
    weight: OptionalKey[dict[str, Weight]] = None
    path: OptionalKey[str] = None
    splits: dict[str, Any]
    scale: Annotated[tuple[float, float], PlainValidator(_scale)] = (1.0, 1.0)
    options: ReaderOptions
    crops: OptionalKey[CropsSection] = None
    black_hot: bool = False

    @model_validator(mode='before')
    @classmethod
    def _weigh_each_task(cls, value: Any) -> Any:
        """Turn a `weight` that is one number into that of each task whose labels the set has."""
        if not isinstance(value, dict) or isinstance(value.get('weight', {}), dict):
            return value
        tasks = [task for task, labels in TASK_LABELS.items() if labels in value]
        return {**value, 'weight': dict.fromkeys(tasks, value['weight'])}

    @field_validator('splits')
    @classmethod
    def _check_splits(cls, splits: dict[str, Any]) -> dict[str, Any]:
        if not splits:
            raise problem('names no split')
        return splits


class ManifestSection(Section):
    """The whole file."""

    root: str = '.'
    detection: OptionalKey[DetectionSection] = None
    segmentation: OptionalKey[SegmentationSection] = None
    sets: dict[SetName, SetSection]

    @field_validator('sets')
    @classmethod
    def _check_sets(cls, sets: dict[str, SetSection]) -> dict[str, SetSection]:
        if not sets:
            raise problem('names no data set')
        return sets


@lru_cache(maxsize=2)
def manifest_model(readers: tuple[Reader, ...]) -> type[ManifestSection]:
    """Return the model of a manifest whose sets are of `readers`."""
    of_any = reduce(or_, (_set_model(reader, readers) for reader in readers))
    of_one: Any = Annotated[of_any, Field(discriminator='reader')]
    return create_model(
        'Manifest', __base__=ManifestSection, sets=(dict[SetName, of_one], ...))


def keys_in_file(location: Keys) -> Keys:
    """Return the keys of an error's location, which has the reader's name below that of a set."""
    if location[:1] == ('sets',) and location[2:] and location[2:] != (KEY,):
        return (*location[:2], *location[3:])
    return location


def _set_model(reader: Reader, readers: tuple[Reader, ...]) -> type[SetSection]:
    splits = GenericAlias(dict, (str, reader.split))
    required = any(field.is_required() for field in reader.options.model_fields.values())
    fields: dict[str, Any] = {
        'reader': (Literal[reader.name], ...),
        'splits': (splits, dict(reader.default_splits) or ...),
        'options': (reader.options, ... if required else reader.options())}
    for key, support in _OPTIONAL_KEYS.items():
        if not support(reader):
            able = [other.name for other in readers if support(other)]
            fields[key] = (Annotated[Any, PlainValidator(_unsupported(reader, able))], None)
    return create_model(f'Set_{reader.name}', __base__=SetSection, **fields)


def _unsupported(reader: Reader, able: list[str]) -> Callable[[Any], Any]:
    def reject(_: Any) -> Any:
        raise problem(f'are not supported by the reader {reader.name!r}, only by '
                      + ', '.join(able))

    return reject
