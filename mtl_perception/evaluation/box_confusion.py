"""Which class is taken for which: detections against objects, whatever their classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mtl_perception.data.samples import BoxTruth
from mtl_perception.evaluation.matching import IOU_50, IOUS, overlap
from mtl_perception.inference.results import Detections


@dataclass(frozen=True)
class BoxConfusion:
    """Objects by their class and by the class that they were detected as."""

    names: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    """
    [true class][detected class]. The last row is of detections where no object is, the last
    column of objects that were missed.
    """


@dataclass(frozen=True, eq=False)
class Outcome:
    """Outcome of an image's objects and detections, at the operating score threshold."""

    detections: Detections
    """Those that count: they reach the threshold and are of a scored class."""
    partner: np.ndarray
    """int [detections]: the object that each one is on; -1 on none, -2 in a region to ignore."""
    objects: np.ndarray
    """float32 [objects, 4] of the scored classes."""
    classes: np.ndarray
    """int32 [objects]."""

    @property
    def right(self) -> np.ndarray:
        """Return whether each detection is on an object of its own class: bool [detections]."""
        right = self.partner >= 0
        right[right] = (self.classes[self.partner[right]] == self.detections.classes[right])
        return right

    @property
    def found(self) -> np.ndarray:
        """Return whether each object has a detection of its own class: bool [objects]."""
        found = np.zeros(len(self.objects), bool)
        found[self.partner[self.right]] = True
        return found

    @property
    def mistakes(self) -> int:
        """Return the number of wrong detections and of objects that were not found."""
        return int(((self.partner > -2) & ~self.right).sum() + (~self.found).sum())

    @property
    def f1(self) -> float:
        """Return F1 of the image; NaN where there is nothing and nothing was detected."""
        right = int(self.right.sum())
        return 2 * right / (2 * right + self.mistakes) if right + self.mistakes else float('nan')

    def scaled(self, factors: np.ndarray) -> Outcome:
        """Return the same with all boxes times `factors` [4], for an image of another size."""
        found = self.detections
        return Outcome(Detections(found.boxes * factors, found.scores, found.classes),
                       self.partner, self.objects * factors, self.classes)


class BoxConfusionCounter:
    """
    Counts objects by true and detected class.

    Pairs are made at an IoU of 0.5 or more, those that overlap most first, and each object and
    each detection is in one pair at most. Only classes that the set labels completely take part.
    """

    def __init__(self, names: Sequence[str], classes: Sequence[int], threshold: float) -> None:
        """Count `classes`, indices into `names`, where detections score at least `threshold`."""
        self._classes = np.array(sorted(classes), np.int32)
        self._names = tuple(names[index] for index in sorted(classes))
        self._threshold = np.float32(threshold)
        self._counts = np.zeros((len(self._classes) + 1, len(self._classes) + 1), np.int64)

    def add(self, truth: BoxTruth, detections: Detections) -> Outcome:
        """Count an image, and return the outcome of its objects and detections."""
        kept = np.isin(detections.classes, self._classes) & (
            detections.scores >= self._threshold)
        shown = Detections(
            detections.boxes[kept], detections.scores[kept], detections.classes[kept])
        own = np.isin(truth.classes, self._classes)
        objects, classes = truth.boxes[own], truth.classes[own]
        known = np.concatenate([objects, truth.ignore])
        is_region = np.arange(len(known)) >= len(objects)
        overlaps = overlap(shown.boxes, known, is_region)
        partner = _pairs(overlaps[:, :len(objects)])
        if len(truth.ignore):
            inside = overlaps[:, len(objects):].max(axis=1, initial=0) >= IOUS[IOU_50]
            partner[(partner < 0) & inside] = -2
        nothing = len(self._classes)
        true = np.searchsorted(self._classes, classes)
        detected = np.searchsorted(self._classes, shown.classes)
        on_object = partner >= 0
        np.add.at(self._counts, (true[partner[on_object]], detected[on_object]), 1)
        np.add.at(self._counts[nothing], detected[partner == -1], 1)
        missed = np.ones(len(objects), bool)
        missed[partner[on_object]] = False
        np.add.at(self._counts[:, nothing], true[missed], 1)
        return Outcome(shown, partner, objects, classes)

    def confusion(self) -> BoxConfusion:
        """Return what was counted."""
        return BoxConfusion(self._names, tuple(map(tuple, self._counts.tolist())))


def _pairs(overlaps: np.ndarray) -> np.ndarray:
    """Return the partner of each detection, or -1: int [detections]."""
    partner = np.full(len(overlaps), -1)
    candidates = np.argwhere(overlaps >= IOUS[IOU_50])
    order = np.argsort(-overlaps[tuple(candidates.T)], kind='stable')
    taken: set[int] = set()
    for box, other in candidates[order].tolist():
        if partner[box] < 0 and other not in taken:
            partner[box] = other
            taken.add(other)
    return partner
