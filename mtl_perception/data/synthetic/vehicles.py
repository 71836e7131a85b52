"""Vehicles seen from above: what they are, and their images at the scale of a flight."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

CAR, LARGE_VEHICLE = range(2)

OVERSAMPLING = 1.5
"""Sprite pixels per frame pixel: linear resampling into the frame then neither blurs nor jags."""

_PAINTS = (
    (232, 233, 232), (240, 240, 238), (186, 190, 194), (150, 154, 158), (96, 99, 104),
    (58, 60, 64), (30, 31, 34), (24, 26, 36), (150, 28, 30), (178, 44, 40), (36, 62, 118),
    (58, 96, 156), (34, 70, 60), (196, 172, 120), (120, 84, 58), (212, 188, 48), (206, 104, 40),
    (96, 124, 92), (120, 30, 48), (140, 176, 200))
_PAINT_SHARES = np.array([16, 10, 12, 10, 10, 8, 9, 4, 5, 3, 4, 3, 2, 3, 1.5, 1, 1, 1, 1.5, 1])


Shape = np.ndarray | list[tuple[float, float]]
Color = np.ndarray | tuple[float, float, float]


@dataclass(frozen=True)
class Model:
    """One vehicle: its size in metres and its image, nose towards +x."""

    kind: int
    length: float
    width: float
    height: float
    sprite: np.ndarray
    """uint8 [h, w, 4], RGB times coverage, and coverage; a margin of 2 px around the body."""


class _Drawing:
    """Antialiased shapes in metres, x forward and y to the right from the vehicle's middle."""

    def __init__(self, length: float, width: float, scale: float) -> None:
        self.scale = scale * 4
        self.size = tuple(4 * (int(np.ceil(side * scale)) + 4) for side in (length, width))
        self.rgb = np.zeros((self.size[1], self.size[0], 3), np.uint8)
        self.cover = np.zeros((self.size[1], self.size[0]), np.uint8)

    def points(self, shape: Shape) -> np.ndarray:
        middle = np.array(self.size) / 2
        return np.round((np.asarray(shape, float) * self.scale + middle) * 16).astype(np.int32)

    def fill(self, shape: Shape, color: Color, body: bool = False) -> None:
        points = self.points(shape)
        cv2.fillPoly(self.rgb, [points], tuple(float(c) for c in color), cv2.LINE_8, 4)
        if body:
            cv2.fillPoly(self.cover, [points], 255, cv2.LINE_8, 4)

    def sprite(self) -> np.ndarray:
        size = (self.size[0] // 4, self.size[1] // 4)
        cover = cv2.resize(self.cover, size, interpolation=cv2.INTER_AREA)
        rgb = cv2.resize(np.where(self.cover[..., None] > 0, self.rgb, 0), size,
                         interpolation=cv2.INTER_AREA)
        return np.dstack([rgb, cover])


def _rounded(x0: float, x1: float, half: float, nose: float, tail: float) -> np.ndarray:
    """Return the outline of a body from x0 to x1, corners rounded by `tail` and `nose` metres."""
    quarter = np.linspace(0, np.pi / 2, 7)
    corners = []
    for cx, cy, radius, start in ((x1 - nose, half - nose * 0.7, nose, 0),
                                  (x0 + tail, half - tail * 0.7, tail, 1),
                                  (x0 + tail, -half + tail * 0.7, tail, 2),
                                  (x1 - nose, -half + nose * 0.7, nose, 3)):
        turn = quarter + start * np.pi / 2
        corners.append(np.stack([cx + radius * np.cos(turn),
                                 cy + 0.7 * radius * np.sin(turn)], 1))
    return np.concatenate(corners)


def _rectangle(x0: float, x1: float, y0: float, y1: float) -> np.ndarray:
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])


def _shade(color: Color, factor: float, lift: float = 0.0) -> np.ndarray:
    return np.clip(np.asarray(color, float) * factor + lift, 0, 255)


def _car(rng: np.random.Generator, scale: float) -> Model:
    length, width = rng.uniform(3.9, 5.0), rng.uniform(1.74, 1.95)
    paint = _shade(_PAINTS[rng.choice(len(_PAINTS), p=_PAINT_SHARES / _PAINT_SHARES.sum())],
                   rng.uniform(0.92, 1.06))
    style = rng.integers(4)  # saloon, hatchback, estate or SUV, pick-up
    half, a, b = width / 2, -length / 2, length / 2
    glass = _shade((34, 42, 52), rng.uniform(0.7, 1.3))
    d = _Drawing(length, width, scale)
    d.fill(_rounded(a, b, half, 0.62, 0.45), _shade(paint, 0.72), body=True)
    d.fill(_rounded(a + 0.07, b - 0.10, half - 0.09, 0.55, 0.40), paint)
    screen = b - rng.uniform(1.05, 1.35)          # front edge of the windscreen
    back = {0: a + 0.95, 1: a + 0.30, 2: a + 0.22, 3: b - 2.7}[int(style)]
    cabin = half - 0.13
    d.fill(_rounded(screen - 0.05, b - 0.18, half - 0.24, 0.45, 0.1), _shade(paint, 1.0, 9))
    d.fill([(screen, -cabin + 0.16), (screen + 0.10, 0), (screen, cabin - 0.16),
            (screen - 0.72, cabin - 0.05), (back + 0.35, cabin - 0.05), (back, cabin - 0.16),
            (back, -cabin + 0.16), (back + 0.35, -cabin + 0.05), (screen - 0.72, -cabin + 0.05)],
           glass)
    roof_front = screen - rng.uniform(0.62, 0.85)
    roof_back = back + {0: 0.55, 1: 0.42, 2: 0.30, 3: 0.22}[int(style)]
    roof = _shade(paint, 1.0, 5)
    if rng.random() < 0.08:
        roof = _shade((36, 37, 40), 1.0)
    d.fill(_rounded(roof_back, roof_front, cabin - 0.17, 0.22, 0.22), _shade(roof, 0.9))
    d.fill(_rounded(roof_back + 0.05, roof_front - 0.06, cabin - 0.25, 0.2, 0.2), roof)
    if rng.random() < 0.22:
        d.fill(_rectangle(roof_front - 0.95, roof_front - 0.25, -0.42, 0.42), _shade(glass, 1.2))
    elif rng.random() < 0.12:
        for y in (-cabin + 0.24, cabin - 0.30):
            d.fill(_rectangle(roof_back, roof_front - 0.1, y, y + 0.06), _shade(roof, 0.5))
    if style == 3:
        d.fill(_rectangle(a + 0.18, back - 0.12, -half + 0.2, half - 0.2), _shade(paint, 0.42, 12))
    # The sky mirrored in the windscreen, and the lamps.
    d.fill([(screen - 0.02, -cabin + 0.2), (screen + 0.06, 0), (screen - 0.3, 0),
            (screen - 0.4, -cabin + 0.2)], _shade(glass, 1.5, 14))
    for side in (-1, 1):
        y0, y1 = sorted((side * (half - 0.14), side * (half - 0.44)))
        d.fill(_rectangle(b - 0.34, b - 0.12, y0, y1), (226, 228, 222))
        d.fill(_rectangle(a + 0.03, a + 0.14, y0, y1), (150, 24, 22))
    return Model(CAR, length, width, rng.uniform(1.4, 1.75), d.sprite())


def _bus(rng: np.random.Generator, scale: float) -> Model:
    length, width = rng.uniform(9.5, 12.5), 2.55
    paint = np.array(((226, 228, 228), (190, 40, 38), (212, 180, 60), (60, 110, 160),
                      (78, 140, 92), (210, 212, 206))[rng.integers(6)], float)
    half, a, b = width / 2, -length / 2, length / 2
    d = _Drawing(length, width, scale)
    d.fill(_rounded(a, b, half, 0.3, 0.2), _shade(paint, 0.65), body=True)
    d.fill(_rounded(a + 0.08, b - 0.12, half - 0.1, 0.28, 0.18), _shade((222, 224, 224), 0.6)
           + 0.4 * paint)
    d.fill(_rectangle(b - 0.3, b - 0.08, -half + 0.2, half - 0.2), (38, 44, 52))
    for x in np.arange(a + 1.2, b - 1.2, 1.9):
        d.fill(_rectangle(x, x + 0.06, -half + 0.12, half - 0.12), _shade(paint, 0.72, 20))
    for x in rng.uniform(a + 1.5, b - 2.5, rng.integers(1, 4)):
        d.fill(_rectangle(x, x + rng.uniform(0.8, 2.0), -0.75, 0.75), (172, 175, 176))
        d.fill(_rectangle(x + 0.1, x + 0.5, -0.6, 0.6), (128, 131, 133))
    return Model(LARGE_VEHICLE, length, width, 3.1, d.sprite())


def _truck(rng: np.random.Generator, scale: float) -> Model:
    articulated = rng.random() < 0.35
    length = rng.uniform(13.5, 16.5) if articulated else rng.uniform(6.6, 10.0)
    width = 2.5 if length > 8 else 2.25
    paint = np.array(_PAINTS[rng.choice(len(_PAINTS), p=_PAINT_SHARES / _PAINT_SHARES.sum())],
                     float)
    box = np.array(((228, 229, 228), (206, 207, 204), (176, 178, 180), (70, 100, 150),
                    (166, 60, 50), (120, 130, 110))[rng.integers(6)], float)
    half, a, b = width / 2, -length / 2, length / 2
    cab = b - (2.3 if length > 8 else 1.9)
    d = _Drawing(length, width, scale)
    d.fill(_rectangle(a + 0.1, b - 1, -half + 0.3, half - 0.3), (44, 44, 46), body=True)
    d.fill(_rounded(cab, b, half - 0.05, 0.3, 0.12), _shade(paint, 0.75), body=True)
    d.fill(_rounded(cab + 0.1, b - 0.42, half - 0.2, 0.15, 0.1), paint)
    d.fill([(b - 0.42, -half + 0.22), (b - 0.14, -half + 0.35), (b - 0.14, half - 0.35),
            (b - 0.42, half - 0.22)], (34, 40, 48))
    front = cab - (0.7 if articulated else 0.18)
    d.fill(_rectangle(a, front, -half, half), _shade(box, 0.8), body=True)
    if rng.random() < 0.7:
        d.fill(_rectangle(a + 0.1, front - 0.1, -half + 0.1, half - 0.1), box)
        for x in np.arange(a + 0.7, front - 0.4, rng.uniform(0.7, 1.6)):
            d.fill(_rectangle(x, x + 0.05, -half + 0.1, half - 0.1), _shade(box, 0.9))
    else:  # an open load bed
        d.fill(_rectangle(a + 0.12, front - 0.12, -half + 0.14, half - 0.14),
               _shade((134, 116, 92), rng.uniform(0.6, 1.2)))
    return Model(LARGE_VEHICLE, length, width, rng.uniform(2.8, 3.8), d.sprite())


def _van(rng: np.random.Generator, scale: float) -> Model:
    length, width = rng.uniform(5.8, 6.9), 2.05
    paint = np.array(_PAINTS[rng.choice((0, 1, 1, 0, 2, 3, 8, 11, 15))], float)
    half, a, b = width / 2, -length / 2, length / 2
    d = _Drawing(length, width, scale)
    d.fill(_rounded(a, b, half, 0.55, 0.15), _shade(paint, 0.72), body=True)
    d.fill(_rounded(a + 0.08, b - 0.12, half - 0.1, 0.5, 0.12), paint)
    d.fill([(b - 0.85, -half + 0.25), (b - 0.72, 0), (b - 0.85, half - 0.25),
            (b - 1.45, half - 0.14), (b - 1.45, -half + 0.14)], (36, 42, 50))
    for x in np.arange(a + 0.8, b - 1.8, 0.95):
        d.fill(_rectangle(x, x + 0.06, -half + 0.2, half - 0.2), _shade(paint, 0.88))
    return Model(LARGE_VEHICLE, length, width, 2.6, d.sprite())


@dataclass(frozen=True)
class Fleet:
    """The vehicles that a town has images of, by index in `models`."""

    models: tuple[Model, ...]
    cars: np.ndarray
    vans: np.ndarray
    trucks: np.ndarray
    buses: np.ndarray


def make_fleet(rng: np.random.Generator, ppm: float) -> Fleet:
    """Return the fleet of a town seen at `ppm` frame pixels per metre."""
    scale = ppm * OVERSAMPLING
    makers = (_car,) * 44 + (_van,) * 6 + (_truck,) * 8 + (_bus,) * 4
    models = tuple(make(rng, scale) for make in makers)
    edges = np.cumsum([0, 44, 6, 8, 4])
    groups = [np.arange(edges[k], edges[k + 1]) for k in range(4)]
    return Fleet(models, *groups)
