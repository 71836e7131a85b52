"""Construction of a network from its spec."""

from __future__ import annotations

from dataclasses import fields

from mtl_perception.errors import ConfigError
from mtl_perception.models.architecture import Architecture
from mtl_perception.models.lean import LeanNetwork
from mtl_perception.models.thesis import ThesisNetwork
from mtl_perception.spec import ModelSpec

ARCHITECTURES: dict[str, type[Architecture]] = {'lean': LeanNetwork, 'thesis': ThesisNetwork}


def build_model(spec: ModelSpec) -> Architecture:
    """
    Return the network of `spec`, randomly initialised.

    Raises ConfigError for an unknown architecture or backbone, and for an option that the
    architecture does not have.
    """
    if spec.architecture not in ARCHITECTURES:
        raise ConfigError(
            f'no architecture {spec.architecture!r}; the architectures are '
            f'{", ".join(sorted(ARCHITECTURES))}')
    chosen = ARCHITECTURES[spec.architecture]
    others = {name for kind in ARCHITECTURES.values() for name in kind.OPTIONS}
    for option in fields(ModelSpec):
        value = getattr(spec, option.name)
        if option.name in others.difference(chosen.OPTIONS) and value != option.default:
            raise ConfigError(f'the architecture {spec.architecture} has no {option.name}, '
                f'but it is set to {value}')
    return chosen(spec)
