"""What fills the blocks between the streets of a synthetic town."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mtl_perception.data.synthetic import textures
from mtl_perception.data.synthetic.draft import Draft
from mtl_perception.data.synthetic.plan import blob, rectangle, ribbon, Road


class Block:
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
        x: np.ndarray | float = (left.offset + right.offset + self.shift_x) / 2
        y: np.ndarray | float = (top.offset + bottom.offset + self.shift_y) / 2
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


def fill_blocks(draft: Draft, vertical: list[Road], horizontal: list[Road]) -> None:
    """Fill every block between the roads; each town has some of the main kinds, and water."""
    rng = draft.rng
    columns, rows = len(vertical), len(horizontal)
    river = int(rng.integers(columns)) if columns >= 3 and rng.random() < 0.55 else -1
    cells = [(i, j) for i in range(columns) for j in range(rows) if i != river]
    first = ['park', 'houses', 'commerce', 'courts']
    others = rng.choice(('houses', 'houses', 'houses', 'courts', 'courts', 'commerce', 'park',
                         'field', 'yard', 'houses'), max(0, len(cells) - 4))
    kinds = first + list(others)
    rng.shuffle(kinds)
    if river >= 0:
        _river(draft, vertical[river], vertical[(river + 1) % columns])
    for (i, j), kind in zip(cells, kinds, strict=False):
        _FILLERS[kind](draft, Block(vertical[i], vertical[(i + 1) % columns], horizontal[j],
                                    horizontal[(j + 1) % rows], draft.plan.walk))


def _river(draft: Draft, left: Road, right: Road) -> None:
    rng, side = draft.rng, draft.plan.side
    draft.plan.river = (left.offset, right.offset)
    along = np.linspace(0, side, 97)
    shift = side if right.offset <= left.offset else 0.0
    west = left.lateral(along) + left.half + draft.plan.walk
    east = right.lateral(along) + shift - right.half - draft.plan.walk
    draft.area(textures.GRASS, np.concatenate(
        [np.stack([west, along], 1), np.stack([east, along], 1)[::-1]]))
    free = east - west
    middle = west + free * (0.5 + 0.12 * np.sin(2 * np.pi * along / side * 2
                                                + rng.uniform(0, 6.28)))
    half = free * (0.24 + 0.05 * np.sin(2 * np.pi * along / side * 3 + rng.uniform(0, 6.28)))
    for material, wider in ((textures.DIRT, 2.2), (textures.WATER, 0.0)):
        rough = 0.7 * np.sin(np.arange(97) * 2.1) * np.sin(np.linspace(0, np.pi, 97))
        draft.area(material, np.concatenate(
            [np.stack([middle - half - wider - rough, along], 1),
             np.stack([middle + half + wider + rough, along], 1)[::-1]]))
    draft.plan.water += [(float(middle[k]), float(along[k])) for k in range(6, 96, 12)]
    for _ in range(int(side * 0.45 * draft.greenery)):
        k = int(rng.integers(97))
        bank = rng.choice((-1, 1)) * (half[k] + rng.uniform(4, 0.22 * free[k] + 4))
        draft.tree((middle[k] + bank, along[k] + rng.uniform(-2, 2)))


def _houses(draft: Draft, block: Block) -> None:
    rng = draft.rng
    draft.area(textures.GRASS, block.outline())
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
                draft.area(rng.choice((textures.MEADOW, textures.GRAVEL, textures.DIRT)),
                           block.box(middle, row * (depth * 0.35), lot - 0.6, depth * 0.55))
            shift = (lot - length) / 2 - 0.5
            side = rng.choice((-1, 1))
            house_u = middle + side * shift
            house_v = row * (depth - front - width / 2)
            roof = ('gable' if rng.random() < 0.55 else 'hip') \
                if rng.random() < max(draft.pitched, 0.45) else 'flat'
            turn = 0.0 if rng.random() < 0.7 else np.pi / 2
            size = (length, width) if turn == 0.0 else (width, length)
            draft.build(block.at(house_u, house_v), block.heading + turn, *size,
                        rng.uniform(4.5, 8), roof)
            if rng.random() < 0.35:
                wing = rng.uniform(4, 6)
                draft.build(block.at(house_u - side * rng.uniform(0, 2),
                                     house_v - row * (width / 2 + wing / 2 - 1)),
                            block.heading + np.pi / 2, wing + 2, rng.uniform(4, 5.5),
                            rng.uniform(3, 4.5), roof)
            drive_u = middle - side * (lot / 2 - 1.9)
            drive = front + rng.uniform(2, 7)
            draft.area(rng.choice((textures.PAVING, textures.GRAVEL, textures.OLD_ASPHALT)),
                       block.box(drive_u, row * (depth - drive / 2 + 1), 3.2, drive + 2))
            if rng.random() < 0.62 * draft.bustle + 0.1:
                draft.park(block.at(drive_u, row * (depth - drive / 2 - 0.2)),
                           block.heading + rng.choice((-1, 1)) * np.pi / 2,
                           draft.fleet.cars if rng.random() < 0.93
                           else draft.fleet.vans)
            garden = depth - front - width
            if garden > 7 and rng.random() < 0.16:
                spot = (middle + rng.uniform(-2, 2), row * (garden * 0.5))
                draft.area(textures.PAVING, block.box(*spot, 10, 6))
                draft.area(textures.POOL, block.box(*spot, 7.5, 3.6))
                draft.plan.water.append(tuple(block.at(*spot)))
            elif rng.random() < 0.4:
                draft.build(block.at(middle + rng.uniform(-4, 4), row * 2.6), block.heading,
                            rng.uniform(3, 4.5), rng.uniform(2.4, 3.2), 2.4,
                            rng.choice(('gable', 'metal', 'flat')))
            for _ in range(rng.poisson(2.2 * draft.greenery)):
                draft.tree(block.at(middle + rng.uniform(-lot / 2, lot / 2),
                                    row * rng.uniform(0.5, max(1.0, garden - 2))), 1.2, 3.6)
            if rng.random() < 0.5:
                draft.tree(block.at(middle + side * rng.uniform(1, lot / 2),
                                    row * (depth - rng.uniform(1, 2.5))), 0.9, 2.4)
            if rng.random() < 0.5:  # a hedge between neighbours
                for v in np.arange(1.0, depth - 6, 1.3):
                    draft.tree(block.at(u, row * v), 0.7, 1.0)


def _courts(draft: Draft, block: Block) -> None:
    rng = draft.rng
    draft.area(textures.PAVING, block.outline())
    deep = rng.uniform(11, 13.5)
    yard_u, yard_v = block.width - 2 * deep - 2, block.height - 2 * deep - 2
    ground = rng.choice((textures.GRASS, textures.GRAVEL, textures.OLD_ASPHALT,
                         textures.PAVING))
    if yard_u > 3 and yard_v > 3:
        draft.area(int(ground), block.box(0, 0, yard_u, yard_v))
    style = 'flat' if rng.random() > draft.pitched else rng.choice(('gable', 'hip', 'metal'))

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
            draft.build(block.at(u, v), block.heading + (np.pi / 2 if turned else 0.0),
                        length, deep - rng.uniform(0, 1.5), rng.uniform(8, 17), str(roof))

    for sign in (-1, 1):
        row(sign * (block.height / 2 - deep / 2 - 0.6), block.width - 1, False)
        if yard_v > 10 and rng.random() < 0.85:
            row(sign * (block.width / 2 - deep / 2 - 0.6), yard_v - 2, True)
    if yard_u > 8 and yard_v > 8:
        if ground != textures.GRASS:
            for u in np.arange(-yard_u / 2 + 2, yard_u / 2 - 2, 2.7):
                if rng.random() < 0.45 * draft.bustle:
                    draft.park(block.at(u, -yard_v / 2 + 3),
                               block.heading + np.pi / 2 * rng.choice((-1, 1)),
                               draft.fleet.cars)
        for _ in range(rng.poisson(yard_u * yard_v / 110 * draft.greenery)):
            draft.tree(block.at(rng.uniform(-0.4, 0.4) * yard_u,
                                rng.uniform(-0.15, 0.45) * yard_v), 1.8, 4)


def _commerce(draft: Draft, block: Block) -> None:
    rng = draft.rng
    draft.area(textures.OLD_ASPHALT, block.outline())
    share = rng.uniform(0.36, 0.5)
    side = rng.choice((-1, 1))
    hall_w, hall_l = block.height * share, block.width * rng.uniform(0.7, 0.92)
    hall_v = side * (block.height / 2 - hall_w / 2 - 1.5)
    draft.area(textures.PAVING, block.box(0, hall_v, hall_l + 5, hall_w + 4))
    roof = str(rng.choice(('flat', 'flat', 'metal')))
    split = rng.uniform(0.4, 0.75) if rng.random() < 0.5 else 1.0
    start = -hall_l / 2
    for part in (split, 1 - split):
        if part * hall_l > 5:
            draft.build(block.at(start + part * hall_l / 2, hall_v), block.heading,
                        part * hall_l, hall_w * rng.uniform(0.85, 1.0), rng.uniform(5, 10),
                        roof)
        start += part * hall_l
    # Rows of bays, nose to nose, with a lane between the double rows.
    near, far = -side * (block.height / 2 - 3), hall_v - side * (hall_w / 2 + 6)
    first, last = sorted((near, far))
    v = first + 2.6
    turned = 1
    full = rng.uniform(0.25, 0.9) * draft.bustle
    while v < last - 2:
        bays = np.arange(-block.width / 2 + 4, block.width / 2 - 4, 2.65)
        for u in bays:
            draft.plan.lines.append((np.array([block.at(u - 1.32, v - 2.5),
                                              block.at(u - 1.32, v + 2.5)]), 0.12))
            if rng.random() < full:
                van = rng.random() < 0.06
                draft.park(block.at(u, v), block.heading
                           + np.pi / 2 * rng.choice((-1, 1)),
                           draft.fleet.vans if van else draft.fleet.cars)
        v += 5.1 if turned == 1 and v + 5.1 < last - 2 else 11.6
        turned = -turned
        if turned == 1 and rng.random() < 0.6:
            for u in np.arange(-block.width / 2 + 6, block.width / 2 - 6, 13.3):
                island = block.at(u + 1.3, v - 8.9)
                draft.area(textures.GRASS, rectangle(island, block.heading, 2.2, 2.2))
                draft.tree(island, 1.3, 2.6)
    for _ in range(rng.poisson(1.6)):
        u = rng.uniform(-0.42, 0.42) * block.width
        draft.park(block.at(u, far + side * 3.5), block.heading, draft.fleet.trucks)


def _park(draft: Draft, block: Block) -> None:
    rng = draft.rng
    draft.area(textures.GRASS, block.outline())
    for _ in range(3):
        draft.area(textures.MEADOW, blob(
            rng, block.at(rng.uniform(-0.3, 0.3) * block.width,
                          rng.uniform(-0.3, 0.3) * block.height),
            rng.uniform(4, 0.2 * block.width + 4), rng.uniform(4, 0.2 * block.height + 4)))
    pond_u, pond_v = rng.uniform(-0.16, 0.16, 2) * (block.width, block.height)
    radii = np.array([block.width, block.height]) * rng.uniform(0.16, 0.25, 2)
    pond = blob(rng, block.at(pond_u, pond_v), *radii)
    middle = pond.mean(0)
    walk = 1 + 5.0 / radii.min()
    _path(draft, np.concatenate([pond, pond[:1]]), middle, walk)
    draft.area(textures.SAND, middle + (pond - middle) * (1 + 0.9 / radii.min()))
    draft.area(textures.WATER, pond)
    draft.plan.water.append((float(middle[0]), float(middle[1])))
    for start in ((-0.5, rng.uniform(-0.4, 0.4)), (0.5, rng.uniform(-0.4, 0.4)),
                  (rng.uniform(-0.4, 0.4), -0.5), (rng.uniform(-0.4, 0.4), 0.5)):
        gate = block.at(start[0] * (block.width + 2), start[1] * (block.height + 2))
        away = gate - middle
        rim = middle + away / np.hypot(*away) * radii.mean() * walk * 1.05
        bend = (gate + rim) / 2 + rng.normal(0, 3, 2)
        t = np.linspace(0, 1, 12)[:, None]
        curve = (1 - t) ** 2 * gate + 2 * t * (1 - t) * bend + t ** 2 * rim
        draft.area(textures.GRAVEL, ribbon(curve, 2.4))
    for _ in range(int(block.width * block.height / 55 * draft.greenery)):
        spot = block.at(*(rng.uniform(-0.48, 0.48, 2) * (block.width, block.height)))
        if np.hypot(*((spot - middle) / (radii + 4))) > 1.15:
            draft.tree(spot, 1.8, 5.2)


def _path(draft: Draft, curve: np.ndarray, middle: np.ndarray, walk: float) -> None:
    draft.area(textures.GRAVEL, ribbon(middle + (curve - middle) * walk, 2.4))


def _field(draft: Draft, block: Block) -> None:
    rng = draft.rng
    draft.area(textures.MEADOW, block.outline())
    cut = rng.uniform(0.3, 0.7)
    strips = ((-0.5, cut - 0.5), (cut - 0.5, 0.5))
    for low, high in strips:
        width = (high - low) * block.width - 4
        if width > 6:
            draft.area(int(rng.choice((textures.CROP, textures.CROP, textures.DIRT,
                                       textures.MEADOW))),
                       block.box((low + high) / 2 * block.width, 0, width, block.height - 4))
    track = [block.at((cut - 0.5) * block.width + rng.normal(0, 0.3), v)
             for v in np.linspace(-block.height / 2 - 1, block.height / 2 + 1, 12)]
    draft.area(textures.DIRT, ribbon(np.array(track), 2.8))
    for u in np.arange(-block.width / 2, block.width / 2, 4):
        if rng.random() < 0.5 * draft.greenery:
            draft.tree(block.at(u, (block.height / 2 - 1.5) * rng.choice((-1, 1))), 1.4, 3.6)


def _yard(draft: Draft, block: Block) -> None:
    rng = draft.rng
    draft.area(textures.DIRT, block.outline())
    for material in (textures.GRAVEL, textures.MEADOW, textures.SAND, textures.GRASS):
        draft.area(material, blob(
            rng, block.at(*(rng.uniform(-0.35, 0.35, 2) * (block.width, block.height))),
            rng.uniform(4, 15), rng.uniform(4, 15)))
    for k in range(int(rng.integers(2, 5))):
        u = (k - 1.5) * block.width / 4
        draft.build(block.at(u, rng.choice((-1, 1)) * block.height * 0.3),
                    block.heading + np.pi / 2, rng.uniform(12, max(12.0, 0.32 * block.height + 8)),
                    rng.uniform(7, max(7.0, min(14.0, block.width / 4 - 2))), rng.uniform(4, 8),
                    str(rng.choice(('metal', 'metal', 'flat', 'gable'))))
    for _ in range(rng.poisson(7 * draft.bustle)):
        kind = rng.random()
        draft.park(block.at(rng.uniform(-0.45, 0.45) * block.width,
                   rng.uniform(-0.07, 0.07) * block.height),
          rng.uniform(0, 6.28),
          draft.fleet.trucks if kind < 0.5 else draft.fleet.vans
          if kind < 0.65 else draft.fleet.cars)
    for _ in range(rng.poisson(8 * draft.greenery)):
        draft.tree(block.at(rng.uniform(-0.48, 0.48) * block.width,
                            0.46 * block.height * rng.choice((-1, 1))), 1.2, 3.2)


_FILLERS: dict[str, Callable[[Draft, Block], None]] = {
    'houses': _houses, 'courts': _courts, 'commerce': _commerce, 'park': _park,
    'field': _field, 'yard': _yard}
