"""Large images of a set as many smaller ones, cut when they are read and never on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import math

import numpy as np

from mtl_perception.data.data_set import FileSet
from mtl_perception.data.samples import BoxTruth, Sample
from mtl_perception.data.set_spec import Crops
from mtl_perception.data.transforms import AugmentOptions
from mtl_perception.errors import DataError
from mtl_perception.images.reading import image_size


@dataclass(frozen=True)
class _Crop:
    image: int
    name: str
    window: tuple[int, int, int, int] | None
    """x0, y0, x1, y1 in pixels; None: the whole image."""


class CroppedSet:
    """
    A data set whose large images are read in crops.

    The sizes come from the headers of the files. The last image is kept, so that reading the
    crops in order decodes each image once.
    """

    def __init__(self, data_set: FileSet, crops: Crops) -> None:
        self.spec = data_set.spec
        self._set = data_set
        self._options = crops
        self._splits: dict[str, list[_Crop]] = {}
        self._last: tuple[str, int, Sample] | None = None

    def stems(self, split: str) -> Sequence[str]:
        """Return the names of the crops, '<stem>@<x>,<y>', and of images that stay whole."""
        return [crop.name for crop in self._crops(split)]

    def read(self, split: str, index: int) -> Sample:
        """Return the split's crop `index`; DataError where its image is broken."""
        crop = self._crops(split)[index]
        if self._last is None or self._last[:2] != (split, crop.image):
            self._last = None  # Two large images need not be in memory at once.
            self._last = split, crop.image, self._set.read(split, crop.image)
        sample = self._last[2]
        if crop.window is None:
            return sample
        x0, y0, x1, y1 = crop.window
        return Sample(
            f'{self.spec.name}/{crop.name}', sample.image[y0:y1, x0:x1].copy(),
            _cut(sample.boxes, crop.window) if sample.boxes is not None else None,
            sample.mask[y0:y1, x0:x1].copy() if sample.mask is not None else None)

    def _crops(self, split: str) -> list[_Crop]:
        if split not in self._splits:
            self._splits[split] = [
                crop for image, stem in enumerate(self._set.stems(split))
                for crop in self._cut_up(split, image, stem)]
        return self._splits[split]

    def _cut_up(self, split: str, image: int, stem: str) -> list[_Crop]:
        whole = [_Crop(image, stem, None)]
        try:
            width, height = image_size(self._set.image_file(split, image))
        except DataError:
            return whole  # Reading it reports what is wrong.
        side, overlap = self._options.side, self._options.overlap
        if max(width, height) <= side:
            return whole
        return [_Crop(image, f'{stem}@{x},{y}',
                      (x, y, min(x + side, width), min(y + side, height)))
                for y in _starts(height, side, overlap) for x in _starts(width, side, overlap)]


def _starts(length: int, side: int, overlap: int) -> list[int]:
    """Return where crops begin, evenly spread, so that they cover `length`."""
    if length <= side:
        return [0]
    count = math.ceil((length - overlap) / (side - overlap))
    return [round(k * (length - side) / (count - 1)) for k in range(count)]


def _cut(truth: BoxTruth, window: tuple[int, int, int, int]) -> BoxTruth:
    """Return the boxes in the window; those of which little is in it are ignored there."""
    boxes, shown = _clip(truth.boxes, window)
    keep = shown >= AugmentOptions().visible_share
    ignore, ignore_shown = _clip(truth.ignore, window)
    return BoxTruth(boxes[keep], truth.classes[keep],
                    np.concatenate((ignore[ignore_shown > 0], boxes[(shown > 0) & ~keep])))


def _clip(boxes: np.ndarray, window: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the boxes in pixels of the window, cut at its edges, and the share of each in it."""
    x0, y0, x1, y1 = window
    moved = boxes - np.array([x0, y0, x0, y0], np.float32)
    clipped = moved.clip(0, np.array([x1 - x0, y1 - y0] * 2, np.float32))
    sides, before = clipped[:, 2:] - clipped[:, :2], moved[:, 2:] - moved[:, :2]
    return clipped, sides.prod(axis=1) / before.prod(axis=1)
