"""Coloured masks to label indices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mtl_perception.errors import DataError
from mtl_perception.images.reading import read_colors
from mtl_perception.labels import Color, IGNORE_LABEL

TOLERANCE = 4
"""
Levels by which a channel may differ from a label's colour: some published masks have been through
an editor. Where two labels are nearer to each other than that, the nearer one is taken.
"""


class ColorTable:
    """Finds the labels of colours, by a table of all of them (16 MB)."""

    def __init__(self, colors: Sequence[Color]) -> None:
        if len(colors) > IGNORE_LABEL:
            raise ValueError(f'{len(colors)} colours do not fit into a byte')
        labels = np.full((256, 256, 256), IGNORE_LABEL, np.uint8)
        distance = np.full((256, 256, 256), TOLERANCE + 1, np.uint8)
        for label, color in enumerate(colors):
            low = [max(0, c - TOLERANCE) for c in color]
            cube = tuple(slice(a, c + TOLERANCE + 1) for a, c in zip(low, color, strict=True))
            shape = distance[cube].shape
            away = np.zeros(shape, np.uint8)
            for axis, (a, c) in enumerate(zip(low, color, strict=True)):
                levels = np.abs(np.arange(a, a + shape[axis]) - c).astype(np.uint8)
                away = np.maximum(away, levels.reshape([-1 if k == axis else 1 for k in range(3)]))
            nearer = away < distance[cube]
            labels[cube][nearer] = label
            distance[cube][nearer] = away[nearer]
        self._labels = labels.ravel()

    def read(self, path: Path) -> np.ndarray:
        """Return the labels uint8 [H, W] of the mask; DataError for a colour that has none."""
        pixels = read_colors(path)
        codes = pixels[..., 0].astype(np.int32)
        for channel in (1, 2):
            codes <<= 8
            codes |= pixels[..., channel]
        mask = self._labels[codes]
        if mask.max(initial=0) == IGNORE_LABEL:
            y, x = np.argwhere(mask == IGNORE_LABEL)[0]
            raise DataError(f'{path}: colour {pixels[y, x].tolist()} at x {x}, y {y} is no '
                            "label's; add it to `masks` and `colors` of the set in the manifest")
        return mask
