"""Rotated boxes, which the network and its losses do not have, as upright ones."""

from __future__ import annotations

import math

Corners = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels."""


def upright_hull(x: float, y: float, width: float, height: float, angle: float) -> Corners:
    """
    Return the upright hull of a box that is turned around its centre x, y.

    Sizes in pixels, `angle` in radians. A box without area stays one, and the edges are NaN where
    the angle is not finite.

    >>> upright_hull(160, 120, 80, 20, math.pi / 2)
    (150.0, 80.0, 170.0, 160.0)
    """
    half_x, half_y = width / 2, height / 2
    if not math.isfinite(angle):
        half_x = half_y = math.nan
    elif angle and width > 0 and height > 0:
        # Rounded: a quarter turn must not add 1e-15 pixels.
        across, along = (round(abs(value), 12) for value in (math.cos(angle), math.sin(angle)))
        half_x, half_y = half_x * across + half_y * along, half_x * along + half_y * across
    return x - half_x, y - half_y, x + half_x, y + half_y
