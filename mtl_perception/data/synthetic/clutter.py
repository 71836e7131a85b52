"""Where the objects that are no vehicles stand in a synthetic town."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import cv2
import numpy as np

from mtl_perception.data.synthetic import clutter_shapes, textures
from mtl_perception.data.synthetic.clutter_shapes import Maker, Shape
from mtl_perception.data.synthetic.plan import Plan, rectangle

CELLS_PER_METRE = 2.0
"""Of the grid that knows what is taken."""

_AREA_PER_TRY = 75.0
"""Square metres of the town for which one place is tried; most are on roofs or streets."""


@dataclass(frozen=True)
class GroundObject:
    """A shape at its place, in metres, turned by `heading`."""

    place: tuple[float, float]
    heading: float
    shape: Shape

    def reach(self, sun: np.ndarray) -> float:
        """Return how many metres it and its shadow may reach; `sun` as in `Town`."""
        tallest = max(part.height for part in self.shape.parts)
        return float(np.hypot(self.shape.length, self.shape.width) + tallest * np.hypot(*sun))


class Ground:
    """A periodic grid of the town's ground: its material, and what has been built upon."""

    def __init__(self, plan: Plan, material: np.ndarray) -> None:
        """Take `material`, uint8 [side, side] indices of `textures`, of the whole town."""
        self.plan = plan
        self._cells = round(plan.side * CELLS_PER_METRE)
        self._scale = self._cells / plan.side
        self.material = np.asarray(cv2.resize(material, (self._cells, self._cells),
                                              interpolation=cv2.INTER_NEAREST))
        self.taken = np.zeros((self._cells, self._cells), np.uint8)
        for building in plan.buildings:
            self.take(rectangle(building.centre, building.heading, building.length + 0.8,
                                building.width + 0.8))
        for x, y, _ in plan.trees:
            self.take(rectangle((x, y), 0.0, 1.0, 1.0))
        for place, heading in zip(plan.parked.position, plan.parked.heading, strict=True):
            self.take(rectangle(place, heading, 6.4, 2.9))

    def take(self, polygon: np.ndarray) -> None:
        """Mark a convex polygon [N, 2] in metres as built upon."""
        points = polygon * self._scale
        (left, top), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
        size = self._cells
        for x in (-size, 0, size):
            for y in (-size, 0, size):
                if right + x > 0 and bottom + y > 0 and left + x < size and top + y < size:
                    cv2.fillConvexPoly(self.taken, np.round((points + (x, y)) * 16).astype(
                        np.int32), 1, cv2.LINE_8, 4)

    def at(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the materials at `points` [..., 2] in metres, and whether they are taken."""
        cells = np.floor(points * self._scale).astype(int) % self._cells
        return (self.material[cells[..., 1], cells[..., 0]],
                self.taken[cells[..., 1], cells[..., 0]] > 0)

    def free(self, points: np.ndarray, materials: tuple[int, ...]) -> bool:
        """Return whether all `points` are on `materials` and not taken."""
        material, taken = self.at(points)
        return not taken.any() and bool(_among(material, materials).all())


def place_clutter(rng: np.random.Generator, ground: Ground, to_sun: np.ndarray
                  ) -> list[GroundObject]:
    """
    Return the objects of a town, each on a place of its own, which `ground` knows as taken.

    None stands on a carriageway, in a building or where a vehicle is parked. `to_sun` is the unit
    vector towards the sun.
    """
    objects: list[GroundObject] = []

    def put(place: np.ndarray, heading: float, kinds: tuple[tuple[Maker, float], ...],
            materials: tuple[int, ...], margin: float) -> None:
        forward = np.array([np.cos(heading), np.sin(heading)])
        light = np.array([to_sun @ forward, to_sun @ (-forward[1], forward[0])])
        shape = _any_of(rng, kinds)(rng, light)
        size = (shape.length + margin, shape.width + margin)
        columns, rows = (max(3, int(side * CELLS_PER_METRE) + 1) for side in size)
        points = place + _grid(columns, rows) * size @ np.array(
            [forward, (-forward[1], forward[0])])
        if ground.free(points, materials):
            objects.append(GroundObject((float(place[0]), float(place[1])), heading, shape))
            ground.take(rectangle(place, heading, *size))

    _along_kerbs(rng, ground, put)
    side = ground.plan.side
    centres = np.array([item.centre for item in ground.plan.buildings]).reshape(-1, 2)
    headings = [item.heading for item in ground.plan.buildings] or [0.0]
    places = rng.uniform(0, side, (int(side * side / _AREA_PER_TRY), 2))
    found, _ = ground.at(places)
    around = _free_around(ground, places)
    for place, material in zip(places[around], found[around].tolist(), strict=True):
        for materials, kinds in clutter_shapes.KINDS:
            if material not in materials or (material == textures.WATER and rng.random() < 0.6):
                continue
            # Mostly in line with the house next to it.
            near = int(np.argmin(((centres - place) ** 2).sum(1))) if len(centres) else 0
            heading = (headings[near] + np.pi / 2 * rng.integers(4) if rng.random() < 0.7
                       else rng.uniform(0, 2 * np.pi))
            put(place, float(heading), kinds, materials, 0.6)
    return objects


def _among(material: np.ndarray, materials: tuple[int, ...]) -> np.ndarray:
    # Ten times as fast as np.isin for so few.
    table = np.zeros(256, bool)
    table[list(materials)] = True
    return table[material]


def _free_around(ground: Ground, places: np.ndarray) -> np.ndarray:
    """Return which `places` [N, 2] have room for the least of objects: of one material, free."""
    ring = np.array([(0, 0), (-0.7, -0.7), (0.7, -0.7), (0.7, 0.7), (-0.7, 0.7)])
    material, taken = ground.at(places[:, None] + ring)
    return ~taken.any(1) & (material == material[:, :1]).all(1)


@lru_cache
def _grid(columns: int, rows: int) -> np.ndarray:
    """Return points [columns * rows, 2] spread evenly over a square around 0 of side 1."""
    x, y = np.meshgrid(np.linspace(-0.5, 0.5, columns), np.linspace(-0.5, 0.5, rows))
    return np.stack([x.ravel(), y.ravel()], 1)


def _any_of(rng: np.random.Generator, kinds: tuple[tuple[Maker, float], ...]) -> Maker:
    chance = rng.random() * sum(weight for _, weight in kinds)
    sums = accumulate(weight for _, weight in kinds)
    return next(maker for (maker, _), total in zip(kinds, sums, strict=True) if chance < total)


def _along_kerbs(rng: np.random.Generator, ground: Ground, put: Callable[..., None]) -> None:
    plan = ground.plan
    for road in plan.roads:
        for way in (-1, 1):
            along = np.arange(rng.uniform(0, 9), road.period, rng.uniform(9, 20))
            along = along[plan.clear_of_crossings(road, along, 6.0)]
            points, headings = road.place(along, way * (road.half + 1.1))
            clear = ~ground.at(points)[1]
            points, headings = points[clear], headings[clear]
            for place, heading in zip(points, headings.tolist(), strict=True):
                put(place, heading + (np.pi if way < 0 else 0.0), clutter_shapes.KERB_SIDE,
                    (textures.PAVING, textures.GRASS), 0.0)
