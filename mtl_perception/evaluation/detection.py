"""
Average precision of detections, for each class and for groups of classes.

AP50 is the area under the precision-recall curve, where a detection is a true positive at an
intersection over union (IoU) of 0.5 or more with a box of its class that no better detection is
matched to; AP is its mean over the IoUs 0.50, 0.55, ... 0.95. Both as COCO defines them (T.-Y. Lin
and others, Microsoft COCO, 2014): 101 recall points, objects of all sizes, and ignore regions
("crowd"): a detection is not counted if at least the IoU threshold's share of *its* area is in
such a region. Up to `MAX_DETECTIONS` detections per image are counted instead of COCO's 100, since
an aerial image may contain more cars.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from mtl_perception.data.samples import BoxTruth
from mtl_perception.errors import ConfigError
from mtl_perception.evaluation.average_precision import (
    coco_precision,
    coco_recall,
    operating_points,
    OperatingPoint,
    voc07,
    voc12,
)
from mtl_perception.evaluation.calibration import Calibration, calibration
from mtl_perception.evaluation.matching import (
    ALL,
    AREAS,
    ImageMatches,
    IOU_50,
    IOU_75,
    IOUS,
    match,
    Matches,
)
from mtl_perception.extras import remedy
from mtl_perception.inference.nms import suppress
from mtl_perception.inference.pipeline import PipelineOptions
from mtl_perception.inference.results import Detections

MAX_DETECTIONS = 1000
"""Maximum number of scored detections of one class in one image, best first."""


@dataclass(frozen=True)
class Curve:
    """Interpolated precision at the recalls 0, 0.01, ... 1; empty if there are no objects."""

    iou_50: tuple[float, ...]
    iou_75: tuple[float, ...]


@dataclass(frozen=True)
class DetectionScore:
    """Scores of one class or group of classes; NaN if there are no such objects."""

    ap50: float
    """AP at IoU 0.5, in 0..1."""
    ap: float
    """Mean AP over IoU 0.5..0.95, in 0..1."""
    objects: int
    """Number of ground truth objects outside ignore regions."""
    ap75: float
    """AP at IoU 0.75."""
    ap_small: float
    """
    AP of the objects of less than 32 x 32 pixels of the source image: of their box, or of the
    `area` that a COCO file gives.
    """
    ap_medium: float
    """AP of the objects between them."""
    ap_large: float
    """AP of the objects of more than 96 x 96 pixels."""
    ar: float
    """Mean over IoU 0.5..0.95 of the share of objects matched by any detection."""
    voc07: float
    """AP of Pascal VOC 2007: eleven recall points, IoU 0.5."""
    voc12: float
    """AP of Pascal VOC 2010 and later: the whole area, IoU 0.5."""
    at_threshold: OperatingPoint
    """At the operating score threshold."""
    best: OperatingPoint
    """At the score threshold with the best F1."""
    curve: Curve
    calibration: Calibration


class DetectionScorer:
    """
    Accumulates ground truth and detections of images and scores them by class and group.

    A group (`vehicle`: car and large_vehicle) is scored as one class: ground truth and detections
    are relabelled. Since an object detected as two of its classes would then be detected twice,
    the greedy NMS that the pipeline applies within a class is first applied to the detections of
    the group, independently of the ground truth.
    """

    def __init__(self, names: Sequence[str], classes: Sequence[int],
                 groups: Mapping[str, Sequence[int]], nms_threshold: float,
                 score_threshold: float = PipelineOptions.score_threshold) -> None:
        """
        Score `classes`, indices into `names`, and the `groups` of which all classes are scored.

        `nms_threshold`: IoU above which the weaker of two detections of a group is dropped;
        `score_threshold`: the operating threshold (`DetectionScore.at_threshold`).

        Raises ConfigError if pycocotools is not installed.
        """
        # Checked now, not at the first box of a long evaluation.
        if find_spec('pycocotools') is None:
            raise ConfigError(
                f'scores of detections need the package pycocotools: {remedy("pycocotools")}')
        members: dict[str, tuple[int, ...]] = {names[index]: (index,) for index in sorted(classes)}
        members.update((name, tuple(group)) for name, group in groups.items()
                       if set(group) <= set(classes))
        self._members = members
        self._nms_threshold = nms_threshold
        self._score_threshold = score_threshold
        self._images: dict[str, list[ImageMatches]] = {name: [] for name in members}
        self._scores: dict[str, list[np.ndarray]] = {name: [] for name in members}

    def add(self, truth: BoxTruth, detections: Detections) -> None:
        """Add an image; the classes of both are indices into `names`."""
        for name, members in self._members.items():
            chosen = np.isin(detections.classes, members)
            boxes, scores = detections.boxes[chosen], detections.scores[chosen]
            if len(members) > 1:
                order = suppress(boxes, scores, np.zeros(len(boxes), np.int32),
                                 self._nms_threshold, MAX_DETECTIONS)
            else:
                order = np.argsort(-scores, kind='stable')[:MAX_DETECTIONS]
            own = np.isin(truth.classes, members)
            self._images[name].append(match(
                truth.boxes[own], truth.ignore, boxes[order],
                None if truth.areas is None else truth.areas[own]))
            self._scores[name].append(scores[order])

    def matches(self) -> dict[str, Matches]:
        """Return the matches of the detections of each class, then of each group, by name."""
        return {name: Matches.of(self._images[name], self._scores[name])
                for name in self._members}

    def scores(self) -> dict[str, DetectionScore]:
        """Return the score of each class, then of each group, by name."""
        return {name: detection_score(matches, self._score_threshold)
                for name, matches in self.matches().items()}


def detection_score(matches: Matches, threshold: float) -> DetectionScore:
    """Return the scores of one class; `threshold` is the operating score threshold."""
    once = np.ones((1, matches.objects.shape[1]))
    precision = {name: np.stack([coco_precision(matches, area, iou, once)[0]
                                 for iou in range(len(IOUS))])
                 for area, name in enumerate(AREAS)}
    objects = int(matches.objects[ALL].sum())
    recall = np.mean([coco_recall(matches, ALL, iou, once)[0] for iou in range(len(IOUS))])
    whole = precision['all']
    curve = (Curve(tuple(whole[IOU_50].tolist()), tuple(whole[IOU_75].tolist())) if objects
             else Curve((), ()))
    here, best = operating_points(matches, threshold)
    return DetectionScore(
        ap50=float(whole[IOU_50].mean()), ap=float(whole.mean()), objects=objects,
        ap75=float(whole[IOU_75].mean()), ap_small=float(precision['small'].mean()),
        ap_medium=float(precision['medium'].mean()), ap_large=float(precision['large'].mean()),
        ar=float(recall), voc07=float(voc07(matches, once)[0]),
        voc12=float(voc12(matches, once)[0]), at_threshold=here, best=best, curve=curve,
        calibration=calibration(matches, threshold))
