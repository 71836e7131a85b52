"""
Intersection over union of label maps with masks whose labels stand for sets of classes.

A source label may stand for several of our classes (`ground`: ground or road). The predicted
classes are merged the same way before they are compared: a predicted pixel counts as the label in
whose set its class is, and a class in no set of the source counts as wrong wherever the source has
a label. Pixels without a label, and labels that stand for no class, are not scored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mtl_perception.data.manifest import MaskLabels

_CODES = 256


@dataclass(frozen=True)
class SegmentationScore:
    """Scores of the source labels of one set, merged as its manifest says."""

    iou: dict[str, float]
    """IoU in 0..1 of each scored label; NaN where neither truth nor prediction has it."""
    pixels: dict[str, int]
    """Number of true pixels of each scored label."""
    mean: float
    """Mean IoU (mIoU) over the labels that the truth has; NaN where it has none."""


class SegmentationScorer:
    """Counts pixels by true label and predicted class, and scores them."""

    def __init__(self, labels: MaskLabels) -> None:
        self._labels = labels
        self._confusion = np.zeros((_CODES, _CODES), np.int64)

    def add(self, mask: np.ndarray, label_map: np.ndarray) -> None:
        """
        Add a picture.

        `mask`: uint8 [H, W] source labels; `label_map`: uint8 [H, W] predicted classes, indices
        into the manifest's segmentation label set; another value counts as wrong.
        """
        if mask.shape != label_map.shape:
            raise ValueError(f'mask {mask.shape} and label map {label_map.shape} differ in size')
        codes = mask.astype(np.int32) * _CODES + label_map
        self._confusion += np.bincount(codes.ravel(), minlength=_CODES * _CODES).reshape(
            _CODES, _CODES)

    def confusion(self) -> np.ndarray:
        """Return the pixels counted so far: int64 [labels, classes], by true label and class."""
        rows, columns = self._labels.allowed.shape
        return self._confusion[:rows, :columns].copy()

    def scores(self) -> SegmentationScore:
        """Return the scores of what was added."""
        allowed = self._labels.allowed
        scored = np.asarray(allowed.any(axis=1))
        counts = self._confusion[:len(allowed)][scored]
        # [true label, predicted label]; what is predicted in no set is in no column.
        merged = counts[:, :allowed.shape[1]] @ allowed[scored].T.astype(np.int64)
        right = merged.diagonal()
        true = counts.sum(axis=1)
        union = true + merged.sum(axis=0) - right
        iou = np.divide(right, union, out=np.full(len(right), np.nan), where=union > 0)
        names = [name for name, keep in zip(self._labels.names, scored, strict=True) if keep]
        return SegmentationScore(
            dict(zip(names, iou.tolist(), strict=True)),
            dict(zip(names, true.tolist(), strict=True)),
            float(iou[true > 0].mean()) if true.any() else float('nan'))
