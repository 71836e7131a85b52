"""Lays out a synthetic town: its streets, what stands in them and what drives on them."""

from __future__ import annotations

import numpy as np

from mtl_perception.data.synthetic.blocks import fill_blocks
from mtl_perception.data.synthetic.draft import Draft
from mtl_perception.data.synthetic.plan import BAY, LANE, Plan, Road, Stream
from mtl_perception.data.synthetic.vehicles import Fleet


def lay_out(rng: np.random.Generator, side: float, fleet: Fleet) -> Plan:
    """Return the plan of a town of `side` x `side` metres."""
    draft = Draft(rng, side, fleet)
    columns = max(2, round(side / rng.uniform(62, 92)))
    rows = max(2, round(side / rng.uniform(58, 88)))
    vertical = _roads(rng, side, 1, columns)
    horizontal = _roads(rng, side, 0, rows)
    draft.plan.roads = vertical + horizontal
    fill_blocks(draft, vertical, horizontal)
    _kerb_parking(draft)
    _traffic(draft)
    return draft.plan


def _roads(rng: np.random.Generator, side: float, axis: int, count: int) -> list[Road]:
    pitch = side / count
    offsets = (np.arange(count) + 0.5 + rng.uniform(-0.1, 0.1, count)) * pitch
    main = int(rng.integers(count))
    roads = []
    cycles = int(rng.integers(1, 3))
    phase = rng.uniform(0, 2 * np.pi)
    for k, offset in enumerate(offsets):
        lanes = 2 if k == main else 1
        # Neighbours wind alike, or else blocks would be crushed.
        roads.append(Road(axis, float(offset), rng.uniform(0.2, 1.0) * 0.11 * pitch, cycles,
                          phase + rng.uniform(-0.5, 0.5), lanes,
                          lanes == 1 and rng.random() < 0.75, side))
    return roads


def _kerb_parking(draft: Draft) -> None:
    rng = draft.rng
    for road in draft.plan.roads:
        along = np.arange(0, road.period - 3, 6.1)
        clear = (draft.plan.clear_of_crossings(road, along, 10)
                 & ~draft.plan.over_river(road, along))
        for way in (-1, 1):
            if road.parking:
                full = rng.uniform(0.15, 0.85) * draft.bustle
                taken = clear & (rng.random(len(along)) < full)
                points, headings = road.place(along + rng.uniform(-0.5, 0.5, len(along)),
                                              way * (road.half - BAY / 2))
                for k in np.flatnonzero(taken):
                    draft.park(points[k], headings[k] + (np.pi if way < 0 else 0.0),
                               draft.fleet.cars if rng.random() < 0.92
                               else draft.fleet.vans)
            step = rng.uniform(9, 16)
            spots = np.arange(rng.uniform(0, step), road.period, step)
            free = (draft.plan.clear_of_crossings(road, spots, 7)
                    & ~draft.plan.over_river(road, spots)
                    & (rng.random(len(spots)) < 0.75 * draft.greenery))
            if rng.random() < 0.75:
                points, _ = road.place(spots, way * (road.half + 1.1))
                for k in np.flatnonzero(free):
                    draft.tree(points[k], 1.3, 3.0)


def _traffic(draft: Draft) -> None:
    rng = draft.rng
    moving = int(rng.integers(2))  # whose lights are green during the flight
    for road in draft.plan.roads:
        for way in (-1, 1):
            for lane in range(road.lanes):
                aside = way * (lane + 0.5) * LANE
                if road.axis == moving:
                    along = _spaced(draft, road.period, 8 + 22 / draft.bustle)
                    draft.plan.streams.append(Stream(
                        road, aside, way * float(rng.uniform(7, 13)), along,
                        _mixed(draft, len(along))))
                else:
                    _queues(draft, road, way, aside)


def _mixed(draft: Draft, count: int) -> np.ndarray:
    rng, fleet = draft.rng, draft.fleet
    kinds = rng.random(count)
    return np.array([int(rng.choice(fleet.cars if kind < 0.84 else fleet.vans if kind < 0.89
                                    else fleet.trucks if kind < 0.95 else fleet.buses))
                     for kind in kinds], int)


def _spaced(draft: Draft, period: float, gap: float) -> np.ndarray:
    """Return positions at least 20 m apart round the period."""
    steps = 20 + draft.rng.exponential(gap, int(period / 20) + 1)
    along = np.cumsum(steps)
    return (along[along < period - 20] + draft.rng.uniform(0, period)) % period


def _queues(draft: Draft, road: Road, way: int, aside: float) -> None:
    """Let vehicles wait at the red lights of `road`."""
    rng = draft.rng
    for at, other in draft.plan.crossings(road):
        stop = at - way * (other.half + 5.5)
        models = _mixed(draft, rng.poisson(2.4 * draft.bustle))
        for model in models:
            length = draft.fleet.models[model].length
            if not draft.plan.clear_of_crossings(road, np.array([stop - way * length]), 3)[0]:
                break
            point, heading = road.place(stop - way * length / 2, aside)
            draft.park(point, float(heading) + (np.pi if way < 0 else 0.0),
                       np.array([model]))
            stop -= way * (length + rng.uniform(1.2, 3.5))
