"""Persons of a synthetic town: who they are, and where they walk or stand."""

from __future__ import annotations

from dataclasses import dataclass
import math

import numpy as np

from mtl_perception.data.synthetic import textures
from mtl_perception.data.synthetic.clutter import Ground
from mtl_perception.data.synthetic.person_images import Look
from mtl_perception.data.synthetic.plan import Road

_SHIRTS = ((232, 232, 230), (34, 34, 38), (170, 40, 44), (52, 84, 150), (216, 186, 70),
           (70, 120, 80), (204, 130, 150), (128, 130, 132), (190, 172, 140), (40, 50, 80),
           (220, 110, 50), (150, 190, 210))
_TROUSERS = ((52, 66, 98), (34, 34, 38), (160, 144, 116), (96, 98, 102), (74, 90, 120),
             (200, 198, 190))
_HAIR = ((40, 32, 28), (84, 60, 42), (150, 118, 76), (120, 118, 116), (30, 28, 28),
         (206, 190, 160), (190, 150, 124), (226, 224, 218))
_OPEN = (textures.GRASS, textures.MEADOW, textures.DIRT, textures.PAVING, textures.GRAVEL,
         textures.SAND, textures.OLD_ASPHALT)


@dataclass
class _March:
    """Persons on one road's pavements that walk `speed` metres per second along it."""

    road: Road
    along: np.ndarray
    aside: np.ndarray
    speed: np.ndarray


class Persons:
    """The persons of a town; each has an index, the same in every frame."""

    def __init__(self, rng: np.random.Generator, ground: Ground, ppm: float) -> None:
        """
        Place them on pavements, crossings and open ground from `rng`.

        The more ground a frame shows, at few pixels per metre (`ppm`), the fewer there are on a
        square metre: a frame then has about as many at any scale.
        """
        crowd = rng.uniform(0.4, 1.0) * min(1.0, (ppm / 13) ** 2)
        self._marches = [_march(rng, ground, road, crowd) for road in ground.plan.roads]
        start, heading, span, speed = _strolls(rng, ground, crowd)
        self._start, self._heading, self._span, self._speed = start, heading, span, speed
        count = sum(len(march.along) for march in self._marches) + len(start)
        self.looks = [_look(rng) for _ in range(count)]
        self._phase = rng.uniform(0, 1, count)

    def __len__(self) -> int:
        return len(self.looks)

    def at(self, time: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """
        Return where they are at `time` seconds.

        Places [N, 2] in metres, headings [N] in radians and strides [N]: how far the right foot
        is ahead, in metres; 0 for who stands.
        """
        places, headings, speeds = [], [], []
        for march in self._marches:
            along = (march.along + march.speed * time) % march.road.period
            place, heading = march.road.place(along, march.aside)
            places.append(place)
            headings.append(heading + np.where(march.speed < 0, np.pi, 0.0))
            speeds.append(np.abs(march.speed))
        # Strollers turn round where their way ends.
        walked = (self._speed * time) % np.maximum(2 * self._span, 1e-6)
        back = walked > self._span
        where = np.where(back, 2 * self._span - walked, walked)
        forth = np.stack([np.cos(self._heading), np.sin(self._heading)], 1)
        places.append(self._start + forth * where[:, None])
        headings.append(self._heading + np.where(back, np.pi, 0.0))
        speeds.append(self._speed)
        speed = np.concatenate(speeds)
        # About 1.5 metres are two steps.
        strides = np.where(speed > 0, 0.34, 0.0) * np.sin(
            2 * np.pi * (speed * time / 1.5 + self._phase))
        return np.concatenate(places), np.concatenate(headings), strides


def _march(rng: np.random.Generator, ground: Ground, road: Road, crowd: float) -> _March:
    along, aside, speed = [], [], []
    for way in (-1, 1):
        gap = rng.uniform(9, 30) / crowd
        at = rng.exponential(gap)
        while at < road.period:
            pace = rng.uniform(0.8, 1.7) * rng.choice((-1, 1)) if rng.random() < 0.85 else 0.0
            walk = rng.uniform(1.45, max(1.5, ground.plan.walk - 0.35))
            for _ in range(1 if rng.random() < 0.65 else int(rng.integers(2, 5))):
                along.append(at + rng.normal(0, 0.5))
                aside.append(way * (road.half + min(max(walk + rng.normal(0, 0.5), 0.4),
                                                    ground.plan.walk - 0.2)))
                speed.append(pace)
            at += rng.exponential(gap) + 1.0
    return _March(road, np.array(along, float), np.array(aside, float), np.array(speed, float))


def _strolls(rng: np.random.Generator, ground: Ground, crowd: float
             ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return starts [N, 2], headings [N], lengths [N] and speeds [N] of ways on open ground."""
    starts, headings, spans, speeds = [], [], [], []

    def stroll(place: np.ndarray, heading: float, span: float, speed: float) -> None:
        starts.append(place)
        headings.append(heading)
        spans.append(span)
        speeds.append(speed)

    side = ground.plan.side
    places = rng.uniform(0, side, (int(side * side / 200 * crowd), 2))
    for place in places[~ground.at(places)[1]]:
        heading = rng.uniform(0, 2 * np.pi)
        walks = rng.random() < 0.5
        span = rng.uniform(3, 14) if walks else 0.0
        speed = rng.uniform(0.7, 1.5) if walks else 0.0
        forth = np.array([np.cos(heading), np.sin(heading)])
        way = place + forth * np.linspace(0, span, max(2, int(span)))[:, None]
        if not ground.free(way, _OPEN):
            continue
        stroll(place, heading, span, speed)
        for _ in range(0 if rng.random() < 0.6 else int(rng.integers(1, 5))):
            # A group walks abreast, or stands and looks at each other.
            offset = rng.uniform(0.5, 1.5) * _unit(rng.uniform(0, 2 * np.pi))
            facing = heading if walks else math.atan2(-offset[1], -offset[0])
            if ground.free(way + offset, _OPEN):
                stroll(place + offset, facing, span, speed)
    for road in ground.plan.roads:
        for at, other in ground.plan.crossings(road):
            for sign in (-1, 1):
                for _ in range(rng.poisson(0.5 * crowd)):  # on their way over the zebra
                    along = at + sign * (other.half + rng.uniform(1.2, 3.8))
                    reach = road.half + 0.8
                    ends = road.place(along, np.array([-reach, reach]))[0]
                    if rng.random() < 0.5:
                        ends = ends[::-1]
                    way = ends[1] - ends[0]
                    stroll(ends[0], math.atan2(way[1], way[0]), float(np.hypot(*way)),
                           rng.uniform(0.9, 1.6))
    return (np.array(starts, float).reshape(-1, 2), np.array(headings, float),
            np.array(spans, float), np.array(speeds, float))


def _unit(angle: float) -> np.ndarray:
    return np.array([math.cos(angle), math.sin(angle)])


def _look(rng: np.random.Generator) -> Look:
    def pick(colors: tuple[tuple[float, float, float], ...]) -> tuple[float, float, float]:
        color = np.array(colors[rng.integers(len(colors))]) * rng.uniform(0.8, 1.15)
        red, green, blue = np.clip(color, 0, 255).tolist()
        return red, green, blue

    return Look(float(rng.uniform(1.5, 1.9)) if rng.random() < 0.88
                else float(rng.uniform(1.0, 1.4)),
                pick(_SHIRTS), pick(_TROUSERS), pick(_HAIR))
