"""
What is declared of a node parameter: default, meaning, range, and when it may change.

A node's parameters are a frozen dataclass whose fields are made by `parameter`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, Field, field, fields
import math
from typing import Any

from mtl_perception.errors import ConfigError

_KEY = 'ros_parameter'

ALWAYS = 'always'
"""A change takes effect on the next frame."""
UNCONFIGURED = 'unconfigured'
"""May change only while the lifecycle node is unconfigured; takes effect when it is configured."""
NEVER = 'never'
"""Read once at start (read-only)."""


@dataclass(frozen=True)
class Declaration:
    """What is known of a parameter besides name, type and default."""

    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    unit: str = ''
    changes: str = NEVER

    def text(self) -> str:
        """Return the description with unit, choices and when it may change, in one line."""
        parts = [self.description + (f' [{self.unit}]' if self.unit else '')]
        if self.choices:
            parts.append('one of ' + ', '.join(self.choices))
        if self.changes == UNCONFIGURED:
            parts.append('may change while the node is unconfigured')
        return '; '.join(parts)


def parameter(
        default: Any, description: str, *, low: float | None = None, high: float | None = None,
        choices: Sequence[str] = (), unit: str = '', changes: str = NEVER) -> Any:
    """Return a dataclass field that declares a ROS parameter; `low` and `high` are included."""
    declaration = Declaration(description, low, high, tuple(choices), unit, changes)
    return field(default=default, metadata={_KEY: declaration})


RELIABILITIES = ('best_effort', 'reliable')


def declaration(item: Field[Any]) -> Declaration:
    """Return the declaration of a field of a parameter class."""
    return item.metadata[_KEY]


def check(values: Any) -> None:
    """Raise ConfigError, naming parameter, value and range, for a value that cannot be."""
    for item in fields(values):
        value, known = getattr(values, item.name), declaration(item)
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f'parameter {item.name}: {value} is not a finite number')
        if known.low is not None and known.high is not None and not (
                known.low <= value <= known.high):
            raise ConfigError(
                f'parameter {item.name}: {value} is not within {known.low}..{known.high}'
                + (f' {known.unit}' if known.unit else ''))
        if known.choices and value not in known.choices:
            raise ConfigError(
                f'parameter {item.name}: {value!r} is not one of {", ".join(known.choices)}')
