"""A painted synthetic town: its planes, with the classes of its mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mtl_perception.data.synthetic.persons import Persons
from mtl_perception.data.synthetic.plan import Plan

BUILDING, ROAD, VEGETATION, WATER, GROUND, VEHICLE = range(6)
"""Classes of the mask."""

CROWN = 0x80
"""Bit of `Town.mask` that is set where a tree crown hides what is below."""


@dataclass(frozen=True)
class Town:
    """A periodic town at the scale of its flight; all planes are [side, side] pixels."""

    ppm: float                 # pixels per metre
    albedo: np.ndarray         # uint8 [side, side, 3] RGB in full light
    mask: np.ndarray           # uint8 class, with the bit CROWN under trees' crowns
    light: np.ndarray          # uint8, 255 in the sun, lower in shadow
    plan: Plan
    sun: np.ndarray            # [2]: metres of shadow per metre of height, x and y
    haze: float                # how much light a shadow still has, 0..1
    persons: Persons | None    # of a town with clutter
