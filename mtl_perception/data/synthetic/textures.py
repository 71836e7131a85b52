"""Seamless textures of a synthetic town: ground materials, roof grain, tree crowns."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

TILE = 512
"""Side of a texture tile in pixels; it repeats without a seam."""

GRASS, MEADOW, DIRT, PAVING, ASPHALT, OLD_ASPHALT, GRAVEL, WATER, CROP, SAND, POOL = range(11)
"""Ground materials, as painted into the material plane of a town."""


@dataclass(frozen=True)
class Season:
    """The surfaces of the town on the day of the flight; RGB colours, 0..255."""

    grass: tuple[float, float, float]
    meadow: tuple[float, float, float]
    crop: tuple[float, float, float]
    crowns: tuple[tuple[float, float, float], ...]


SEASONS = (
    Season((104, 120, 70), (140, 142, 92), (126, 142, 80),
           ((62, 88, 40), (78, 100, 48), (50, 76, 42), (92, 108, 56))),
    Season((124, 126, 82), (162, 152, 108), (178, 160, 110),
           ((82, 94, 46), (102, 104, 54), (66, 80, 44), (120, 112, 60))),
    Season((112, 114, 74), (146, 132, 94), (136, 116, 88),
           ((140, 104, 44), (160, 122, 56), (118, 92, 48), (72, 84, 44), (150, 84, 44))),
    Season((88, 118, 64), (114, 140, 78), (100, 136, 68),
           ((54, 92, 38), (84, 120, 50), (44, 74, 44), (104, 130, 62))),
)


def fractal(rng: np.random.Generator, side: int, slope: float, finest: float = 1.0,
            stretch: float = 1.0) -> np.ndarray:
    """
    Return seamless noise whose amplitude falls with frequency to the power `slope`.

    float32 [side, side], mean 0, standard deviation 1. `finest` is the shortest wave in pixels,
    `stretch` > 1 draws the grain out along x.
    """
    spectrum = np.fft.rfft2(rng.standard_normal((side, side), np.float32))
    fy = np.fft.fftfreq(side)[:, None].astype(np.float32)
    fx = np.fft.rfftfreq(side)[None].astype(np.float32) * stretch
    frequency = np.sqrt(fy * fy + fx * fx)
    frequency[0, 0] = 1.0
    gain = frequency ** -slope * np.exp(-(frequency * finest) ** 2)
    gain[0, 0] = 0.0
    noise = np.fft.irfft2(spectrum * gain, s=(side, side))
    return (noise / (noise.std() + 1e-9)).astype(np.float32)


def wide_variation(rng: np.random.Generator, side: int, slope: float = 1.4) -> np.ndarray:
    """Return slow seamless variation over the whole town: float32 [side, side], deviation 1."""
    small = fractal(rng, 128, slope)
    wrapped = np.pad(small, 4, mode='wrap')
    step = side / 128
    pad = round(4 * step)
    large = cv2.resize(wrapped, (side + 2 * pad, side + 2 * pad), interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(large[pad:pad + side, pad:pad + side])


def material_tiles(rng: np.random.Generator, season: Season, ppm: float) -> list[np.ndarray]:
    """
    Return one seamless RGB tile per material, uint8 [TILE, TILE, 3].

    `ppm` is the scale in pixels per metre: grain has a size in metres where it matters.
    """
    coarse, middle, fine = (fractal(rng, TILE, 1.6), fractal(rng, TILE, 1.0),
                            fractal(rng, TILE, 0.0))
    blotch = fractal(rng, TILE, 1.8, finest=1.5 * ppm)
    hue = fractal(rng, TILE, 1.3)
    ripple = fractal(rng, TILE, 0.7, finest=0.25 * ppm, stretch=3.0)
    tufts = fractal(rng, TILE, 0.4, finest=0.25 * ppm)

    def tile(color: tuple[float, ...] | np.ndarray, *grains: tuple[np.ndarray, float],
             tint: float = 0.0) -> np.ndarray:
        light: np.ndarray = np.zeros((TILE, TILE), np.float32)
        for grain, weight in grains:
            light = light + weight * grain
        rgb = (1 + light)[..., None] * np.asarray(color, np.float32)
        if tint:
            rgb += (tint * hue)[..., None] * np.array([1.0, 0.1, -0.4], np.float32)
        return np.clip(rgb, 0, 255).astype(np.uint8)

    asphalt = rng.uniform(98, 152)
    paving = rng.uniform(162, 202)
    warm = rng.uniform(-7, 7)
    soil = np.array([150, 126, 98]) * rng.uniform(0.85, 1.12)
    water = np.array(((44, 66, 66), (70, 84, 70), (58, 86, 104), (36, 50, 46))[rng.integers(4)])
    rows = np.arange(TILE)
    # A whole number of plough lines per tile keeps it seamless.
    lines = max(1, round(TILE / (ppm * 0.9)))
    furrows = np.sin(2 * np.pi * lines * rows / TILE)[:, None] * np.ones((1, TILE), np.float32)
    joints = np.zeros((TILE, TILE), np.float32)
    pitch = TILE / max(1, round(TILE / (ppm * 1.6)))
    for k in np.arange(0, TILE, pitch).astype(int):
        joints[k] = joints[:, k] = 1.0
    tiles: list[np.ndarray] = [np.empty(0)] * 11
    tiles[GRASS] = tile(season.grass, (tufts, 0.10), (coarse, 0.07), (fine, 0.05), tint=5)
    tiles[MEADOW] = tile(season.meadow, (tufts, 0.12), (blotch, 0.10), (fine, 0.06), tint=8)
    tiles[DIRT] = tile(soil, (coarse, 0.07), (middle, 0.05), (fine, 0.04), tint=6)
    tiles[PAVING] = tile((paving + warm, paving, paving - warm), (coarse, 0.04), (fine, 0.03),
                         (joints, -0.09), tint=2)
    tiles[ASPHALT] = tile((asphalt + 1, asphalt, asphalt + 1), (coarse, 0.05), (middle, 0.03),
                          (fine, 0.035), tint=1.5)
    old = asphalt * rng.uniform(1.0, 1.18)
    tiles[OLD_ASPHALT] = tile((old + 3, old, old - 3), (blotch, 0.05), (middle, 0.05),
                              (fine, 0.045), tint=2)
    tiles[GRAVEL] = tile(soil * 0.5 + 78, (coarse, 0.05), (middle, 0.04), (fine, 0.08), tint=3)
    tiles[WATER] = tile(water, (ripple, 0.07), (coarse, 0.05), (fine, 0.015), tint=2)
    tiles[CROP] = tile(season.crop, (furrows, 0.11), (tufts, 0.07), (blotch, 0.06), (fine, 0.04),
                       tint=5)
    tiles[SAND] = tile((188, 172, 140), (coarse, 0.05), (fine, 0.04), tint=4)
    tiles[POOL] = tile((92, 184, 196), (ripple, 0.06), (coarse, 0.03))
    return tiles


def crown_lights(rng: np.random.Generator, sun: np.ndarray, count: int = 14) -> list[np.ndarray]:
    """
    Return tree crowns from above: float32 [96, 96, 2], brightness (about 1) and coverage (0..1).

    `sun` is the unit vector towards the sun in the plane of the image.
    """
    side = 96
    axis = (np.arange(side, dtype=np.float32) + 0.5) / (side / 2) - 1
    y, x = np.meshgrid(axis, axis, indexing='ij')
    angle = np.arctan2(y, x)
    crowns = []
    for number in range(count):
        conifer = number % 5 == 4
        outline = 0.80 + np.zeros_like(angle)
        for k in range(2, 12 if not conifer else 18):
            swing = (0.16 if not conifer else 0.22) / k ** 0.8
            outline += swing * rng.uniform(0.2, 0.8) * np.sin(k * angle + rng.uniform(0, 6.283))
        leaves = fractal(rng, side, 0.5, finest=5.0)
        clumps = fractal(rng, side, 1.0, finest=13.0)
        radius = np.hypot(x, y)
        cover = np.clip((outline - radius + 0.05 * leaves + 0.05 * clumps) * 12, 0, 1)
        dome = np.sqrt(np.clip(1 - (radius / 0.95) ** 2, 0, 1))
        lit = (x * sun[0] + y * sun[1]) * (0.42 if not conifer else 0.6)
        # A clump is bright towards the sun: the slope of the noise along the sun's direction.
        slope_y, slope_x = np.gradient(clumps)
        relief = (slope_x * sun[0] + slope_y * sun[1]) * -1.6
        light = 0.62 + 0.33 * dome + lit + 0.17 * leaves * (0.6 + dome) + relief
        crowns.append(np.dstack([np.clip(light, 0.22, 1.75), cover]).astype(np.float32))
    return crowns
