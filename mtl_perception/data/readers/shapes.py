"""Shapes to pixels: polygons and run lengths of annotation files, painted into a mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mtl_perception.data.readers.boxes import TOLERANCE
from mtl_perception.data.readers.registry import ReaderOptions
from mtl_perception.data.set_spec import MaskLabels
from mtl_perception.data.yaml_file import Place
from mtl_perception.errors import DataError
from mtl_perception.labels import IGNORE_LABEL


class ShapeOptions(ReaderOptions):
    """What the options of the formats with shapes have in common."""

    images: str = 'images'
    background: str = ''
    """Label of pixels outside all shapes; empty: they are unlabelled."""

    def check_labels(self, masks: MaskLabels | None, place: Place) -> None:
        """Raise ConfigError where `background` is no label of `masks`."""
        if self.background and (masks is None or self.background not in masks.names):
            raise (place / 'background').error(
                f'names no label of `masks`: {self.background!r:.60}')


class MaskPainter:
    """A mask of source labels, painted shape by shape; later shapes lie on top."""

    def __init__(self, names: Sequence[str], width: int, height: int, background: str) -> None:
        """Begin with all pixels of the label `background`, or unlabelled where it is empty."""
        self._index = {name: index for index, name in enumerate(names)}
        start = self._index[background] if background else IGNORE_LABEL
        self.mask = np.full((height, width), start, np.uint8)

    def paint(self, name: str, region: Region) -> None:
        """Give the region's pixels the label `name`; one that is no label unlabels them."""
        height, width = region.pixels.shape
        part = self.mask[region.y:region.y + height, region.x:region.x + width]
        part[region.pixels] = self._index.get(name, IGNORE_LABEL)


class Region:
    """Pixels of an image: a bool array [h, w] whose first one lies at x, y."""

    def __init__(self, pixels: np.ndarray, x: int = 0, y: int = 0) -> None:
        self.pixels = pixels
        self.x = x
        self.y = y

    @property
    def area(self) -> int:
        """Number of its pixels."""
        return int(self.pixels.sum())


def polygons_region(polygons: Sequence[np.ndarray], width: int, height: int,
                    where: str) -> Region:
    """
    Return the pixels in any of the polygons (each float [N, 2], x and y in pixels from 0).

    They are those that COCO's own tools find. Raises DataError, beginning with `where`, for a
    polygon of less than three points, one that is not finite or one that leaves the image.
    """
    from pycocotools import mask as coco
    for points in polygons:
        if len(points) < 3:
            raise DataError(f'{where}: a polygon has {len(points)} points; it needs three')
        if not np.isfinite(points).all():
            raise DataError(f'{where}: a polygon has a point that is not finite')
        away = max(-points.min(), (points - (width, height)).max())
        if away > TOLERANCE:
            raise DataError(f'{where}: a polygon leaves the image of {width}x{height} pixels by '
                            f'{away:g}; correct or remove it')
    clipped = [points.clip(0, (width, height)) for points in polygons]
    corners = np.concatenate(clipped)
    x0, y0 = np.floor(corners.min(axis=0)).astype(int)
    x1, y1 = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 1, (width, height))
    x0, y0 = min(x0, width - 1), min(y0, height - 1)
    # Painted in the smallest rectangle, which for most objects is a small part of the image.
    encoded = coco.frPyObjects(
        [(points - (x0, y0)).ravel().tolist() for points in clipped], int(y1 - y0), int(x1 - x0))
    return Region(coco.decode(coco.merge(encoded)).astype(bool), int(x0), int(y0))


def coco_runs(text: str, where: str) -> list[int]:
    """
    Return the run lengths in COCO's compressed text.

    Six characters' bits from 48 on hold five bits each, lowest first, with a sign; from the third
    run on the difference to the run before the last is stored. Raises DataError for other text.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 40:
            raise DataError(f'{where}: counts are no run lengths: {text!r:.40}')
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    if shift:
        raise DataError(f'{where}: counts end within a run length')
    return runs


def runs_mask(runs: Sequence[int], pixels: int, where: str) -> np.ndarray:
    """
    Return bool [pixels] of alternating runs, the first of which is False.

    Raises DataError where the runs are negative or do not add up to `pixels`, before any memory
    is asked for.
    """
    if any(run < 0 for run in runs):
        raise DataError(f'{where}: a run has {min(runs)} pixels')
    total = sum(runs)
    if total != pixels:
        raise DataError(f'{where}: its runs cover {total} pixels, not the {pixels} of its size')
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, np.array(runs, np.int64))
