"""
The plan of a synthetic town, in metres: where roads, blocks, buildings, trees, vehicles are.

The town is periodic: what leaves it on one side comes in on the other, so that a flight of any
length finds ground under it. x grows to the right and y down, as in the pictures.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mtl_perception.data.synthetic import textures
from mtl_perception.data.synthetic.vehicles import Fleet

LANE = 3.3
"""Width of a lane in metres."""

BAY = 2.3
"""Width of the parking strip along a kerb in metres."""


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
        turn = 2 * np.pi * self.cycles / self.period
        return self.swing * turn * np.cos(turn * np.asarray(along) + self.phase)

    def place(self, along, aside) -> tuple[np.ndarray, np.ndarray]:
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
    roads: list[Road] = field(default_factory=list)
    areas: list[tuple[int, np.ndarray]] = field(default_factory=list)  # material, polygon
    lines: list[tuple[np.ndarray, float]] = field(default_factory=list)  # painted: path, width
    buildings: list[Building] = field(default_factory=list)
    trees: list[tuple[float, float, float]] = field(default_factory=list)  # x, y, radius
    parked: Vehicles = field(default_factory=Vehicles)
    streams: list[Stream] = field(default_factory=list)
    water: list[tuple[float, float]] = field(default_factory=list)


def rectangle(centre, heading: float, length: float, width: float) -> np.ndarray:
    """Return the corners [4, 2] of a turned rectangle."""
    forward = np.array([np.cos(heading), np.sin(heading)])
    right = np.array([-forward[1], forward[0]])
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) / 2
    return (np.asarray(centre, float) + corners[:, :1] * length * forward
            + corners[:, 1:] * width * right)


def blob(rng: np.random.Generator, centre, radius_x: float, radius_y: float) -> np.ndarray:
    """Return a smooth irregular outline [48, 2] around `centre`."""
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radius = 1 + sum(rng.uniform(-0.14, 0.14) / k ** 0.5 * np.sin(k * turn + rng.uniform(0, 6.28))
                     for k in range(1, 6))
    return np.stack([centre[0] + radius_x * radius * np.cos(turn),
                     centre[1] + radius_y * radius * np.sin(turn)], 1)


class _Block:
    """The inside of four streets, with coordinates u, v in metres from its middle."""

    def __init__(self, left: Road, right: Road, top: Road, bottom: Road, walk: float) -> None:
        self.sides = (left, right, top, bottom)
        self.walk = walk
        side = left.period
        # The next road round the edge of the town lies one period on.
        self.shift_x = side if right.offset <= left.offset else 0.0
        self.shift_y = side if bottom.offset <= top.offset else 0.0
        corners = [self._at(a, b) for a, b in ((0, 0.5), (1, 0.5), (0.5, 0), (0.5, 1), (0.5, 0.5))]
        self.middle = corners[4]
        self.u = corners[1] - corners[0]
        self.v = corners[3] - corners[2]
        self.width, self.height = float(np.hypot(*self.u)), float(np.hypot(*self.v))
        self.heading = float(np.arctan2(self.u[1], self.u[0]))

    def _at(self, a: float, b: float) -> np.ndarray:
        left, right, top, bottom = self.sides
        x = (left.offset + right.offset + self.shift_x) / 2
        y = (top.offset + bottom.offset + self.shift_y) / 2
        for _ in range(4):
            x0 = left.lateral(y) + left.half + self.walk
            x1 = right.lateral(y) + self.shift_x - right.half - self.walk
            x = x0 + (x1 - x0) * a
            y0 = top.lateral(x) + top.half + self.walk
            y1 = bottom.lateral(x) + self.shift_y - bottom.half - self.walk
            y = y0 + (y1 - y0) * b
        return np.array([x, y], float)

    def at(self, u: float, v: float) -> np.ndarray:
        """Return the point u, v metres from the middle."""
        return self._at(0.5 + u / self.width, 0.5 + v / self.height)

    def outline(self) -> np.ndarray:
        steps = np.linspace(0, 1, 9)[:-1]
        ring = ([(t, 0.0) for t in steps] + [(1.0, t) for t in steps]
                + [(1 - t, 1.0) for t in steps] + [(0.0, 1 - t) for t in steps])
        return np.array([self._at(a, b) for a, b in ring])

    def box(self, u: float, v: float, along_u: float, along_v: float) -> np.ndarray:
        return rectangle(self.at(u, v), self.heading, along_u, along_v)


class Planner:
    """Lays out one town; `plan` is the result."""

    def __init__(self, rng: np.random.Generator, side: float, fleet: Fleet) -> None:
        self.rng = rng
        self.fleet = fleet
        self.plan = Plan(side)
        self.walk = rng.uniform(2.2, 3.6)
        self.greenery = rng.uniform(0.5, 1.2)
        self.bustle = rng.uniform(0.45, 1.0)
        self.pitched = rng.uniform(0.3, 0.95)
        columns = max(2, round(side / rng.uniform(62, 92)))
        rows = max(2, round(side / rng.uniform(58, 88)))
        self.vertical = self._roads(1, columns)
        self.horizontal = self._roads(0, rows)
        self.plan.roads = self.vertical + self.horizontal
        self._fill_blocks()
        self._kerb_parking()
        self._traffic()

    def _roads(self, axis: int, count: int) -> list[Road]:
        rng, side = self.rng, self.plan.side
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

    # -- blocks

    def _fill_blocks(self) -> None:
        rng = self.rng
        columns, rows = len(self.vertical), len(self.horizontal)
        river = int(rng.integers(columns)) if columns >= 3 and rng.random() < 0.55 else -1
        cells = [(i, j) for i in range(columns) for j in range(rows) if i != river]
        first = ['park', 'houses', 'commerce', 'courts']
        others = rng.choice(('houses', 'houses', 'houses', 'courts', 'courts', 'commerce', 'park',
                             'field', 'yard', 'houses'), max(0, len(cells) - 4))
        kinds = first + list(others)
        rng.shuffle(kinds)
        if river >= 0:
            self._river(river)
        self.river = river
        for (i, j), kind in zip(cells, kinds, strict=False):
            block = _Block(self.vertical[i], self.vertical[(i + 1) % columns],
                           self.horizontal[j], self.horizontal[(j + 1) % rows], self.walk)
            getattr(self, f'_{kind}')(block)

    def _area(self, material: int, polygon: np.ndarray) -> None:
        self.plan.areas.append((material, polygon))

    def _tree(self, point, low: float = 1.6, high: float = 4.2) -> None:
        self.plan.trees.append((float(point[0]), float(point[1]),
                                float(self.rng.uniform(low, high))))

    def _build(self, centre, heading: float, length: float, width: float, height: float,
               roof: str) -> None:
        if width > length:
            heading, length, width = heading + np.pi / 2, width, length
        self.plan.buildings.append(Building((float(centre[0]), float(centre[1])), float(heading),
                                            float(length), float(width), float(height), roof))

    def _park_vehicle(self, point, heading: float, models: np.ndarray) -> None:
        rng = self.rng
        parked = self.plan.parked
        parked.model.append(int(rng.choice(models)))
        parked.position.append((float(point[0] + rng.normal(0, 0.12)),
                                float(point[1] + rng.normal(0, 0.12))))
        parked.heading.append(float(heading + rng.normal(0, 0.025)))

    def _river(self, column: int) -> None:
        rng, side = self.rng, self.plan.side
        left, right = self.vertical[column], self.vertical[(column + 1) % len(self.vertical)]
        along = np.linspace(0, side, 97)
        shift = side if right.offset <= left.offset else 0.0
        west = left.lateral(along) + left.half + self.walk
        east = right.lateral(along) + shift - right.half - self.walk
        self._area(textures.GRASS, np.concatenate(
            [np.stack([west, along], 1), np.stack([east, along], 1)[::-1]]))
        free = east - west
        middle = west + free * (0.5 + 0.12 * np.sin(2 * np.pi * along / side * 2
                                                    + rng.uniform(0, 6.28)))
        half = free * (0.24 + 0.05 * np.sin(2 * np.pi * along / side * 3 + rng.uniform(0, 6.28)))
        for material, wider in ((textures.DIRT, 2.2), (textures.WATER, 0.0)):
            rough = 0.7 * np.sin(np.arange(97) * 2.1) * np.sin(np.linspace(0, np.pi, 97))
            self._area(material, np.concatenate(
                [np.stack([middle - half - wider - rough, along], 1),
                 np.stack([middle + half + wider + rough, along], 1)[::-1]]))
        self.plan.water += [(float(middle[k]), float(along[k])) for k in range(6, 96, 12)]
        for _ in range(int(side * 0.45 * self.greenery)):
            k = int(rng.integers(97))
            bank = rng.choice((-1, 1)) * (half[k] + rng.uniform(4, 0.22 * free[k] + 4))
            self._tree((middle[k] + bank, along[k] + rng.uniform(-2, 2)))

    def _houses(self, block: _Block) -> None:
        rng = self.rng
        self._area(textures.GRASS, block.outline())
        depth = block.height / 2
        for row in (-1, 1):
            u = -block.width / 2
            while True:
                lot = rng.uniform(14.5, 20)
                if u + lot > block.width / 2 + 1:
                    break
                middle = u + lot / 2
                u += lot
                front = rng.uniform(4.0, 6.5)
                length = min(rng.uniform(9, 13.5), lot - 4.4)
                width = min(rng.uniform(7.5, 10.5), depth - front - 3)
                if width < 5:
                    continue
                if rng.random() < 0.3:
                    self._area(rng.choice((textures.MEADOW, textures.GRAVEL, textures.DIRT)),
                               block.box(middle, row * (depth * 0.35), lot - 0.6, depth * 0.55))
                shift = (lot - length) / 2 - 0.5
                side = rng.choice((-1, 1))
                house_u = middle + side * shift
                house_v = row * (depth - front - width / 2)
                roof = ('gable' if rng.random() < 0.55 else 'hip') \
                    if rng.random() < max(self.pitched, 0.45) else 'flat'
                turn = 0.0 if rng.random() < 0.7 else np.pi / 2
                size = (length, width) if turn == 0.0 else (width, length)
                self._build(block.at(house_u, house_v), block.heading + turn, *size,
                            rng.uniform(4.5, 8), roof)
                if rng.random() < 0.35:
                    wing = rng.uniform(4, 6)
                    self._build(block.at(house_u - side * rng.uniform(0, 2),
                                         house_v - row * (width / 2 + wing / 2 - 1)),
                                block.heading + np.pi / 2, wing + 2, rng.uniform(4, 5.5),
                                rng.uniform(3, 4.5), roof)
                drive_u = middle - side * (lot / 2 - 1.9)
                drive = front + rng.uniform(2, 7)
                self._area(rng.choice((textures.PAVING, textures.GRAVEL, textures.OLD_ASPHALT)),
                           block.box(drive_u, row * (depth - drive / 2 + 1), 3.2, drive + 2))
                if rng.random() < 0.62 * self.bustle + 0.1:
                    self._park_vehicle(block.at(drive_u, row * (depth - drive / 2 - 0.2)),
                                       block.heading + rng.choice((-1, 1)) * np.pi / 2,
                                       self.fleet.cars if rng.random() < 0.93
                                       else self.fleet.vans)
                garden = depth - front - width
                if garden > 7 and rng.random() < 0.16:
                    spot = (middle + rng.uniform(-2, 2), row * (garden * 0.5))
                    self._area(textures.PAVING, block.box(*spot, 10, 6))
                    self._area(textures.POOL, block.box(*spot, 7.5, 3.6))
                    self.plan.water.append(tuple(block.at(*spot)))
                elif rng.random() < 0.4:
                    self._build(block.at(middle + rng.uniform(-4, 4), row * 2.6), block.heading,
                                rng.uniform(3, 4.5), rng.uniform(2.4, 3.2), 2.4,
                                rng.choice(('gable', 'metal', 'flat')))
                for _ in range(rng.poisson(2.2 * self.greenery)):
                    self._tree(block.at(middle + rng.uniform(-lot / 2, lot / 2),
                                        row * rng.uniform(0.5, max(1.0, garden - 2))), 1.2, 3.6)
                if rng.random() < 0.5:
                    self._tree(block.at(middle + side * rng.uniform(1, lot / 2),
                                        row * (depth - rng.uniform(1, 2.5))), 0.9, 2.4)
                if rng.random() < 0.5:  # a hedge between neighbours
                    for v in np.arange(1.0, depth - 6, 1.3):
                        self._tree(block.at(u, row * v), 0.7, 1.0)

    def _courts(self, block: _Block) -> None:
        rng = self.rng
        self._area(textures.PAVING, block.outline())
        deep = rng.uniform(11, 13.5)
        yard_u, yard_v = block.width - 2 * deep - 2, block.height - 2 * deep - 2
        ground = rng.choice((textures.GRASS, textures.GRAVEL, textures.OLD_ASPHALT,
                             textures.PAVING))
        if yard_u > 3 and yard_v > 3:
            self._area(int(ground), block.box(0, 0, yard_u, yard_v))
        style = 'flat' if rng.random() > self.pitched else rng.choice(('gable', 'hip', 'metal'))

        def row(v_or_u: float, run: float, turned: bool) -> None:
            position = -run / 2
            while position < run / 2 - 7:
                length = min(rng.uniform(14, 30), run / 2 - position)
                middle = position + length / 2
                position += length + (rng.uniform(3, 7) if rng.random() < 0.3 else 0.0)
                if rng.random() < 0.08 or length < 6:
                    continue
                u, v = (v_or_u, middle) if turned else (middle, v_or_u)
                roof = style if rng.random() < 0.75 else rng.choice(('flat', 'gable', 'metal'))
                self._build(block.at(u, v), block.heading + (np.pi / 2 if turned else 0.0),
                            length, deep - rng.uniform(0, 1.5), rng.uniform(8, 17), str(roof))

        for sign in (-1, 1):
            row(sign * (block.height / 2 - deep / 2 - 0.6), block.width - 1, False)
            if yard_v > 10 and rng.random() < 0.85:
                row(sign * (block.width / 2 - deep / 2 - 0.6), yard_v - 2, True)
        if yard_u > 8 and yard_v > 8:
            if ground != textures.GRASS:
                for u in np.arange(-yard_u / 2 + 2, yard_u / 2 - 2, 2.7):
                    if rng.random() < 0.45 * self.bustle:
                        self._park_vehicle(block.at(u, -yard_v / 2 + 3),
                                           block.heading + np.pi / 2 * rng.choice((-1, 1)),
                                           self.fleet.cars)
            for _ in range(rng.poisson(yard_u * yard_v / 110 * self.greenery)):
                self._tree(block.at(rng.uniform(-0.4, 0.4) * yard_u,
                                    rng.uniform(-0.15, 0.45) * yard_v), 1.8, 4)

    def _commerce(self, block: _Block) -> None:
        rng = self.rng
        self._area(textures.OLD_ASPHALT, block.outline())
        share = rng.uniform(0.36, 0.5)
        side = rng.choice((-1, 1))
        hall_w, hall_l = block.height * share, block.width * rng.uniform(0.7, 0.92)
        hall_v = side * (block.height / 2 - hall_w / 2 - 1.5)
        self._area(textures.PAVING, block.box(0, hall_v, hall_l + 5, hall_w + 4))
        roof = str(rng.choice(('flat', 'flat', 'metal')))
        split = rng.uniform(0.4, 0.75) if rng.random() < 0.5 else 1.0
        start = -hall_l / 2
        for part in (split, 1 - split):
            if part * hall_l > 5:
                self._build(block.at(start + part * hall_l / 2, hall_v), block.heading,
                            part * hall_l, hall_w * rng.uniform(0.85, 1.0), rng.uniform(5, 10),
                            roof)
            start += part * hall_l
        # Rows of bays, nose to nose, with a lane between the double rows.
        near, far = -side * (block.height / 2 - 3), hall_v - side * (hall_w / 2 + 6)
        first, last = sorted((near, far))
        v = first + 2.6
        turned = 1
        full = rng.uniform(0.25, 0.9) * self.bustle
        while v < last - 2:
            bays = np.arange(-block.width / 2 + 4, block.width / 2 - 4, 2.65)
            for u in bays:
                self.plan.lines.append((np.array([block.at(u - 1.32, v - 2.5),
                                                  block.at(u - 1.32, v + 2.5)]), 0.12))
                if rng.random() < full:
                    van = rng.random() < 0.06
                    self._park_vehicle(block.at(u, v), block.heading
                                       + np.pi / 2 * rng.choice((-1, 1)),
                                       self.fleet.vans if van else self.fleet.cars)
            v += 5.1 if turned == 1 and v + 5.1 < last - 2 else 11.6
            turned = -turned
            if turned == 1 and rng.random() < 0.6:
                for u in np.arange(-block.width / 2 + 6, block.width / 2 - 6, 13.3):
                    island = block.at(u + 1.3, v - 8.9)
                    self._area(textures.GRASS, rectangle(island, block.heading, 2.2, 2.2))
                    self._tree(island, 1.3, 2.6)
        for _ in range(rng.poisson(1.6)):
            u = rng.uniform(-0.42, 0.42) * block.width
            self._park_vehicle(block.at(u, far + side * 3.5), block.heading, self.fleet.trucks)

    def _park(self, block: _Block) -> None:
        rng = self.rng
        self._area(textures.GRASS, block.outline())
        for _ in range(3):
            self._area(textures.MEADOW, blob(
                rng, block.at(rng.uniform(-0.3, 0.3) * block.width,
                              rng.uniform(-0.3, 0.3) * block.height),
                rng.uniform(4, 0.2 * block.width + 4), rng.uniform(4, 0.2 * block.height + 4)))
        pond_u, pond_v = rng.uniform(-0.16, 0.16, 2) * (block.width, block.height)
        radii = np.array([block.width, block.height]) * rng.uniform(0.16, 0.25, 2)
        pond = blob(rng, block.at(pond_u, pond_v), *radii)
        middle = pond.mean(0)
        walk = 1 + 5.0 / radii.min()
        self._path(np.concatenate([pond, pond[:1]]), middle, walk)
        self._area(textures.SAND, middle + (pond - middle) * (1 + 0.9 / radii.min()))
        self._area(textures.WATER, pond)
        self.plan.water.append((float(middle[0]), float(middle[1])))
        for start in ((-0.5, rng.uniform(-0.4, 0.4)), (0.5, rng.uniform(-0.4, 0.4)),
                      (rng.uniform(-0.4, 0.4), -0.5), (rng.uniform(-0.4, 0.4), 0.5)):
            gate = block.at(start[0] * (block.width + 2), start[1] * (block.height + 2))
            away = gate - middle
            rim = middle + away / np.hypot(*away) * radii.mean() * walk * 1.05
            bend = (gate + rim) / 2 + rng.normal(0, 3, 2)
            t = np.linspace(0, 1, 12)[:, None]
            curve = (1 - t) ** 2 * gate + 2 * t * (1 - t) * bend + t ** 2 * rim
            self._area(textures.GRAVEL, _ribbon(curve, 2.4))
        for _ in range(int(block.width * block.height / 55 * self.greenery)):
            spot = block.at(*(rng.uniform(-0.48, 0.48, 2) * (block.width, block.height)))
            if np.hypot(*((spot - middle) / (radii + 4))) > 1.15:
                self._tree(spot, 1.8, 5.2)

    def _path(self, curve: np.ndarray, middle: np.ndarray, walk: float) -> None:
        self._area(textures.GRAVEL, _ribbon(middle + (curve - middle) * walk, 2.4))

    def _field(self, block: _Block) -> None:
        rng = self.rng
        self._area(textures.MEADOW, block.outline())
        cut = rng.uniform(0.3, 0.7)
        strips = ((-0.5, cut - 0.5), (cut - 0.5, 0.5))
        for low, high in strips:
            width = (high - low) * block.width - 4
            if width > 6:
                self._area(int(rng.choice((textures.CROP, textures.CROP, textures.DIRT,
                                           textures.MEADOW))),
                           block.box((low + high) / 2 * block.width, 0, width, block.height - 4))
        track = [block.at((cut - 0.5) * block.width + rng.normal(0, 0.3), v)
                 for v in np.linspace(-block.height / 2 - 1, block.height / 2 + 1, 12)]
        self._area(textures.DIRT, _ribbon(np.array(track), 2.8))
        for u in np.arange(-block.width / 2, block.width / 2, 4):
            if rng.random() < 0.5 * self.greenery:
                self._tree(block.at(u, (block.height / 2 - 1.5) * rng.choice((-1, 1))), 1.4, 3.6)

    def _yard(self, block: _Block) -> None:
        rng = self.rng
        self._area(textures.DIRT, block.outline())
        for material in (textures.GRAVEL, textures.MEADOW, textures.SAND, textures.GRASS):
            self._area(material, blob(
                rng, block.at(*(rng.uniform(-0.35, 0.35, 2) * (block.width, block.height))),
                rng.uniform(4, 15), rng.uniform(4, 15)))
        for k in range(int(rng.integers(2, 5))):
            u = (k - 1.5) * block.width / 4
            self._build(block.at(u, rng.choice((-1, 1)) * block.height * 0.3),
                        block.heading + np.pi / 2, rng.uniform(12, 0.32 * block.height + 8),
                        rng.uniform(7, min(14.0, block.width / 4 - 2)), rng.uniform(4, 8),
                        str(rng.choice(('metal', 'metal', 'flat', 'gable'))))
        for _ in range(rng.poisson(7 * self.bustle)):
            kind = rng.random()
            self._park_vehicle(block.at(rng.uniform(-0.45, 0.45) * block.width,
                                        rng.uniform(-0.07, 0.07) * block.height),
                               rng.uniform(0, 6.28),
                               self.fleet.trucks if kind < 0.5 else self.fleet.vans
                               if kind < 0.65 else self.fleet.cars)
        for _ in range(rng.poisson(8 * self.greenery)):
            self._tree(block.at(rng.uniform(-0.48, 0.48) * block.width,
                                0.46 * block.height * rng.choice((-1, 1))), 1.2, 3.2)

    # -- streets

    def crossings(self, road: Road) -> list[tuple[float, Road]]:
        """Return where along `road` its cross streets' centre lines lie, and those streets."""
        found = []
        for other in self.horizontal if road.axis == 1 else self.vertical:
            along = other.offset
            for _ in range(6):
                along = float(other.lateral(road.lateral(along)))
            found.append((along, other))
        return found

    def _clear_of_crossings(self, road: Road, along: np.ndarray, margin: float) -> np.ndarray:
        clear = np.ones(len(along), bool)
        for at, other in self.crossings(road):
            gap = np.abs((along - at + road.period / 2) % road.period - road.period / 2)
            clear &= gap > other.half + margin
        return clear

    def _in_river(self, road: Road, along: np.ndarray) -> np.ndarray:
        if self.river < 0 or road.axis == 1:
            return np.zeros(len(along), bool)
        left = self.vertical[self.river].offset
        right = self.vertical[(self.river + 1) % len(self.vertical)].offset
        return (along - left) % road.period < (right - left) % road.period

    def _kerb_parking(self) -> None:
        rng = self.rng
        for road in self.plan.roads:
            along = np.arange(0, road.period - 3, 6.1)
            clear = self._clear_of_crossings(road, along, 10) & ~self._in_river(road, along)
            for way in (-1, 1):
                if road.parking:
                    full = rng.uniform(0.15, 0.85) * self.bustle
                    taken = clear & (rng.random(len(along)) < full)
                    points, headings = road.place(along + rng.uniform(-0.5, 0.5, len(along)),
                                                  way * (road.half - BAY / 2))
                    for k in np.flatnonzero(taken):
                        self._park_vehicle(points[k], headings[k] + (np.pi if way < 0 else 0.0),
                                           self.fleet.cars if rng.random() < 0.92
                                           else self.fleet.vans)
                step = rng.uniform(9, 16)
                spots = np.arange(rng.uniform(0, step), road.period, step)
                free = (self._clear_of_crossings(road, spots, 7) & ~self._in_river(road, spots)
                        & (rng.random(len(spots)) < 0.75 * self.greenery))
                if rng.random() < 0.75:
                    points, _ = road.place(spots, way * (road.half + 1.1))
                    for k in np.flatnonzero(free):
                        self._tree(points[k], 1.3, 3.0)

    def _traffic(self) -> None:
        rng = self.rng
        moving = int(rng.integers(2))  # whose lights are green during the flight
        for road in self.plan.roads:
            for way in (-1, 1):
                for lane in range(road.lanes):
                    aside = way * (lane + 0.5) * LANE
                    if road.axis == moving:
                        along = self._spaced(road.period, 8 + 22 / self.bustle)
                        self.plan.streams.append(Stream(
                            road, aside, way * float(rng.uniform(7, 13)), along,
                            self._mixed(len(along))))
                    else:
                        self._queues(road, way, aside)

    def _mixed(self, count: int) -> np.ndarray:
        rng, fleet = self.rng, self.fleet
        kinds = rng.random(count)
        return np.array([int(rng.choice(fleet.cars if kind < 0.84 else fleet.vans if kind < 0.89
                                        else fleet.trucks if kind < 0.95 else fleet.buses))
                         for kind in kinds], int)

    def _spaced(self, period: float, gap: float) -> np.ndarray:
        """Return positions at least 20 m apart round the period."""
        steps = 20 + self.rng.exponential(gap, int(period / 20) + 1)
        along = np.cumsum(steps)
        return (along[along < period - 20] + self.rng.uniform(0, period)) % period

    def _queues(self, road: Road, way: int, aside: float) -> None:
        """Let vehicles wait at the red lights of `road`."""
        rng = self.rng
        for at, other in self.crossings(road):
            stop = at - way * (other.half + 5.5)
            models = self._mixed(rng.poisson(2.4 * self.bustle))
            for model in models:
                length = self.fleet.models[model].length
                if not self._clear_of_crossings(road, np.array([stop - way * length]), 3)[0]:
                    break
                point, heading = road.place(stop - way * length / 2, aside)
                self._park_vehicle(point, float(heading) + (np.pi if way < 0 else 0.0),
                                   np.array([model]))
                stop -= way * (length + rng.uniform(1.2, 3.5))


def _ribbon(curve: np.ndarray, width: float) -> np.ndarray:
    """Return the outline of a band of `width` along `curve` [N, 2]."""
    tangent = np.gradient(curve, axis=0)
    tangent /= np.maximum(np.hypot(tangent[:, :1], tangent[:, 1:]), 1e-6)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], 1) * width / 2
    return np.concatenate([curve + normal, (curve - normal)[::-1]])
