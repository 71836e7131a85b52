"""The file of an experiment: which networks are trained, how, and how they are evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, PlainValidator

from mtl_perception.data.yaml_file import brief, load_yaml, Place
from mtl_perception.data.yaml_model import OptionalKey, problem, Section, validate_yaml

TEACHERS = {'detection_teacher': 'detection', 'segmentation_teacher': 'segmentation'}
"""Option of `mtl distill` -> task of the teacher."""


@dataclass(frozen=True)
class Network:
    """One of the networks that are compared."""

    name: str
    options: dict[str, Any]
    """Options of `mtl train`: those of the experiment, overridden by the network's own."""
    teachers: dict[str, str]
    """Option of `mtl distill` -> name of the network that is the teacher."""
    seeds: tuple[int, ...]

    def has(self, task: str) -> bool:
        """Return whether the network is trained for `task`."""
        return self.options.get('tasks', 'both') in ('both', task)


@dataclass(frozen=True)
class Experiment:
    """The networks to train and how to evaluate them."""

    manifest: Path
    networks: tuple[Network, ...]
    evaluate: dict[str, Any]
    """Options of `mtl evaluate`."""

    def seeds(self) -> tuple[int, ...]:
        """Return all seeds, in the order of the file."""
        return tuple(dict.fromkeys(seed for one in self.networks for seed in one.seeds))


def _check_seeds(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not value \
            or not all(type(seed) is int and seed >= 0 for seed in value):
        raise problem(f'is a list of whole numbers, not {brief(value)}')
    return tuple(value)


def _check_name(name: str) -> str:
    if not name.replace('_', '').replace('-', '').isalnum():
        raise problem('is not a valid name of a network: letters, digits, - and _')
    return name


Seeds = Annotated[tuple[int, ...], PlainValidator(_check_seeds)]


class _NetworkSection(Section):
    """Seeds, teachers, and any options of `mtl train`."""

    model_config = ConfigDict(extra='allow')

    seeds: OptionalKey[Seeds] = None
    detection_teacher: OptionalKey[str] = None
    segmentation_teacher: OptionalKey[str] = None


class _ExperimentSection(Section):
    manifest: str
    seeds: Seeds = (0,)
    train: dict[str, Any] = Field(default_factory=dict)
    networks: dict[Annotated[str, AfterValidator(_check_name)], _NetworkSection]
    evaluate: dict[str, Any] = Field(default_factory=dict)


def load_experiment(path: Path) -> Experiment:
    """Return the experiment in a YAML file; ConfigError names a key with an invalid value."""
    file = load_yaml(path)
    content = validate_yaml(file, _ExperimentSection)
    top = Place(file) / 'networks'
    networks: dict[str, Network] = {}
    for name, section in content.networks.items():
        seeds = section.seeds or content.seeds
        teachers = {key: getattr(section, key) for key in TEACHERS
                    if getattr(section, key) is not None}
        for key, teacher in teachers.items():
            if teacher not in networks or not set(seeds) <= set(networks[teacher].seeds):
                raise (top / name / key).error('names no network above that has the same seeds')
        networks[name] = Network(
            name, {**content.train, **(section.model_extra or {})}, teachers, seeds)
    if not networks:
        raise top.error('names no network')
    return Experiment(path.parent / content.manifest, tuple(networks.values()), content.evaluate)
