"""
Intersection over union of label maps with masks whose labels are sets of classes.

A source label may mean several of our classes (`ground`: ground or road). The predicted classes
are merged the same way before they are compared: a predicted pixel counts as the label whose set
contains its class, and a class in no set of the source counts as wrong wherever the source has a
label. Pixels without a label, and labels that map to no class, are not scored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mtl_perception.data.set_spec import MaskLabels
from mtl_perception.evaluation.boundary import boundary_f

_CODES = 256


@dataclass(frozen=True)
class SegmentationScore:
    """Scores of the source labels of one set, merged as in its manifest."""

    iou: dict[str, float]
    """IoU in 0..1 of each scored label; NaN if neither ground truth nor prediction has it."""
    pixels: dict[str, int]
    """Number of true pixels of each scored label."""
    mean: float
    """Mean IoU (mIoU) over the labels in the ground truth; NaN if it has none."""
    frequency_weighted: float = float('nan')
    """Mean IoU weighted by the true pixels of the labels."""
    pixel_accuracy: float = float('nan')
    """Share of the labelled pixels that are correct."""
    predicted: dict[str, int] = field(default_factory=dict)
    """Number of labelled pixels predicted as each label."""
    boundary: dict[str, float] = field(default_factory=dict)
    """Boundary F of each label, the mean over the images in which it has a border; may be NaN."""
    boundary_mean: float = float('nan')
    """Mean of `boundary` over the labels that have a score."""
    confusion: tuple[tuple[int, ...], ...] = ()
    """Pixels [true label][predicted label]; the last column counts classes of no label."""


@dataclass(frozen=True, eq=False)
class PixelCounts:
    """Per-image counts from which the scores of a set are computed."""

    names: tuple[str, ...]
    """The K scored labels."""
    confusion: np.ndarray
    """int64 [images, K, K + 1] pixels; see ``SegmentationScore.confusion``."""
    boundary: np.ndarray
    """float64 [images, K]: boundary F; NaN if the label has no border, or it was not requested."""


class SegmentationScorer:
    """Counts pixels by true label and predicted class, and scores them."""

    def __init__(self, labels: MaskLabels, boundaries: bool = False) -> None:
        """Score these labels; `boundaries`: compute their boundary F too."""
        self._labels = labels
        self._boundaries = boundaries
        scored = np.asarray(labels.allowed.any(axis=1))
        self._names = tuple(
            name for name, keep in zip(labels.names, scored, strict=True) if keep)
        kinds = len(self._names)
        # Source label -> scored label, and class -> the scored label that includes it, or none.
        self._of_label = np.full(_CODES, kinds, np.uint8)
        self._of_label[:len(scored)][scored] = np.arange(kinds)
        self._of_class = np.full(_CODES, kinds, np.uint8)
        for index, allowed in enumerate(labels.allowed[scored]):
            self._of_class[:len(allowed)][allowed] = index
        self._total = np.zeros((_CODES, _CODES), np.int64)
        self._images: list[np.ndarray] = []
        self._boundary: list[np.ndarray] = []

    @property
    def names(self) -> tuple[str, ...]:
        """Return the labels that are scored."""
        return self._names

    def merged(self, mask: np.ndarray, label_map: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """
        Return ground truth and prediction as indices into `names`: uint8 [H, W] each.

        len(names) is for pixels without a scored label, and for classes that no label includes.
        """
        return self._of_label[mask], self._of_class[label_map]

    def add(self, mask: np.ndarray, label_map: np.ndarray) -> float:
        """
        Add an image, and return its mean IoU (NaN if nothing in it is labelled).

        `mask`: uint8 [H, W] source labels; `label_map`: uint8 [H, W] predicted classes, indices
        into the manifest's segmentation label set; other values count as wrong.
        """
        if mask.shape != label_map.shape:
            raise ValueError(f'mask {mask.shape} and label map {label_map.shape} differ in size')
        codes = mask.astype(np.uint16) << 8 | label_map
        counts = np.bincount(codes.ravel(), minlength=_CODES * _CODES).reshape(_CODES, _CODES)
        self._total += counts
        kinds = len(self._names)
        rows = np.flatnonzero(self._of_label < kinds)
        image = np.zeros((kinds, kinds + 1), np.int64)
        np.add.at(image.T, self._of_class, counts[rows].T)
        self._images.append(image)
        if self._boundaries:
            self._boundary.append(boundary_f(*self.merged(mask, label_map), kinds))
        return float(mean_iou(image[None])[0])

    def confusion(self) -> np.ndarray:
        """Return the pixels counted so far: int64 [labels, classes], by true label and class."""
        rows, columns = self._labels.allowed.shape
        return self._total[:rows, :columns].copy()

    def counts(self) -> PixelCounts:
        """Return the counts of each image."""
        kinds = len(self._names)
        boundary = np.full((len(self._images), kinds), np.nan)
        if self._boundary:
            boundary[:] = self._boundary
        return PixelCounts(
            self._names, np.array(self._images, np.int64).reshape(-1, kinds, kinds + 1),
            boundary)

    def scores(self) -> SegmentationScore:
        """Return the scores of the added images."""
        counts = self.counts()
        total = counts.confusion.sum(axis=0)
        once = np.ones((1, len(counts.confusion)))
        boundary = label_boundary_f(counts, once)[0]

        def by_name(values: np.ndarray) -> dict[str, Any]:
            return dict(zip(self._names, values.tolist(), strict=True))

        return SegmentationScore(
            by_name(label_iou(total[None])[0]), by_name(total.sum(axis=1)),
            float(mean_iou(total[None])[0]), float(frequency_weighted_iou(total[None])[0]),
            float(pixel_accuracy(total[None])[0]), by_name(total.sum(axis=0)[:-1]),
            by_name(boundary), float(mean_of_known(boundary[None])[0]),
            tuple(map(tuple, total.tolist())))


def label_iou(confusion: np.ndarray) -> np.ndarray:
    """Return the IoU of each label of each of B samples: [B, K] from [B, K, K + 1]."""
    right = np.diagonal(confusion, axis1=1, axis2=2)
    union = confusion.sum(axis=2) + confusion[:, :, :-1].sum(axis=1) - right
    return np.divide(right, union, out=np.full(right.shape, np.nan), where=union > 0)


def mean_iou(confusion: np.ndarray) -> np.ndarray:
    """Return the mean IoU over the labels in the ground truth: [B]; NaN if it has none."""
    present = confusion.sum(axis=2) > 0
    return mean_of_known(np.where(present, label_iou(confusion), np.nan))


def frequency_weighted_iou(confusion: np.ndarray) -> np.ndarray:
    """Return the mean IoU weighted by the labels' true pixels: [B]."""
    true = confusion.sum(axis=2)
    weighted = (np.nan_to_num(label_iou(confusion)) * true).sum(axis=1)
    return _share(weighted, true.sum(axis=1))


def pixel_accuracy(confusion: np.ndarray) -> np.ndarray:
    """Return the share of labelled pixels that are correct: [B]."""
    return _share(np.trace(confusion, axis1=1, axis2=2), confusion.sum(axis=(1, 2)))


def label_boundary_f(counts: PixelCounts, weights: np.ndarray) -> np.ndarray:
    """Return the boundary F of each label, the mean over images that count `weights`: [B, K]."""
    known = ~np.isnan(counts.boundary)
    total, number = weights @ np.where(known, counts.boundary, 0), weights @ known
    return np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)


def mean_of_known(values: np.ndarray) -> np.ndarray:
    """Return the mean of each row without its NaN: [B] from [B, K]; NaN if all are NaN."""
    known = ~np.isnan(values)
    return _share(np.where(known, values, 0).sum(axis=1), known.sum(axis=1))


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
