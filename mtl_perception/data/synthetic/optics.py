"""Lens and sensor of a synthetic flight: light, vignette, blur and noise of its frames."""

from __future__ import annotations

import cv2
import numpy as np

_NOISE_SIDE = 256


class Optics:
    """What turns the drawn frames of one flight into photographs."""

    def __init__(self, rng: np.random.Generator, seed: int, width: int, height: int,
                 yaw: float) -> None:
        """Draw the properties from `rng`; motion blurs along `yaw`, in radians."""
        self._seed, self._width, self._height = seed, width, height
        exposure = rng.uniform(0.92, 1.22)
        white = exposure * (1 + rng.uniform(-0.05, 0.05, 3))
        light = np.arange(256)[:, None] / 255
        # What reaches a shadow is the sky's light: bluer than the sun's.
        sky = (1 - light) * np.array([-0.05, -0.01, 0.09])
        self._light_table = np.clip(200 * white * (light + sky), 0, 255).astype(
            np.uint8).reshape(1, 256, 3)
        y, x = np.mgrid[:height, :width].astype(np.float32)
        radius = ((x / width - 0.5) ** 2 + (y / height - 0.5) ** 2) * 2
        fall = 1 - rng.uniform(0.05, 0.22) * radius
        self._vignette = cv2.merge([(255 * fall).astype(np.uint8)] * 3)
        tile = rng.normal(0, rng.uniform(1.2, 4.2),
                          (height + _NOISE_SIDE, width + _NOISE_SIDE, 1))
        colour = rng.normal(0, 0.35, (_NOISE_SIDE, _NOISE_SIDE, 3))
        reps = [-(-n // _NOISE_SIDE) for n in tile.shape[:2]]
        colour = np.tile(colour, (*reps, 1))[:tile.shape[0], :tile.shape[1]]
        self._noise = np.round(tile * (1 + colour)).astype(np.int8)
        blur, along = rng.uniform(0.35, 0.75), rng.uniform(0.0, 1.6)
        self._kernel = _lens(blur, along * np.array([np.cos(yaw), np.sin(yaw)]))

    def expose(self, image: np.ndarray, light: np.ndarray, index: int) -> np.ndarray:
        """
        Return frame `index` as the camera records it, uint8 [H, W, 3] RGB.

        `image` is uint8 [H, W, 3] without light, `light` uint8 [H, W].
        """
        light = cv2.LUT(cv2.merge([light] * 3), self._light_table)
        light = cv2.multiply(light, self._vignette, scale=1 / 255)
        image = cv2.multiply(image, light, scale=1 / 200)
        image = cv2.filter2D(image, -1, self._kernel, borderType=cv2.BORDER_REPLICATE)
        rng = np.random.default_rng([self._seed, index])
        x, y = rng.integers(0, _NOISE_SIDE, 2)
        noise = self._noise[y:y + self._height, x:x + self._width]
        return cv2.add(image, noise, dtype=cv2.CV_8U)


def _lens(blur: float, motion: np.ndarray) -> np.ndarray:
    """Return the kernel [5, 5] of a lens with `blur` (px) moved by `motion` (px) in exposure."""
    axis = np.arange(-2, 3, dtype=np.float64)
    y, x = np.meshgrid(axis, axis, indexing='ij')
    kernel = sum(np.exp(-((x - t * motion[0]) ** 2 + (y - t * motion[1]) ** 2) / (2 * blur ** 2))
                 for t in np.linspace(-0.5, 0.5, 9))
    return (kernel / kernel.sum()).astype(np.float32)
