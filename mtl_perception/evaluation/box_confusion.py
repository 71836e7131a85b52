"""Confusion between classes: matching of detections to objects of any class."""

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
    [true class][detected class]. The last row counts detections without an object, the last column
    missed objects.
    """


@dataclass(frozen=True, eq=False)
class Outcome:
    """Result of an image's objects and detections, at the operating score threshold."""

    detections: Detections
    """The detections above the threshold of scored classes."""
    partner: np.ndarray
    """int [detections]: the matched object of each one; -1 for none, -2 in an ignore region."""
    objects: np.ndarray
    """float32 [objects, 4] of the scored classes."""
    classes: np.ndarray
    """int32 [objects]."""

    @property
    def right(self) -> np.ndarray:
        """Return whether each detection matches an object of its class: bool [detections]."""
        right = self.partner >= 0
        right[right] = (self.classes[self.partner[right]] == self.detections.classes[right])
        return right

    @property
    def found(self) -> np.ndarray:
        """Return whether each object has a detection of its class: bool [objects]."""
        found = np.zeros(len(self.objects), bool)
        found[self.partner[self.right]] = True
        return found

    @property
    def mistakes(self) -> int:
        """Return the number of wrong detections and missed objects."""
        return int(((self.partner > -2) & ~self.right).sum() + (~self.found).sum())

    @property
    def f1(self) -> float:
        """Return F1 of the image; NaN if there are neither objects nor detections."""
        right = int(self.right.sum())
        return 2 * right / (2 * right + self.mistakes) if right + self.mistakes else float('nan')

    def scaled(self, factors: np.ndarray) -> Outcome:
        """Return a copy with all boxes scaled by `factors` [4], for an image of another size."""
        found = self.detections
        return Outcome(Detections(found.boxes * factors, found.scores, found.classes),
                       self.partner, self.objects * factors, self.classes)


class BoxConfusionCounter:
    """
    Counts objects by true and detected class.

    Detections and objects are matched at an IoU of 0.5 or more, largest overlap first, each at
    most once. Only classes that the set labels exhaustively are used.
    """

    def __init__(self, names: Sequence[str], classes: Sequence[int], threshold: float) -> None:
        """Count `classes`, indices into `names`, for detections scoring at least `threshold`."""
        self._classes = np.array(sorted(classes), np.int32)
        self._names = tuple(names[index] for index in sorted(classes))
        self._threshold = np.float32(threshold)
        self._counts = np.zeros((len(self._classes) + 1, len(self._classes) + 1), np.int64)

    def add(self, truth: BoxTruth, detections: Detections) -> Outcome:
        """Count an image, and return the result of its objects and detections."""
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
        """Return the counts."""
        return BoxConfusion(self._names, tuple(map(tuple, self._counts.tolist())))


def _pairs(overlaps: np.ndarray) -> np.ndarray:
    """Return the matched object of each detection, or -1: int [detections]."""
    partner = np.full(len(overlaps), -1)
    candidates = np.argwhere(overlaps >= IOUS[IOU_50])
    order = np.argsort(-overlaps[tuple(candidates.T)], kind='stable')
    taken: set[int] = set()
    for box, other in candidates[order].tolist():
        if partner[box] < 0 and other not in taken:
            partner[box] = other
            taken.add(other)
    return partner
