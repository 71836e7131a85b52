"""
Average precision of detections, counted by pycocotools.

AP50 is the area under the precision-recall curve with a detection right at an intersection over
union (IoU) of 0.5 or more with a box of its class that no better detection has taken; AP is its
mean over the IoUs 0.50, 0.55, ... 0.95. Both as COCO defines them (T.-Y. Lin and others, Microsoft
COCO, 2014): 101 recall points, objects of all sizes, and regions to ignore ("crowd"), in which a
detection is neither right nor wrong where at least the IoU threshold's share of *its* area lies in
the region. Up to `MAX_DETECTIONS` detections a picture count rather than COCO's 100: an aerial
picture shows more cars than that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import contextlib
from dataclasses import dataclass
from importlib.util import find_spec
import io
from typing import Any

import numpy as np

from mtl_perception.data.samples import BoxTruth
from mtl_perception.errors import ConfigError
from mtl_perception.inference.nms import suppress
from mtl_perception.inference.results import Detections

MAX_DETECTIONS = 1000
"""Most detections of one class in one picture that are scored, best first."""


@dataclass(frozen=True)
class DetectionScore:
    """Scores of one class, or of a group of classes as one."""

    ap50: float
    """AP at IoU 0.5, in 0..1; NaN where there is no such object."""
    ap: float
    """Mean AP over IoU 0.5..0.95, in 0..1; NaN where there is no such object."""
    objects: int
    """Number of true objects outside ignore regions."""


class DetectionScorer:
    """
    Gathers truth and detections of pictures and scores them by class and by group of classes.

    A group (`vehicle`: car and large_vehicle) is scored as if its classes were one: truth and
    detections are relabelled, and since one object found as two of its classes would then be found
    twice, the detections of a group first go through the same greedy NMS that the pipeline applies
    within a class. The truth plays no part in that.
    """

    def __init__(self, names: Sequence[str], classes: Sequence[int],
                 groups: Mapping[str, Sequence[int]], nms_threshold: float) -> None:
        """
        Score `classes`, indices into `names`, and those `groups` of which all classes are scored.

        `nms_threshold`: IoU above which the weaker of two detections of a group is dropped.

        Raises ConfigError where pycocotools is not installed.
        """
        # Asked for now, not when a long evaluation ends in its scores.
        if find_spec('pycocotools') is None:
            raise ConfigError('scores of detections need the package pycocotools; install it')
        members: dict[str, tuple[int, ...]] = {names[index]: (index,) for index in sorted(classes)}
        members.update((name, tuple(group)) for name, group in groups.items()
                       if set(group) <= set(classes))
        self._members = members
        self._nms_threshold = nms_threshold
        self._truth: list[dict[str, Any]] = []
        self._found: list[np.ndarray] = []
        self._images = 0

    def add(self, truth: BoxTruth, detections: Detections) -> None:
        """Add a picture; the classes of both are indices into `names`."""
        self._images += 1
        for category, members in enumerate(self._members.values(), 1):
            for boxes, crowd in ((truth.boxes[np.isin(truth.classes, members)], 0),
                                 (truth.ignore, 1)):
                for x0, y0, x1, y1 in boxes.tolist():
                    self._truth.append({
                        'id': len(self._truth) + 1, 'image_id': self._images,
                        'category_id': category, 'bbox': [x0, y0, x1 - x0, y1 - y0],
                        'area': (x1 - x0) * (y1 - y0), 'iscrowd': crowd})
            chosen = np.isin(detections.classes, members)
            boxes, scores = detections.boxes[chosen], detections.scores[chosen]
            if len(members) > 1:
                kept = suppress(boxes, scores, np.zeros(len(boxes), np.int32),
                                self._nms_threshold, MAX_DETECTIONS)
                boxes, scores = boxes[kept], scores[kept]
            rows = np.empty((len(boxes), 7))
            rows[:, 0] = self._images
            rows[:, 1:3] = boxes[:, :2]
            rows[:, 3:5] = boxes[:, 2:] - boxes[:, :2]
            rows[:, 5] = scores
            rows[:, 6] = category
            self._found.append(rows)

    def scores(self) -> dict[str, DetectionScore]:
        """Return the score of each class, then of each group, by name."""
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        objects = [0] * len(self._members)
        for box in self._truth:
            objects[box['category_id'] - 1] += not box['iscrowd']
        found = np.concatenate(self._found) if self._found else np.empty((0, 7))
        if not any(objects) or not len(found):
            # pycocotools fails on empty lists.
            return {name: DetectionScore(*((0.0, 0.0) if count else (np.nan, np.nan)), count)
                    for name, count in zip(self._members, objects, strict=True)}
        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO()
            truth.dataset = {
                'images': [{'id': number + 1} for number in range(self._images)],
                'categories': [{'id': number + 1} for number in range(len(self._members))],
                'annotations': self._truth, 'info': {}}
            truth.createIndex()
            evaluation = COCOeval(truth, truth.loadRes(found), 'bbox')
            evaluation.params.maxDets = [MAX_DETECTIONS]
            evaluation.params.areaRng = [[0, 1e10]]
            evaluation.params.areaRngLbl = ['all']
            evaluation.evaluate()
            evaluation.accumulate()
        # [IoU threshold, recall, category, area range, limit of detections]; -1: no such object.
        precision = evaluation.eval['precision'][:, :, :, 0, 0]
        result = {}
        for category, (name, count) in enumerate(zip(self._members, objects, strict=True)):
            values = precision[:, :, category] if count else np.full((1, 1), np.nan)
            result[name] = DetectionScore(float(values[0].mean()), float(values.mean()), count)
        return result
