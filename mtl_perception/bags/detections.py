"""Boxes in vision_msgs/Detection2DArray messages, of any version of vision_msgs."""

from __future__ import annotations

from dataclasses import dataclass
import math
from typing import Any

from mtl_perception.bags.reading import expected_fields
from mtl_perception.errors import DataError
from mtl_perception.rotated_boxes import Corners, upright_hull

DETECTIONS = 'vision_msgs/msg/Detection2DArray'


@dataclass(frozen=True)
class RecordedBox:
    """A detection, with the likeliest of its hypotheses."""

    corners: Corners
    """x0, y0, x1, y1 in pixels; of a rotated box, its upright hull."""
    rotated: bool
    class_id: str
    score: float


def recorded_boxes(message: Any, where: str) -> list[RecordedBox]:
    """
    Return the boxes of a Detection2DArray message.

    The centre of a box is a vision_msgs/Pose2D with a `position` since version 4, and a
    geometry_msgs/Pose2D before; a hypothesis has `hypothesis.class_id` since version 3, a text
    `id` in version 2 and an integer `id` in ROS 1. Raises DataError, beginning with `where`, for
    a detection without a hypothesis and for other fields.
    """
    with expected_fields(where):
        return [_box(item, f'{where}: detection {number}')
                for number, item in enumerate(message.detections)]


def _box(detection: Any, where: str) -> RecordedBox:
    if not len(detection.results):
        raise DataError(f'{where}: has no class')
    hypotheses = [getattr(result, 'hypothesis', result) for result in detection.results]
    best = max(hypotheses, key=_rank)
    box = detection.bbox
    centre = getattr(box.center, 'position', box.center)
    x, y, width, height = (float(value) for value in (centre.x, centre.y, box.size_x, box.size_y))
    corners = upright_hull(x, y, width, height, float(box.center.theta))
    class_id = best.class_id if hasattr(best, 'class_id') else best.id
    return RecordedBox(corners, corners != upright_hull(x, y, width, height, 0.0),
                       str(class_id), float(best.score))


def _rank(hypothesis: Any) -> float:
    """Return the score by which the likeliest is the largest; one that is no number is last."""
    score = float(hypothesis.score)
    return -math.inf if math.isnan(score) else score
