"""Dormers, chimneys, machines and panels on the roofs of a synthetic town with clutter."""

from __future__ import annotations

import cv2
import numpy as np

from mtl_perception.data.synthetic.plan import Building

Color = tuple[float, float, float]

_BRIGHT = ((236, 235, 230), (226, 226, 224), (206, 204, 198), (186, 190, 192), (240, 238, 232),
           (150, 156, 160), (216, 200, 176))
_SHADOW = 0.5
"""Of the roof's brightness in the shadow of what stands on it."""


class _Roof:
    """A roof's texture, in metres: u along the ridge, v across it, from the upper left corner."""

    def __init__(self, texture: np.ndarray, ppm: float, sun: np.ndarray) -> None:
        self.rgb = np.ascontiguousarray(texture[..., :3])
        self.ppm = ppm
        self.sun = sun
        length = max(float(np.hypot(*sun)), 1e-6)
        self.to_sun = -sun / length

    def fill(self, polygon: np.ndarray, color: Color, factor: float = 1.0) -> None:
        red, green, blue = (min(channel * factor, 255.0) for channel in color)
        cv2.fillPoly(self.rgb, [self._pixels(polygon)], (red, green, blue), cv2.LINE_AA, 4)

    def shade(self, polygon: np.ndarray) -> None:
        """Darken a convex polygon."""
        pixels = self._pixels(cv2.convexHull(polygon.astype(np.float32))[:, 0])
        x0, y0 = np.maximum(pixels.min(0) // 16 - 1, 0)
        x1, y1 = pixels.max(0) // 16 + 2
        view = self.rgb[y0:y1, x0:x1]
        if view.size == 0:
            return
        dark = np.full(view.shape[:2], 255, np.uint8)
        cv2.fillConvexPoly(dark, pixels - 16 * np.array([x0, y0], np.int32), 255 * _SHADOW,
                           cv2.LINE_AA, 4)
        view[:] = cv2.multiply(view, cv2.merge([dark] * 3), scale=1 / 255)

    def box(self, u: float, v: float, length: float, width: float, height: float, color: Color
            ) -> None:
        """Stand a box there with its shadow."""
        base = box_corners(u, v, length, width)
        self.shade(np.concatenate([base, base + self.sun * height]))
        self.fill(base, color, 0.82)
        self.fill(box_corners(u, v, length - 0.16, width - 0.16), color)

    def _pixels(self, polygon: np.ndarray) -> np.ndarray:
        return np.round(polygon * (16 * self.ppm)).astype(np.int32)


def box_corners(u: float, v: float, length: float, width: float) -> np.ndarray:
    """Return the corners [4, 2] of an upright rectangle around u, v."""
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) / 2
    return corners * (length, width) + (u, v)


def furnish_roof(rng: np.random.Generator, texture: np.ndarray, building: Building, ppm: float,
                 sun: np.ndarray) -> None:
    """
    Add to a roof's `texture` (uint8 [h, w, 4], ridge along x) what may look like a vehicle.

    `sun` [2] is metres of shadow per metre of height in the axes of the town.
    """
    along = np.array([np.cos(building.heading), np.sin(building.heading)])
    roof = _Roof(texture, ppm, np.array([sun @ along, sun @ (-along[1], along[0])]))
    length, width = texture.shape[1] / ppm, texture.shape[0] / ppm
    if building.roof in ('gable', 'hip'):
        _pitched(rng, roof, length, width, building.roof == 'hip')
    elif min(length, width) > 5:
        _flat(rng, roof, length, width, building.roof == 'metal')
    texture[..., :3] = roof.rgb


def _pitched(rng: np.random.Generator, roof: _Roof, length: float, width: float,
             hip: bool) -> None:
    margin = (width / 2 if hip else 1.0) + 1.2
    slope = width / 2
    bright = _BRIGHT[rng.integers(len(_BRIGHT))]
    dormers = slope > 2.6 and rng.random() < 0.65
    style, broad = rng.integers(3), rng.uniform(1.4, 3.4)
    step = broad + rng.uniform(0.9, 3.0)
    for side in (-1, 1):
        if not dormers or rng.random() < 0.2:
            _skylights(rng, roof, length, width, margin, side)
            continue
        run = length - 2 * margin
        count = min(int(rng.integers(1, 6)), int((run + step - broad) / step))
        first = length / 2 - (count - 1) * step / 2
        eave, top = rng.uniform(0.08, 0.2), rng.uniform(0.62, 0.9)
        for k in range(count):
            _dormer(roof, first + k * step, width / 2, side * slope * (1 - eave),
                    side * slope * (1 - top), broad, bright, int(style))
    for _ in range(rng.poisson(0.9)):
        u = rng.uniform(min(margin, length / 2), max(length - margin, length / 2))
        v = width / 2 + rng.uniform(-0.3, 0.3) * slope
        size = rng.uniform(0.5, 1.3), rng.uniform(0.5, 0.8)
        color = ((128, 84, 70), (176, 172, 164), (96, 92, 90))[rng.integers(3)]
        roof.box(u, v, *size, rng.uniform(0.8, 1.8), color)
        roof.fill(box_corners(u, v, size[0] * 0.5, size[1] * 0.4), (40, 38, 38))
    if not dormers and rng.random() < 0.4 and length > 2 * margin + 3:
        sunny = 1 if roof.to_sun[1] > 0 else -1
        _panels(roof, length / 2, width / 2 + sunny * slope * 0.5,
                (length - 2 * margin) * rng.uniform(0.4, 0.95), slope * 0.68)


def _dormer(roof: _Roof, u: float, ridge: float, front: float, back: float, broad: float,
            bright: Color, style: int) -> None:
    """Stand a dormer from `back` to `front`, both metres from the ridge down the slope."""
    out = 1.0 if front > 0 else -1.0
    left, right = u - broad / 2, u + broad / 2
    near, far = ridge + front, ridge + back
    height = 0.55 * abs(front - back)
    ends = np.array([(left, near), (right, near)])
    roof.shade(np.concatenate([ends, [(left, far), (right, far)], ends + roof.sun * height]))
    lit = roof.to_sun
    if style == 0:  # a flat roof, bright as zinc or bitumen sheets are
        body = np.array([(left, near), (right, near), (right, far), (left, far)])
        roof.fill(body, bright, 0.8)
        inner = body + np.array([(0.12, -0.12 * out), (-0.12, -0.12 * out),
                                 (-0.12, 0.05 * out), (0.12, 0.05 * out)])
        roof.fill(inner, bright, 1 + 0.08 * out * lit[1])
    else:  # a gable of its own
        for edge, way in ((left, -1), (right, 1)):
            face = np.array([(edge, near), (u, near), (u, far - 0.25 * broad * out),
                             (edge, far)])
            roof.fill(face, bright, 1 + 0.24 * way * lit[0])
        roof.fill(np.array([(u - 0.06, near), (u + 0.06, near), (u + 0.06, far),
                            (u - 0.06, far)]), bright, 1.12)
    # The front leans into the view a little, with its window.
    wall = (240, 239, 234) if style != 2 else (150, 146, 140)
    light = 0.86 + 0.16 * out * lit[1]
    sill = near + 0.22 * out
    roof.fill(np.array([(left, near), (right, near), (right, sill), (left, sill)]), wall, light)
    roof.fill(np.array([(left + 0.2 * broad, near + 0.05 * out),
                        (right - 0.2 * broad, near + 0.05 * out),
                        (right - 0.2 * broad, sill - 0.03 * out),
                        (left + 0.2 * broad, sill - 0.03 * out)]), (44, 52, 62))


def _skylights(rng: np.random.Generator, roof: _Roof, length: float, width: float,
               margin: float, side: int) -> None:
    if length < 2 * margin + 1 or rng.random() < 0.4:
        return
    glass = ((52, 66, 84), (96, 116, 136), (206, 216, 224))[rng.integers(3)]
    v = width / 2 + side * width / 2 * rng.uniform(0.35, 0.65)
    for u in rng.uniform(margin, length - margin, int(rng.integers(1, 5))):
        roof.fill(box_corners(u, v, 0.95, 1.35), (88, 86, 84))
        roof.fill(box_corners(u, v, 0.75, 1.15), glass)


def _panels(roof: _Roof, u: float, v: float, length: float, width: float) -> None:
    """Lay solar panels with their frames on a slope or a stand."""
    columns, rows = max(1, int(length / 1.05)), max(1, int(width / 1.75))
    wide, deep = columns * 1.05, min(width, rows * 1.75)
    corners = box_corners(u, v, wide, deep)
    roof.shade(corners + roof.sun * 0.12)
    roof.fill(corners, (126, 134, 148))
    roof.fill(box_corners(u, v, wide - 0.08, deep - 0.08), (36, 46, 74))
    for i in range(1, columns):
        roof.fill(box_corners(u + i * 1.05 - wide / 2, v, 0.08, deep), (126, 134, 148))
    for j in range(1, rows):
        roof.fill(box_corners(u, v + (j / rows - 0.5) * deep, wide, 0.08), (126, 134, 148))


def _flat(rng: np.random.Generator, roof: _Roof, length: float, width: float,
          metal: bool) -> None:
    area = length * width
    if rng.random() < 0.35 and not metal and area > 90:  # rows of panels, tilted to the sun
        part = rng.uniform(0.3, 0.8)
        for v in np.arange(1.6, width - 1.4, 2.2):
            _panels(roof, length * part / 2 + 0.8, v, length * part - 1.6, 1.2)
        return
    room = 0.4 * min(length, width)
    for _ in range(rng.poisson(min(8.0, area / 130)) + 1):
        long, wide = min(rng.uniform(1.2, 5.0), room), min(rng.uniform(1.0, 2.4), room)
        if rng.random() < 0.5:
            long, wide = wide, long
        u = rng.uniform(1 + long / 2, length - 1 - long / 2)
        v = rng.uniform(1 + wide / 2, width - 1 - wide / 2)
        roof.box(u, v, long, wide, rng.uniform(0.5, 2.4), _BRIGHT[rng.integers(len(_BRIGHT))])
        if rng.random() < 0.6:  # the fans of a machine
            step = min(long, wide)
            turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
            ring = np.stack([np.cos(turn), np.sin(turn)], 1) * 0.34 * step
            count = int(max(long, wide) / step)
            for k in range(count):
                at = (k - (count - 1) / 2) * step
                spot = (u + at, v) if long > wide else (u, v + at)
                roof.fill(ring + spot, (70, 74, 78))
                roof.fill(ring * 0.35 + spot, (150, 154, 156))
    if rng.random() < 0.3:  # a duct
        v = rng.uniform(1.5, width - 1.5)
        roof.box(length / 2, v, length * rng.uniform(0.3, 0.7), 0.6, 0.6, (190, 194, 196))
    if rng.random() < 0.3 and not metal and width > 9 and length > 9:  # the stairs' head
        roof.box(rng.uniform(3, length - 3), rng.uniform(3, width - 3), 4.0, 2.8, 2.5,
                 (170, 166, 160))
