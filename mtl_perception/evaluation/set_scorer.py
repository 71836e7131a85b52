"""Scores of one model on one data set, accumulated image by image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from mtl_perception.data.box_counts import BoxCounts
from mtl_perception.data.samples import Sample
from mtl_perception.data.set_spec import Manifest, SetSpec
from mtl_perception.evaluation.box_confusion import BoxConfusionCounter, Outcome
from mtl_perception.evaluation.detection import (
    detection_score,
    DetectionScore,
    DetectionScorer,
)
from mtl_perception.evaluation.evidence import detection_mean, SetEvidence
from mtl_perception.evaluation.report import Milliseconds, SetReport
from mtl_perception.evaluation.segmentation import SegmentationScorer
from mtl_perception.inference.results import Detections, Perception

MEANS = ('ap50', 'ap', 'ap75', 'ap_small', 'ap_medium', 'ap_large', 'ar', 'voc07', 'voc12')
"""Scores of a class that are averaged over a set."""


@dataclass(frozen=True)
class ClassTables:
    """Mapping of a model's class indices to those of the manifest; None without the task."""

    detection: np.ndarray | None
    """int32 [classes of the model]; -1: a class that is not in the manifest."""
    segmentation: np.ndarray | None
    """uint8 [256]; 255: a class that is not in the manifest."""


@dataclass(frozen=True, eq=False)
class ImageResult:
    """A model's result on one image."""

    score: float
    """
    In 0..1: F1 of the shown boxes, mean IoU of the labels, or the mean of both; NaN if the image
    has nothing to score.
    """
    mistakes: int
    """Wrong and missed boxes."""
    boxes: Outcome | None
    label_map: np.ndarray | None
    """uint8 [H, W]: predicted label, an index into the set's scored labels, or their number."""
    truth: np.ndarray | None
    """uint8 [H, W]: the true label, in the same form."""


class SetScorer:
    """Scores a model on the images of one set, for the tasks that both have."""

    def __init__(self, manifest: Manifest, spec: SetSpec, tables: ClassTables,
                 nms_threshold: float, score_threshold: float) -> None:
        self._tables = tables
        self._name = spec.name
        self._score_threshold = score_threshold
        self._boxes = self._confusion = self._masks = None
        self._groups: dict[str, tuple[str, ...]] = {}
        if spec.boxes and spec.boxes.complete and manifest.detection \
                and tables.detection is not None:
            names, classes = manifest.detection.names, spec.boxes.complete
            self._boxes = DetectionScorer(names, classes, manifest.score_groups, nms_threshold,
                                          score_threshold)
            self._confusion = BoxConfusionCounter(names, classes, score_threshold)
            self._groups = {
                group: tuple(names[index] for index in members)
                for group, members in manifest.score_groups.items()
                if set(members) <= set(classes)}
        if spec.masks and tables.segmentation is not None:
            self._masks = SegmentationScorer(spec.masks, boundaries=True)
        self._times: list[tuple[float, float, float]] = []
        self._labels = BoxCounts()

    @property
    def has_task(self) -> bool:
        """Return whether there is anything to score."""
        return self._boxes is not None or self._masks is not None

    def add(self, sample: Sample, perception: Perception) -> ImageResult:
        """Score an image."""
        times = perception.timings
        self._times.append((times.preprocess, times.run, times.postprocess))
        outcome = truth = labels = None
        values = []
        if self._boxes and self._confusion and sample.boxes:
            found = self._detections(perception)
            self._boxes.add(sample.boxes, found)
            self._labels += sample.boxes.counts
            outcome = self._confusion.add(sample.boxes, found)
            values.append(outcome.f1)
        if self._masks and sample.mask is not None and self._tables.segmentation is not None:
            assert perception.label_map is not None
            label_map = self._tables.segmentation[perception.label_map]
            values.append(self._masks.add(sample.mask, label_map))
            truth, labels = self._masks.merged(sample.mask, label_map)
        known = [value for value in values if not np.isnan(value)]
        return ImageResult(
            float(np.mean(known)) if known else float('nan'),
            outcome.mistakes if outcome else 0, outcome, labels, truth)

    def evidence(self) -> SetEvidence:
        """Return the data from which the scores are computed."""
        return SetEvidence(
            len(self._times), self._boxes.matches() if self._boxes else {}, self._groups,
            self._masks.counts() if self._masks else None)

    def report(self, evidence: SetEvidence, broken: Sequence[str] = ()) -> SetReport:
        """Return the scores for this scorer's evidence; `broken`: reasons for skipped entries."""
        scores = {name: detection_score(matches, self._score_threshold)
                  for name, matches in evidence.detection.items()}
        median = 1e3 * np.median(np.array(self._times), axis=0)
        return SetReport(
            self._name, len(self._times), scores, self._masks.scores() if self._masks else None,
            Milliseconds(*median.tolist()), _means(evidence, scores), self._groups,
            self._confusion.confusion() if self._confusion else None, self._labels,
            tuple(broken))

    def _detections(self, perception: Perception) -> Detections:
        """Return detections with classes of the manifest; those of other classes are dropped."""
        assert perception.detections is not None and self._tables.detection is not None
        found = perception.detections
        classes = self._tables.detection[found.classes]
        known = classes >= 0
        return Detections(found.boxes[known], found.scores[known], classes[known])


def _means(evidence: SetEvidence,
           scores: dict[str, DetectionScore]) -> dict[str, dict[str, float]]:
    assert set(MEANS) <= {item.name for item in fields(DetectionScore)}
    if not scores:
        return {}
    return {mean: {name: detection_mean(
        evidence, {label: getattr(score, name) for label, score in scores.items()}, mean)
        for name in MEANS} for mean in ('classes', *(('groups',) if evidence.groups else ()))}
