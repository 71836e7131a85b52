"""Checking the boxes of one image and translating their classes."""

from __future__ import annotations

import math

import numpy as np

from mtl_perception.data.samples import BoxTruth
from mtl_perception.data.set_spec import BoxLabels
from mtl_perception.errors import DataError

TOLERANCE = 2.0
"""
Pixels by which a box may reach over the image's edge and is clipped: annotation tools round,
and write x1 = width or width + 1. More is an error, since it means a wrong unit or image.
"""


class BoxList:
    """Gathers the boxes of one image of `width` x `height` pixels."""

    def __init__(self, labels: BoxLabels, width: int, height: int) -> None:
        self._labels = labels
        self._width = width
        self._height = height
        self._boxes: list[tuple[float, float, float, float]] = []
        self._classes: list[int] = []
        self._ignore: list[tuple[float, float, float, float]] = []

    def add(self, source_class: str, box: tuple[float, float, float, float], where: str,
            ignore: bool = False, clip: bool = False) -> None:
        """
        Add the box x0, y0, x1, y1 in pixels; a source class mapped to None is an ignore region.

        Raises DataError, beginning with `where`, for a class without a mapping, a box without
        area and one that leaves the image by more than `TOLERANCE`; with `clip`, only where
        nothing of it lies in the image.
        """
        if source_class not in self._labels.mapping:
            raise DataError(f'{where}: class {source_class!r:.60} has no mapping; add it to '
                            '`boxes.classes` of the set in the manifest')
        clipped = self._clip(box, where, clip)
        index = self._labels.mapping[source_class]
        if source_class in self._labels.by_length:
            length, longer = self._labels.by_length[source_class]
            if max(clipped[2] - clipped[0], clipped[3] - clipped[1]) >= length:
                index = longer
        if ignore or index is None:
            self._ignore.append(clipped)
        else:
            self._boxes.append(clipped)
            self._classes.append(index)

    def ignore(self, box: tuple[float, float, float, float], where: str) -> None:
        """Add an ignore region of no class; raises DataError as `add` does."""
        self._ignore.append(self._clip(box, where, False))

    def truth(self) -> BoxTruth:
        """Return what was added."""
        return BoxTruth(np.array(self._boxes, np.float32).reshape(-1, 4),
                        np.array(self._classes, np.int32),
                        np.array(self._ignore, np.float32).reshape(-1, 4))

    def _clip(self, box: tuple[float, float, float, float], where: str,
              beyond: bool) -> tuple[float, float, float, float]:
        x0, y0, x1, y1 = box
        text = ', '.join(f'{value:g}' for value in box)
        if not all(math.isfinite(value) for value in box):
            raise DataError(f'{where}: box {text} is not finite')
        if not (x1 > x0 and y1 > y0):
            raise DataError(f'{where}: box {text} (x0, y0, x1, y1) has no area; remove it')
        if not beyond and max(-x0, -y0, x1 - self._width, y1 - self._height) > TOLERANCE:
            raise DataError(f'{where}: box {text} (x0, y0, x1, y1) lies outside the image of '
                            f'{self._width}x{self._height} pixels; correct or remove it')
        x0, x1 = max(x0, 0.0), min(x1, float(self._width))
        y0, y1 = max(y0, 0.0), min(y1, float(self._height))
        if not (x1 > x0 and y1 > y0):
            raise DataError(f'{where}: box {text} (x0, y0, x1, y1) has no area in the image of '
                            f'{self._width}x{self._height} pixels; remove it')
        return x0, y0, x1, y1
