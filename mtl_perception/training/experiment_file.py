"""The file of an experiment: which networks are trained, how, and how they are evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtl_perception.data.yaml_section import read_yaml, Section

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


def load_experiment(path: Path) -> Experiment:
    """Return the experiment in a YAML file; ConfigError names a key with an invalid value."""
    top = read_yaml(path)
    manifest = path.parent / top.take('manifest', str)
    seeds = _seeds(top, (0,))
    common = _options(top, 'train')
    section = top.section('networks')
    networks: list[Network] = []
    for name in section.names():
        if not name.replace('_', '').replace('-', '').isalnum():
            raise section.error(name, 'is a name of letters, digits, - and _')
        one = section.section(name)
        own_seeds = _seeds(one, seeds)
        teachers = {key: one.take(key, str) for key in TEACHERS if key in one}
        for key, teacher in teachers.items():
            known = {other.name: other for other in networks}
            if teacher not in known or not set(own_seeds) <= set(known[teacher].seeds):
                raise one.error(key, 'names a network further up that has the same seeds')
        networks.append(Network(
            name, {**common, **{key: one.take_any(key) for key in one.names()}}, teachers,
            own_seeds))
    if not networks:
        raise top.error('networks', 'names none')
    evaluate = _options(top, 'evaluate')
    top.done()
    return Experiment(manifest, tuple(networks), evaluate)


def _options(section: Section, key: str) -> dict[str, Any]:
    if key not in section:
        return {}
    own = section.section(key)
    return {name: own.take_any(name) for name in own.names()}


def _seeds(section: Section, default: tuple[int, ...]) -> tuple[int, ...]:
    seeds = section.take('seeds', list, list(default))
    if not seeds or not all(type(seed) is int and seed >= 0 for seed in seeds):
        raise section.error('seeds', f'is a list of whole numbers, not {seeds}')
    return tuple(seeds)
