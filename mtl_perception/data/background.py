"""Masks that show where no object is: empty boxes and ignore regions, for training."""

from __future__ import annotations

import cv2
import numpy as np

from mtl_perception.data.data_set import DataSet
from mtl_perception.data.samples import BoxTruth, Sample
from mtl_perception.data.set_spec import MaskLabels, SetSpec
from mtl_perception.labels import IGNORE_LABEL

MARGIN = 6.0
"""
Pixels by which an ignore region reaches over the area in the mask. Masks drawn by hand are off by
a few pixels at the edge of an object, and its shadow is often left out.
"""

CELL = 16
"""Side in pixels of the squares that a large area is divided into: regions are upright boxes."""


class BackgroundSet:
    """
    A data set with masks whose images train detection as background, outside ignore regions.

    Its samples have no boxes, and an ignore region wherever the mask allows one of the classes
    of `SetSpec.background`. This is for training only: it is no ground truth to score against.
    """

    def __init__(self, data_set: DataSet) -> None:
        """Take a set whose specification has masks and `background`."""
        self.spec: SetSpec = data_set.spec
        self._set = data_set
        assert self.spec.masks is not None
        self._possible = possible_labels(self.spec.masks, tuple(self.spec.background))

    def stems(self, split: str) -> list[str]:
        """Return the stems of the split's entries; see `DataSet`."""
        return list(self._set.stems(split))

    def read(self, split: str, index: int) -> Sample:
        """Return the split's image `index` with its ignore regions; see `DataSet`."""
        sample = self._set.read(split, index)
        if sample.mask is None:
            return sample
        return Sample(sample.name, sample.image, BoxTruth(
            np.zeros((0, 4), np.float32), np.zeros(0, np.int32),
            ignore_regions(self._possible[sample.mask])), sample.mask)


def possible_labels(masks: MaskLabels, classes: tuple[int, ...]) -> np.ndarray:
    """
    Return bool [256]: the values of a mask whose pixels may be of one of `classes`.

    They are the labels that may be such a class, those of which nothing is known, and
    unlabelled pixels.
    """
    possible = np.ones(256, bool)
    possible[:len(masks.names)] = masks.allowed[:, list(classes)].any(axis=1) | (
        ~masks.allowed.any(axis=1))
    possible[IGNORE_LABEL] = True
    return possible


def ignore_regions(possible: np.ndarray) -> np.ndarray:
    """
    Return boxes float32 [M, 4] in pixels that cover `possible`, bool [H, W], with a `MARGIN`.

    Each connected area is one box, or, where its box is longer than two `CELL` and less than half
    full, the boxes of its parts in columns of that width.
    """
    if not possible.any():
        return np.zeros((0, 4), np.float32)
    height, width = possible.shape
    _, areas, stats, _ = cv2.connectedComponentsWithStats(
        possible.astype(np.uint8), connectivity=8)
    found = []
    for number, (x, y, w, h, area) in enumerate(stats[1:].tolist(), 1):
        if max(w, h) <= 2 * CELL or 2 * area >= w * h:
            found.append((x, y, x + w, y + h))
            continue
        own = areas[y:y + h, x:x + w] == number
        found += [(x + x0, y + y0, x + x1, y + y1) for x0, y0, x1, y1 in _parts(own)]
    regions = np.array(found, np.float32) + np.array([-MARGIN, -MARGIN, MARGIN, MARGIN],
                                                     np.float32)
    return regions.clip(0, np.array([width, height] * 2, np.float32))


def _parts(area: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Return boxes that cover `area`, bool [h, w]: in each strip of columns, its runs of rows."""
    boxes = []
    for x0 in range(0, area.shape[1], CELL):
        strip = area[:, x0:x0 + CELL]
        rows = np.flatnonzero(strip.any(axis=1))
        for run in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1):
            for part in np.array_split(run, -(-len(run) // CELL)):
                columns = np.flatnonzero(strip[part[0]:part[-1] + 1].any(axis=0))
                boxes.append((x0 + int(columns[0]), int(part[0]),
                              x0 + int(columns[-1]) + 1, int(part[-1]) + 1))
    return boxes
