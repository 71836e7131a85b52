"""Roofs from above: tiles, sheet metal, flat roofs and what stands on them."""

from __future__ import annotations

import cv2
import numpy as np

from mtl_perception.data.synthetic.plan import Building

_TILED_ROOFS = ((172, 92, 66), (150, 78, 58), (124, 66, 54), (96, 88, 84), (74, 72, 74),
                (140, 116, 96), (184, 112, 80), (112, 108, 106), (88, 62, 52))
_FLAT_ROOFS = ((176, 174, 168), (150, 148, 144), (120, 118, 116), (196, 194, 188), (98, 96, 96),
               (160, 150, 136), (208, 206, 204))
_METAL_ROOFS = ((168, 174, 178), (198, 202, 204), (84, 116, 158), (150, 76, 62), (106, 134, 112),
                (138, 140, 142), (122, 90, 74))


def roof_texture(rng: np.random.Generator, building: Building, ppm: float,
                  to_sun: np.ndarray) -> np.ndarray:
    """Return uint8 [h, w, 4]: RGB times coverage and coverage, ridge along x."""
    w, h = (max(4, round(side * ppm)) for side in (building.length, building.width))
    y, x = np.mgrid[:h, :w].astype(np.float32) + 0.5
    along = np.array([np.cos(building.heading), np.sin(building.heading)])
    sun_u, sun_v = float(to_sun @ along), float(to_sun @ (-along[1], along[0]))
    grain = cv2.resize(rng.normal(0, 1, (max(2, h // 12), max(2, w // 12))).astype(np.float32),
                       (w, h), interpolation=cv2.INTER_CUBIC)
    light = 1 + 0.035 * grain + rng.normal(0, 0.03, (h, w)).astype(np.float32)
    if building.roof in ('gable', 'hip'):
        base = np.array(_TILED_ROOFS[rng.integers(len(_TILED_ROOFS))], np.float32)
        top, end = np.where(y < h / 2, -1.0, 1.0), np.zeros_like(x)
        ridge = np.abs(y - h / 2)
        slope_distance = np.minimum(y, h - y)
        if building.roof == 'hip':
            side_distance = np.minimum(x, w - x)
            hip = side_distance < slope_distance
            end = np.where(hip, np.where(x < w / 2, -1.0, 1.0), 0.0)
            top = np.where(hip, 0.0, top)
            ridge = np.minimum(np.maximum(ridge, 0), np.abs(side_distance - slope_distance) * 0.7
                               + np.where(np.minimum(x, w - x) < h / 2, 0, 99))
            slope_distance = np.minimum(slope_distance, side_distance)
        light *= 1 + 0.24 * (top * sun_v + end * sun_u)
        pitch = max(2.5, 0.42 * ppm)
        light *= 1 + 0.055 * np.sin(2 * np.pi * slope_distance / pitch)
        light = np.where(ridge < 0.14 * ppm, light * 0.5 + 0.68, light)
    elif building.roof == 'metal':
        base = np.array(_METAL_ROOFS[rng.integers(len(_METAL_ROOFS))], np.float32)
        pitch = max(3.0, rng.uniform(0.5, 1.1) * ppm)
        light *= 1 + 0.05 * np.sin(2 * np.pi * x / pitch)
        light *= 1 + 0.12 * np.where(y < h / 2, -sun_v, sun_v)
        rust = np.clip(grain - 1.1, 0, 1)[..., None]
        rgb = light[..., None] * (base * (1 - 0.5 * rust) + 0.5 * rust * np.array([124, 78, 50]))
        return _finish_roof(rng, rgb, building, ppm, sun_u, sun_v)
    else:
        base = np.array(_FLAT_ROOFS[rng.integers(len(_FLAT_ROOFS))], np.float32)
        light *= 1 + 0.05 * cv2.resize(rng.normal(0, 1, (3, 4)).astype(np.float32), (w, h),
                                       interpolation=cv2.INTER_CUBIC)
        seam = max(4, round(rng.uniform(1.0, 4.0) * ppm))
        light[::seam] *= 0.93
    rgb = light[..., None] * base
    return _finish_roof(rng, rgb, building, ppm, sun_u, sun_v)


def _finish_roof(rng: np.random.Generator, rgb: np.ndarray, building: Building, ppm: float,
                 sun_u: float, sun_v: float) -> np.ndarray:
    """Add what stands on the roof, and its rim."""
    h, w = rgb.shape[:2]
    shade = np.array([-sun_u, -sun_v])

    def stand(u: float, v: float, length: float, width: float, tall: float,
              color: np.ndarray | tuple[float, float, float]) -> None:
        x0, y0 = int(u - length * ppm / 2), int(v - width * ppm / 2)
        x1, y1 = int(u + length * ppm / 2) + 1, int(v + width * ppm / 2) + 1
        box = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], np.float32)
        hull = cv2.convexHull(np.concatenate([box, box + (shade * tall * ppm)
                                              .astype(np.float32)]))
        cast = np.zeros((h, w), np.uint8)
        cv2.fillPoly(cast, [np.round(hull).astype(np.int32)], 1)
        rgb[cast > 0] *= 0.55
        rgb[max(y0, 0):max(y1, 0), max(x0, 0):max(x1, 0)] = color

    if building.roof == 'flat':
        rim = max(1, round(0.35 * ppm))
        inner = max(1, round(0.5 * ppm))
        if sun_v > 0:
            rgb[-rim - inner:-rim] *= 0.62
        else:
            rgb[rim:rim + inner] *= 0.62
        if sun_u > 0:
            rgb[:, -rim - inner:-rim] *= 0.62
        else:
            rgb[:, rim:rim + inner] *= 0.62
        # The parapet catches the light.
        for part in (rgb[:rim], rgb[-rim:], rgb[:, :rim], rgb[:, -rim:]):
            part[:] = part.mean((0, 1)) * 0.3 + 150
        area = building.length * building.width
        if area > 60:
            for _ in range(rng.poisson(min(9.0, area / 130)) + 1):
                stand(rng.uniform(0.12, 0.88) * w, rng.uniform(0.18, 0.82) * h,
                      rng.uniform(0.9, 2.6), rng.uniform(0.9, 2.0), rng.uniform(0.6, 1.4),
                      np.array([1, 1, 1]) * rng.uniform(120, 215))
        if area > 300 and rng.random() < 0.6:
            for u in np.arange(0.1, 0.92, 4.5 / building.length):
                stand(u * w, 0.5 * h, 1.4, 1.4, 0.2, (196, 208, 214))
    elif building.roof in ('gable', 'hip'):
        if rng.random() < 0.55:
            stand(rng.uniform(0.2, 0.8) * w, rng.uniform(0.35, 0.65) * h, 0.7, 0.6, 1.0,
                  (118, 92, 80))
        if rng.random() < 0.22 and building.length > 8:
            row = 0.72 * h if sun_v > 0 else 0.28 * h
            long, deep = building.length * 0.45, building.width * 0.24
            stand(0.5 * w, row, long, deep, 0.05, (34, 42, 66))
            x0, y0 = int(0.5 * w - long * ppm / 2), int(row - deep * ppm / 2)
            for x in range(x0, int(0.5 * w + long * ppm / 2), max(3, round(1.0 * ppm))):
                rgb[max(y0, 0):int(row + deep * ppm / 2), x] = (120, 128, 144)
        elif rng.random() < 0.35:
            for u in rng.uniform(0.15, 0.85, 3):
                stand(u * w, rng.choice((0.25, 0.75)) * h, 0.8, 1.1, 0.05, (70, 84, 100))
    elif rng.random() < 0.4:
        for u in np.arange(0.12, 0.9, 6.0 / building.length):
            stand(u * w, rng.choice((0.27, 0.73)) * h, 1.0, building.width * 0.25, 0.05,
                  (206, 214, 214))
    edge = max(1, round(0.12 * ppm))
    for part in (rgb[:edge], rgb[-edge:], rgb[:, :edge], rgb[:, -edge:]):
        part *= 0.8
    return np.dstack([np.clip(rgb, 0, 255), np.full((h, w), 255)]).astype(np.uint8)
