"""Objects on the ground of a synthetic town that are no vehicles, as seen from above."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mtl_perception.data.synthetic import textures
from mtl_perception.data.synthetic.shapes import (
    box,
    Color,
    ellipse,
    gabled,
    Light,
    lit,
    Part,
    pick,
    rect,
    Shape,
    slats,
    tented,
)

_VIVID = ((176, 46, 40), (38, 84, 150), (44, 110, 74), (206, 152, 40), (222, 222, 218),
          (128, 132, 136), (120, 70, 48), (66, 70, 76), (196, 96, 44), (92, 140, 168))
_BINS = ((52, 92, 58), (60, 64, 66), (44, 78, 124), (200, 168, 48), (108, 66, 46))
_CLOTHS = ((236, 234, 228), (232, 230, 222), (190, 48, 44), (48, 92, 150), (58, 118, 80),
           (222, 190, 120), (206, 120, 60), (240, 240, 238))
_ROOFS = ((150, 92, 70), (112, 108, 104), (84, 82, 82), (176, 172, 164), (98, 120, 96),
          (132, 108, 84), (208, 206, 200))
_WOOD = ((172, 136, 92), (146, 112, 78), (188, 158, 116), (120, 100, 82))
_STONE = ((186, 182, 172), (150, 146, 140), (204, 200, 190), (128, 120, 112))

Maker = Callable[[np.random.Generator, Light], Shape]


def container(rng: np.random.Generator, light: Light) -> Shape:
    """Return a freight or site container, ribbed and of one colour."""
    length = float(rng.choice((3.0, 6.06, 6.06, 12.2)))
    color = pick(rng, _VIVID)
    ribs = slats(0, 0, length - 0.3, 2.3, rng.uniform(0.28, 0.6), 0.4, lit(color, 0.86))
    if rng.random() < 0.3:  # two of them side by side
        other = pick(rng, _VIVID)
        return Shape(length, 5.1, (
            box(0, -1.3, length, 2.44, 2.6, color,
                *((rib - (0, 1.3), shade) for rib, shade in ribs)),
            box(0, 1.3, length, 2.44, 2.6, other)))
    return Shape(length, 2.44, (box(0, 0, length, 2.44, 2.6, color, *ribs),))


def skip(rng: np.random.Generator, light: Light) -> Shape:
    """Return an open skip with rubble, wood or nothing in it."""
    length, color = rng.uniform(3.0, 4.6), pick(rng, _VIVID)
    content = pick(rng, ((120, 106, 90), (96, 92, 88), (150, 124, 90), (74, 70, 66)))
    lumps = [(ellipse(rng.uniform(-length / 3, length / 3), rng.uniform(-0.5, 0.5),
                      rng.uniform(0.15, 0.5), rng.uniform(0.1, 0.35), 7),
              lit(content, rng.uniform(0.7, 1.35))) for _ in range(int(rng.integers(2, 9)))]
    hole = rect(0, 0, length - 0.5, 1.45)
    return Shape(length, 1.85, (box(0, 0, length, 1.85, 1.3, color, (hole, lit(content, 0.8)),
                                    *lumps),))


def bins(rng: np.random.Generator, light: Light) -> Shape:
    """Return a row of waste bins."""
    count, width = int(rng.integers(1, 6)), float(rng.choice((0.65, 1.1, 1.4)))
    pitch = width + rng.uniform(0.08, 0.3)
    parts = []
    for k in range(count):
        color, x = pick(rng, _BINS), (k - (count - 1) / 2) * pitch
        parts.append(box(x, rng.normal(0, 0.06), width, 0.85, 1.15, color,
                         (rect(x, -0.32, width - 0.1, 0.12), lit(color, 1.3, 14))))
    return Shape(count * pitch, 0.95, tuple(parts))


def planter(rng: np.random.Generator, light: Light) -> Shape:
    """Return a stone trough or ring with plants."""
    stone, green = pick(rng, _STONE), pick(rng, ((72, 100, 50), (94, 116, 60), (58, 84, 46)))
    round_one, length = rng.random() < 0.4, rng.uniform(1.0, 3.4)
    width = length if round_one else rng.uniform(0.7, 1.5)
    outline = (ellipse(0, 0, length / 2, width / 2) if round_one
               else rect(0, 0, length, width))
    faces = [(outline, stone), (outline * (1 - 0.26 / np.array([length, width])),
                                lit(green, 0.62))]
    for _ in range(int(4 + 3 * length)):
        u, v = rng.uniform(-0.33, 0.33, 2).tolist()
        faces.append((ellipse(u * length, v * width, rng.uniform(0.12, 0.3),
                              rng.uniform(0.12, 0.26), 8), lit(green, rng.uniform(0.8, 1.4))))
    if rng.random() < 0.35:
        flower = pick(rng, ((210, 60, 80), (226, 190, 70), (190, 110, 190), (238, 236, 230)))
        faces += [(ellipse(u * length, v * width, 0.09, 0.09, 6), flower)
                  for u, v in rng.uniform(-0.3, 0.3, (6, 2)).tolist()]
    return Shape(length, width, (Part(outline, 0.75, tuple(faces)),))


def kiosk(rng: np.random.Generator, light: Light) -> Shape:
    """Return a kiosk or a transformer cabin with a flat or a tented roof."""
    length, width = rng.uniform(2.2, 4.8), rng.uniform(2.0, 3.2)
    color = pick(rng, _ROOFS)
    if rng.random() < 0.35:
        roof = tented(0, 0, length, width, 2.9, light, (color, color))
        return Shape(length, width, (Part(roof.outline, 2.9, roof.faces),), 'building')
    faces = [(rect(rng.uniform(-0.25, 0.25) * length, rng.uniform(-0.2, 0.2) * width, 0.8, 0.7),
              lit(color, 0.6))]
    parts = [box(0, 0, length, width, 2.8, color, *faces, rim=0.3)]
    if rng.random() < 0.5:  # an awning over the counter
        cloth = pick(rng, _CLOTHS)
        edge = rect(0, width / 2 + 0.5, length - 0.4, 1.0)
        parts.insert(0, Part(edge, 2.3, (
            (edge, cloth), *slats(0, width / 2 + 0.5, length - 0.4, 1.0, 0.6, 0.5,
                                  lit(cloth, 0.55, 90)))))
    return Shape(length, width + 2.0, tuple(parts), 'building')


def shed(rng: np.random.Generator, light: Light) -> Shape:
    """Return a garden shed or a greenhouse."""
    length, width = rng.uniform(2.4, 4.4), rng.uniform(1.8, 3.0)
    if rng.random() < 0.2:
        glass = pick(rng, ((178, 196, 194), (150, 172, 170)))
        part = gabled(length, width, 2.2, glass, light)
        bars = slats(0, 0, length, width, 0.75, 0.1, (226, 230, 228))
        part = Part(part.outline, 2.2, (*part.faces, *bars))
        return Shape(length, width, (part,), 'building')
    return Shape(length, width, (gabled(length, width, 2.5, pick(rng, _ROOFS), light),),
                 'building')


def shelter(rng: np.random.Generator, light: Light) -> Shape:
    """Return a bus shelter: a light roof on posts."""
    length, width = rng.uniform(3.2, 6.5), rng.uniform(1.3, 1.7)
    color = pick(rng, ((196, 204, 206), (148, 156, 160), (88, 94, 98), (222, 226, 226)))
    outline = rect(0, 0, length, width)
    bars = slats(0, 0, length, width, rng.uniform(0.9, 1.6), 0.08, lit(color, 0.7))
    return Shape(length, width, (Part(outline, 2.5, (
        (outline, lit(color, 0.72)), (rect(0, 0, length - 0.2, width - 0.2), color),
        *bars), raised=True),))


def bench(rng: np.random.Generator, light: Light) -> Shape:
    """Return a bench of slats, or a table with two of them."""
    wood, length = pick(rng, _WOOD), rng.uniform(1.5, 2.2)
    if rng.random() < 0.35:
        return Shape(length, 1.7, (
            *(box(0, y, length, 0.3, 0.45, lit(wood, 0.85), rim=0.04) for y in (-0.7, 0.7)),
            box(0, 0, length, 0.75, 0.75, wood, rim=0.06)))
    back = (rect(0, -0.24, length, 0.1), lit(wood, 0.6))
    return Shape(length, 0.6, (Part(rect(0, 0, length, 0.58), 0.7, (
        (rect(0, 0, length, 0.58), lit(wood, 0.7)),
        (rect(0, -0.1, length, 0.14), wood), (rect(0, 0.1, length, 0.14), wood), back)),))


def pallets(rng: np.random.Generator, light: Light) -> Shape:
    """Return stacks of pallets, some loaded or wrapped."""
    columns, rows = int(rng.integers(1, 5)), int(rng.integers(1, 4))
    parts: list[Part] = []
    for i in range(columns):
        for j in range(rows):
            if parts and rng.random() < 0.2:
                continue
            x, y = (i - (columns - 1) / 2) * 1.3, (j - (rows - 1) / 2) * 0.92
            wood = pick(rng, _WOOD)
            if rng.random() < 0.4:
                load = pick(rng, ((204, 206, 206), (176, 90, 70), (150, 148, 142),
                                  (90, 110, 140), (222, 222, 220)))
                faces = ((rect(x, y, 1.1, 0.06), lit(load, 0.8)),)
                parts.append(box(x, y, 1.2, 0.8, rng.uniform(0.8, 1.8), load, *faces))
            else:
                bars = slats(x, y, 1.2, 0.8, 0.24, 0.62, wood)
                parts.append(box(x, y, 1.2, 0.8, rng.uniform(0.3, 1.6), lit(wood, 0.5),
                                 *bars))
    return Shape(columns * 1.3, rows * 0.92, tuple(parts))


def tents(rng: np.random.Generator, light: Light) -> Shape:
    """Return a pavilion, or market stalls in a row."""
    count = 1 if rng.random() < 0.55 else int(rng.integers(2, 5))
    side = rng.uniform(2.4, 3.4) if count > 1 else rng.uniform(2.5, 5.0)
    parts = []
    for k in range(count):
        cloth = pick(rng, _CLOTHS)
        other = cloth if rng.random() < 0.75 else pick(rng, _CLOTHS)
        parts.append(tented((k - (count - 1) / 2) * (side + 0.3), 0, side, side * 0.95, 2.8,
                            light, (cloth, other)))
    return Shape(count * (side + 0.3), side, tuple(parts))


def parasols(rng: np.random.Generator, light: Light) -> Shape:
    """Return parasols, alone or over the tables of a terrace."""
    columns, rows = (1, 1) if rng.random() < 0.5 else tuple(rng.integers(1, 4, 2).tolist())
    cloth = pick(rng, _CLOTHS)
    other = cloth if rng.random() < 0.6 else pick(rng, _CLOTHS)
    radius = rng.uniform(1.1, 1.9)
    pitch = 2 * radius + rng.uniform(0.3, 1.0)
    parts = []
    for i in range(columns):
        for j in range(rows):
            spot = ((i - (columns - 1) / 2) * pitch, (j - (rows - 1) / 2) * pitch)
            rim = ellipse(*spot, radius, radius, 8)
            slopes = 1 + 0.2 * (rim + np.roll(rim, -1, 0) - np.array(spot) * 2) @ light \
                / (2 * radius)
            faces = [(np.array([rim[k], rim[(k + 1) % 8], spot]),
                      lit((cloth, other)[k % 2], float(slopes[k]))) for k in range(8)]
            for turn in rng.uniform(0, 2 * np.pi, 3):  # chairs that look out from under it
                seat = rect(spot[0] + 0.98 * radius * np.cos(turn),
                            spot[1] + 0.98 * radius * np.sin(turn), 0.5, 0.5)
                parts.append(Part(seat, 0.8, ((seat, (112, 96, 80)),)))
            parts.append(Part(rim, 2.4, tuple(faces), raised=True))
    return Shape(columns * pitch, rows * pitch, tuple(parts))


def pool(rng: np.random.Generator, light: Light) -> Shape:
    """Return a swimming pool, let into a terrace or standing on the lawn."""
    water = pick(rng, ((92, 184, 196), (110, 200, 214), (70, 150, 176)))
    if rng.random() < 0.5:
        radius = rng.uniform(1.3, 2.5)
        rim = pick(rng, ((214, 222, 228), (70, 110, 160), (150, 150, 148)))
        outline, inner = (ellipse(0, 0, size, size) for size in (radius, radius - 0.2))
        u, v = (-0.1 * radius * light).tolist()
        depth = ellipse(u, v, radius * 0.8, radius * 0.8)
        return Shape(2 * radius, 2 * radius, (Part(outline, 1.1, (
            (outline, rim), (inner, lit(water, 0.75)), (depth, water))),), 'water')
    length, width = rng.uniform(4.5, 8.0), rng.uniform(2.4, 4.0)
    stone = pick(rng, _STONE)
    faces: list[tuple[np.ndarray, Color]] = [
        (rect(0, 0, length + 1.4, width + 1.4), stone), (rect(0, 0, length, width), water),
        (rect(-length / 2 + 0.4, 0, 0.7, width * 0.5), lit(water, 1.15, 10))]
    for u, v in rng.uniform(-0.35, 0.35, (3, 2)).tolist():  # light that the waves gather
        faces.append((ellipse(u * length, v * width, rng.uniform(0.4, 1.1), 0.09, 8),
                      lit(water, 1.05, 20)))
    return Shape(length + 1.4, width + 1.4,
                 (Part(rect(0, 0, length, width), 0.0, tuple(faces)),), 'water')


def trampoline(rng: np.random.Generator, light: Light) -> Shape:
    """Return a trampoline: a dark mat in a coloured rim."""
    radius = rng.uniform(1.2, 2.2)
    rim = pick(rng, ((50, 100, 170), (70, 140, 80), (150, 150, 152), (190, 60, 60)))
    outline = ellipse(0, 0, radius, radius)
    return Shape(2 * radius, 2 * radius, (Part(outline, 0.9, (
        (outline, rim), (outline * (1 - 0.34 / radius), (36, 38, 42))), raised=True),))


def boat(rng: np.random.Generator, light: Light) -> Shape:
    """Return a rowing, motor or sailing boat, or one under its tarpaulin."""
    length = rng.uniform(3.6, 9.0)
    half = length * rng.uniform(0.15, 0.2)
    t = np.linspace(-1, 1, 11)
    beam = half * np.where(t < 0.1, 1 - 0.14 * (t - 0.1) ** 2, np.sqrt(np.clip(
        1 - ((t - 0.1) / 0.9) ** 2, 0, 1)))
    hull = np.concatenate([np.stack([t * length / 2, beam], 1),
                           np.stack([t * length / 2, -beam], 1)[::-1]])
    paint = pick(rng, ((236, 236, 232), (228, 226, 220), (60, 84, 120), (150, 60, 50),
                       (150, 112, 74)))
    deck = pick(rng, ((214, 200, 170), (180, 150, 110), (222, 222, 218)))
    faces: list[tuple[np.ndarray, Color]] = [(hull, paint), (hull * 0.86, deck)]
    style = rng.integers(4)
    if style == 0:
        faces[1] = (hull * 0.94, pick(rng, ((52, 80, 130), (70, 110, 90), (120, 120, 118))))
    elif style == 1:
        faces.append((hull * (0.72, 0.74), lit(deck, 0.55)))
        faces += [(rect(x * length, 0, 0.3, 1.5 * half), deck) for x in (-0.25, 0.0, 0.22)]
    else:
        faces += [(rect(0, 0, 0.34 * length, 1.2 * half), lit(paint, 1.0, 8)),
                  (rect(0.19 * length, 0, 0.05 * length, 1.1 * half), (44, 52, 62)),
                  (rect(-0.3 * length, 0, 0.2 * length, 1.2 * half), lit(deck, 0.7))]
    return Shape(length, 2 * half, (Part(hull, 0.8, tuple(faces)),))


GARDEN = (textures.GRASS, textures.MEADOW)
PAVED = (textures.PAVING,)
YARD = (textures.OLD_ASPHALT, textures.GRAVEL, textures.DIRT)
WET = (textures.WATER,)

KINDS: tuple[tuple[tuple[int, ...], tuple[tuple[Maker, float], ...]], ...] = (
    (GARDEN, ((shed, 3), (trampoline, 2), (pool, 2.5), (parasols, 2), (bench, 2), (tents, 1),
              (planter, 1.5), (bins, 0.7))),
    (PAVED, ((planter, 2), (kiosk, 1.5), (bench, 2), (parasols, 2.5), (tents, 2), (bins, 1.5),
             (pallets, 0.6), (skip, 0.5))),
    (YARD, ((container, 3), (skip, 2), (pallets, 2.5), (bins, 1.5), (tents, 0.7), (kiosk, 1),
            (planter, 0.6))),
    (WET, ((boat, 1),)))
"""What stands on which materials: makers with their weights."""

KERB_SIDE: tuple[tuple[Maker, float], ...] = (
    (shelter, 1), (bench, 2), (planter, 2), (bins, 2))
"""What stands between the pavement's trees."""
