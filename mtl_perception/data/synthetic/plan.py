"""
The plan of a synthetic town, in metres: where roads, blocks, buildings, trees, vehicles are.

The town is periodic: what leaves it on one side comes in on the other, so that a flight of any
length finds ground under it. x grows to the right and y down, as in the images.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

LANE = 3.3
"""Width of a lane in metres."""

BAY = 2.3
"""Width of the parking strip along a kerb in metres."""


Point = np.ndarray | tuple[float, float]
"""x and y in metres."""


@dataclass(frozen=True)
class Road:
    """A road along y (`axis` 1) or along x (`axis` 0), gently winding across its direction."""

    axis: int
    offset: float
    swing: float
    cycles: int
    phase: float
    lanes: int                 # in each direction
    parking: bool
    period: float              # the town's side

    @property
    def half(self) -> float:
        """Half the width of the carriageway."""
        return self.lanes * LANE + (BAY if self.parking else 0.4)

    def lateral(self, along: np.ndarray | float) -> np.ndarray:
        """Return where the centre line lies across the road's direction."""
        turn = 2 * np.pi * self.cycles / self.period
        return self.offset + self.swing * np.sin(turn * np.asarray(along) + self.phase)

    def slope(self, along: np.ndarray | float) -> np.ndarray:
        """Return how far the centre line moves aside per metre along."""
        turn = 2 * np.pi * self.cycles / self.period
        return self.swing * turn * np.cos(turn * np.asarray(along) + self.phase)

    def place(self, along: np.ndarray | float,
              aside: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """
        Return points [..., 2] and headings (radians, for traffic towards growing `along`).

        `aside` is the distance from the centre line, positive to the right of that traffic.
        """
        along, aside = np.broadcast_arrays(np.asarray(along, float), np.asarray(aside, float))
        slope = self.slope(along)
        norm = np.hypot(1.0, slope)
        right = aside if self.axis == 0 else -aside
        across, forth = self.lateral(along) + right / norm, along - right * slope / norm
        if self.axis == 0:
            return np.stack([forth, across], -1), np.arctan2(slope, 1.0)
        return np.stack([across, forth], -1), np.arctan2(1.0, slope)


@dataclass(frozen=True)
class Building:
    """A roof with a centre, a heading of its ridge, a size and what it is made of."""

    centre: tuple[float, float]
    heading: float
    length: float
    width: float
    height: float
    roof: str                  # 'gable', 'hip', 'flat', 'metal'


@dataclass
class Vehicles:
    """Columns of equal length: one entry per vehicle."""

    model: list[int] = field(default_factory=list)
    position: list[tuple[float, float]] = field(default_factory=list)
    heading: list[float] = field(default_factory=list)


@dataclass
class Stream:
    """Traffic of one lane: all of it drives at one speed and so keeps its distances."""

    road: Road
    aside: float
    speed: float               # metres per second along the road; negative: against it
    along: np.ndarray          # of each vehicle at time 0
    model: np.ndarray


@dataclass
class Plan:
    """All that is painted, and what drives on it."""

    side: float
    walk: float                # width of the pavements
    roads: list[Road] = field(default_factory=list)
    river: tuple[float, float] | None = None  # the offsets of the roads on both sides of it
    areas: list[tuple[int, np.ndarray]] = field(default_factory=list)  # material, polygon
    lines: list[tuple[np.ndarray, float]] = field(default_factory=list)  # painted: path, width
    buildings: list[Building] = field(default_factory=list)
    trees: list[tuple[float, float, float]] = field(default_factory=list)  # x, y, radius
    parked: Vehicles = field(default_factory=Vehicles)
    streams: list[Stream] = field(default_factory=list)
    water: list[tuple[float, float]] = field(default_factory=list)

    def crossings(self, road: Road) -> list[tuple[float, Road]]:
        """Return where along `road` its cross streets' centre lines lie, and those streets."""
        found = []
        for other in self.roads:
            if other.axis != road.axis:
                along = other.offset
                for _ in range(6):
                    along = float(other.lateral(road.lateral(along)))
                found.append((along, other))
        return found

    def clear_of_crossings(self, road: Road, along: np.ndarray, margin: float) -> np.ndarray:
        """Return which places `along` a road are `margin` metres from its cross streets' kerbs."""
        clear = np.ones(len(along), bool)
        for at, other in self.crossings(road):
            gap = np.abs((along - at + road.period / 2) % road.period - road.period / 2)
            clear &= gap > other.half + margin
        return clear

    def over_river(self, road: Road, along: np.ndarray) -> np.ndarray:
        """Return which places `along` a road may be on a bridge."""
        if self.river is None or road.axis == 1:
            return np.zeros(len(along), bool)
        left, right = self.river
        return (along - left) % road.period < (right - left) % road.period


def rectangle(centre: Point, heading: float, length: float, width: float) -> np.ndarray:
    """Return the corners [4, 2] of a turned rectangle."""
    forward = np.array([np.cos(heading), np.sin(heading)])
    right = np.array([-forward[1], forward[0]])
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) / 2
    return (np.asarray(centre, float) + corners[:, :1] * length * forward
            + corners[:, 1:] * width * right)


def blob(rng: np.random.Generator, centre: Point, radius_x: float, radius_y: float) -> np.ndarray:
    """Return a smooth irregular outline [48, 2] around `centre`."""
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radius = 1 + sum(rng.uniform(-0.14, 0.14) / k ** 0.5 * np.sin(k * turn + rng.uniform(0, 6.28))
                     for k in range(1, 6))
    return np.stack([centre[0] + radius_x * radius * np.cos(turn),
                     centre[1] + radius_y * radius * np.sin(turn)], 1)


def ribbon(curve: np.ndarray, width: float) -> np.ndarray:
    """Return the outline of a band of `width` along `curve` [N, 2]."""
    tangent = np.gradient(curve, axis=0)
    tangent /= np.maximum(np.hypot(tangent[:, :1], tangent[:, 1:]), 1e-6)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], 1) * width / 2
    return np.concatenate([curve + normal, (curve - normal)[::-1]])
