"""What objects on the ground of a synthetic town are made of: parts and their faces."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

Color = tuple[float, float, float]
"""RGB, 0..255."""


@dataclass(frozen=True)
class Part:
    """A body of an object: its outline, its height and the faces that are seen from above."""

    outline: np.ndarray
    """[N, 2] metres from the object's middle, before it is turned."""
    height: float
    """Of its top, in metres: what its shadow is as long as."""
    faces: tuple[tuple[np.ndarray, Color], ...]
    """Polygons in metres with their RGB colours, the later over the earlier."""
    raised: bool = False
    """Whether the sun shines under it, as under a parasol."""


@dataclass(frozen=True)
class Shape:
    """An object on the ground: the size of the place it takes, in metres, and its parts."""

    length: float
    width: float
    parts: tuple[Part, ...]
    label: str = ''
    """Class of the mask that it has of its own; empty: that of what it stands on."""


Light = np.ndarray
"""[2]: the unit vector towards the sun, in the axes of the object."""

_SQUARE = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])


@lru_cache
def _circle(count: int) -> np.ndarray:
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([np.cos(turn), np.sin(turn)], 1)


def rect(x: float, y: float, length: float, width: float) -> np.ndarray:
    """Return the corners [4, 2] of an upright rectangle around x, y."""
    return _SQUARE * (length, width) + (x, y)


def ellipse(x: float, y: float, radius_x: float, radius_y: float, count: int = 20) -> np.ndarray:
    """Return the outline [count, 2] of an ellipse around x, y."""
    return _circle(count) * (radius_x, radius_y) + (x, y)


def pick(rng: np.random.Generator, colors: tuple[Color, ...], spread: float = 0.1) -> Color:
    """Return one of `colors`, up to `spread` brighter or darker."""
    return lit(colors[rng.integers(len(colors))], rng.uniform(1 - spread, 1 + spread))


def lit(color: Color, factor: float, lift: float = 0.0) -> Color:
    """Return `color` times `factor` plus `lift`, within 0..255."""
    red, green, blue = (min(max(channel * factor + lift, 0.0), 255.0) for channel in color)
    return red, green, blue


def slats(x: float, y: float, length: float, width: float, pitch: float, share: float,
          color: Color) -> list[tuple[np.ndarray, Color]]:
    """Return bars across `length`, `share` of the `pitch` wide."""
    starts = np.arange(-length / 2 + pitch / 2, length / 2, pitch)
    return [(rect(x + start, y, pitch * share, width), color) for start in starts]


def box(x: float, y: float, length: float, width: float, height: float, color: Color,
        *faces: tuple[np.ndarray, Color], rim: float = 0.1) -> Part:
    """Return a box whose rim is a shade darker than its top."""
    outline = rect(x, y, length, width)
    return Part(outline, height, ((outline, lit(color, 0.78)),
                                  (rect(x, y, length - rim, width - rim), color), *faces))


def gabled(length: float, width: float, height: float, color: Color, light: Light) -> Part:
    """Return a house with a gable roof, its ridge along x."""
    half = width / 2
    faces = tuple((rect(0, side * half / 2, length, half), lit(color, 1 + 0.3 * side * light[1]))
                  for side in (-1, 1))
    ridge = (rect(0, 0, length, 0.14), lit(color, 0.7, 50))
    return Part(rect(0, 0, length, width), height, (*faces, ridge))


def tented(x: float, y: float, length: float, width: float, height: float, light: Light,
           colors: tuple[Color, Color]) -> Part:
    """Return a roof of four faces that meet in a point, on poles."""
    corners = rect(x, y, length, width)
    faces = []
    for k in range(4):
        middle = (corners[k] + corners[(k + 1) % 4]) / 2 - (x, y)
        slope = 1 + 0.26 * float(middle @ light) / float(np.hypot(*middle))
        faces.append((np.array([corners[k], corners[(k + 1) % 4], (x, y)]),
                      lit(colors[k % 2], slope)))
    return Part(corners, height, tuple(faces), raised=True)
