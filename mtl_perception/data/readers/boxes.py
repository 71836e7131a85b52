"""Checking the boxes of one image and translating their classes."""

from __future__ import annotations

from collections import Counter
import math
import struct
from typing import Literal

import numpy as np

from mtl_perception.data.box_counts import BoxCounts
from mtl_perception.data.samples import BoxTruth
from mtl_perception.data.set_spec import BoxLabels
from mtl_perception.errors import DataError
from mtl_perception.rotated_boxes import Corners

TOLERANCE = 2.0
"""
Pixels by which a box may reach over the image's edge and is clipped: annotation tools round,
and write x1 = width or width + 1. More is an error, since it means a wrong unit or image.
"""

Mark = Literal['', 'crowd', 'difficult', 'ignored']
"""What makes a box an ignore region, whatever its class: a field of `BoxCounts`."""

_FLOATS = struct.Struct('4f')


class BoxList:
    """
    Gathers the boxes of one image of `width` x `height` pixels.

    Duplicates, boxes without area and those with no part in the image are dropped and counted.
    """

    def __init__(self, labels: BoxLabels, width: int, height: int) -> None:
        self._labels = labels
        self._width = width
        self._height = height
        self._boxes: list[Corners] = []
        self._classes: list[int] = []
        self._areas: list[float | None] = []
        self._ignore: list[Corners] = []
        self._known: set[tuple[int | None, Corners]] = set()
        self._counts: Counter[str] = Counter()

    def add(self, source_class: str, box: Corners, where: str, *, ignore: Mark = '',
            rotated: bool = False, clip: bool = False, area: float | None = None) -> None:
        """
        Add a box; one of a source class mapped to None is an ignore region.

        Args:
            source_class: its class in the annotation.
            box: x0, y0, x1, y1 in pixels; of a rotated box, its upright hull.
            where: file and line, with which an error begins.
            ignore: what marks it as an ignore region; empty: nothing.
            rotated: whether it was rotated. Then it is cut at the edge of the image, as with
            `clip`.
            clip: whether it may leave the image by more than `TOLERANCE`.
            area: the object's area in pixels; None: that of the box.

        Raises DataError for a class without a mapping, a box that is not finite, one that leaves
        the image by more than `TOLERANCE` unless it may, and one that lies further away from the
        image than its longer side, since that means a wrong unit, too.

        """
        if source_class not in self._labels.mapping:
            raise DataError(f'{where}: class {source_class!r:.60} has no mapping; add it to '
                            '`boxes.classes` of the set in the manifest')
        self._counts['listed'] += 1
        inside = self._inside(box, where, clip or rotated)
        if inside is None:
            return
        index = self._labels.mapping[source_class]
        if source_class in self._labels.by_length:
            length, longer = self._labels.by_length[source_class]
            if max(inside[2] - inside[0], inside[3] - inside[1]) >= length:
                index = longer
        if ignore or index is None:
            self._add_region(inside, ignore or 'unmapped')
        elif self._is_new(index, inside):
            self._boxes.append(inside)
            self._classes.append(index)
            self._areas.append(area)
            self._counts['rotated'] += rotated
            self._counts['clipped'] += (min(box[:2]) < 0 or box[2] > self._width
                                        or box[3] > self._height)

    def ignore(self, box: Corners, where: str) -> None:
        """Add an ignore region of no class; raises DataError as `add` does."""
        self._counts['listed'] += 1
        inside = self._inside(box, where, False)
        if inside is not None:
            self._add_region(inside, 'ignored')

    def truth(self) -> BoxTruth:
        """Return what was added."""
        boxes = np.array(self._boxes, np.float32).reshape(-1, 4)
        areas = None
        if any(area is not None for area in self._areas):
            areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
            for row, area in enumerate(self._areas):
                areas[row] = areas[row] if area is None else area
        return BoxTruth(boxes, np.array(self._classes, np.int32),
                        np.array(self._ignore, np.float32).reshape(-1, 4), areas,
                        BoxCounts(**self._counts))

    def _add_region(self, box: Corners, cause: str) -> None:
        if self._is_new(None, box):
            self._ignore.append(box)
            self._counts[cause] += 1

    def _is_new(self, index: int | None, box: Corners) -> bool:
        if (index, box) in self._known:
            self._counts['duplicate'] += 1
            return False
        self._known.add((index, box))
        return True

    def _inside(self, box: Corners, where: str, beyond: bool) -> Corners | None:
        """Return the box's part in the image; None for one that is dropped."""
        x0, y0, x1, y1 = box
        if not all(math.isfinite(value) for value in box):
            raise DataError(f'{where}: box {_text(box)} is not finite')
        if not (x1 > x0 and y1 > y0):
            self._counts['no_area'] += 1
            return None
        if not beyond and max(-x0, -y0, x1 - self._width, y1 - self._height) > TOLERANCE:
            raise self._far(box, where)
        x0, y0, x1, y1 = inside = _rounded((
            max(x0, 0.0), max(y0, 0.0), min(x1, float(self._width)), min(y1, float(self._height))))
        if x1 > x0 and y1 > y0:
            return inside
        away = max(-box[2], -box[3], box[0] - self._width, box[1] - self._height)
        if away > max(self._width, self._height):
            raise self._far(box, where)
        self._counts['outside' if away >= 0 else 'no_area'] += 1
        return None

    def _far(self, box: Corners, where: str) -> DataError:
        return DataError(f'{where}: box {_text(box)} (x0, y0, x1, y1) lies outside the image of '
                         f'{self._width}x{self._height} pixels; correct or remove it')


def _rounded(box: Corners) -> Corners:
    """Return the box as it is stored: in float32."""
    x0, y0, x1, y1 = _FLOATS.unpack(_FLOATS.pack(*box))
    return x0, y0, x1, y1


def _text(box: Corners) -> str:
    return ', '.join(f'{value:g}' for value in box)
