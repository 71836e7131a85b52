"""
Label sets: the names and colours of the classes of a task.

A class index is a position in ``LabelSet.names``, equal in the network's outputs, label maps and
ROS messages. The meaning of a data set's labels is defined by a table of class *sets*
(``mtl_perception.data.manifest``): an aerial map's `ground` may be ground or road.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from typing import Any

import numpy as np

from mtl_perception.errors import ConfigError

IGNORE_LABEL = 255
"""Value of pixels of no class in a label map or mask."""

MAX_CLASSES = 254
"""Maximum number of classes of a label set: label maps are uint8 and 255 is `IGNORE_LABEL`."""

Color = tuple[int, int, int]


def distinct_colors(count: int) -> tuple[Color, ...]:
    """Return `count` well separated RGB colours (0..255), always the same."""
    # Golden-ratio steps around the hue circle: neighbours in index are far apart in hue.
    hues = ((0.08 + 0.61803398875 * i) % 1.0 for i in range(count))
    return tuple(
        tuple(round(255 * c) for c in colorsys.hsv_to_rgb(h, 0.75, 0.95))  # type: ignore[misc]
        for h in hues)


@dataclass(frozen=True)
class LabelSet:
    """Names of the classes of one task, in the order of their indices, and an RGB colour each."""

    names: tuple[str, ...]
    colors: tuple[Color, ...]

    def __post_init__(self) -> None:
        if not 0 < len(self.names) <= MAX_CLASSES:
            raise ConfigError(
                f'a label set has {len(self.names)} classes; the range is 1..{MAX_CLASSES}')
        if not all(isinstance(name, str) and name.strip() for name in self.names):
            raise ConfigError(f'class names must be non-empty text: {list(self.names)}')
        if len(set(self.names)) != len(self.names):
            raise ConfigError(f'class names occur twice: {list(self.names)}')
        if len(self.colors) != len(self.names):
            raise ConfigError(
                f'{len(self.names)} class names but {len(self.colors)} colours')
        for color in self.colors:
            if len(color) != 3 or not all(type(c) is int and 0 <= c <= 255 for c in color):
                raise ConfigError(f'colour {color} is not three integers in 0..255')

    @classmethod
    def of(cls, *names: str) -> LabelSet:
        """Return a label set of these names with distinct colours."""
        return cls(tuple(names), distinct_colors(len(names)))

    @classmethod
    def from_dict(cls, value: Any) -> LabelSet:
        """
        Return the label set in a mapping with `names` and, optionally, `colors`.

        Raises ConfigError if the mapping is invalid.
        """
        if not isinstance(value, dict) or not isinstance(value.get('names'), (list, tuple)):
            raise ConfigError(f'a label set is a mapping with a list `names`, not {value!r:.80}')
        names = tuple(value['names'])
        colors = value.get('colors')
        if colors is None:
            return cls(names, distinct_colors(len(names)))
        if not isinstance(colors, (list, tuple)) or not all(
                isinstance(c, (list, tuple)) for c in colors):
            raise ConfigError(f'`colors` is a list of [r, g, b], not {colors!r:.80}')
        return cls(names, tuple(tuple(c) for c in colors))

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists for JSON or YAML; `from_dict` reads them back."""
        return {'names': list(self.names), 'colors': [list(c) for c in self.colors]}

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """Return the index of the class `name`; ConfigError lists the known names otherwise."""
        try:
            return self.names.index(name)
        except ValueError:
            raise ConfigError(
                f'no class {name!r}; the classes are {", ".join(self.names)}') from None

    def palette(self) -> np.ndarray:
        """Return RGB colours as uint8 [256, 3], black where no class has the index."""
        table = np.zeros((256, 3), np.uint8)
        table[:len(self.colors)] = self.colors
        return table
