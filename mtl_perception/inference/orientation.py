"""
Oriented boxes: a box says where an object is, the label map how it lies.

The pixels of the object's class inside its upright box have a principal axis, the direction of
their largest variance. For a filled rectangle that is its long side (image moments: M.-K. Hu,
Visual Pattern Recognition by Moment Invariants, 1962).
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from mtl_perception.errors import ConfigError
from mtl_perception.inference.results import Detections
from mtl_perception.spec import ModelSpec

MIN_PIXELS = 16
"""With fewer pixels of its class in its box, an object has no axis."""

MIN_ELONGATION = 1.25
"""
Objects of a smaller ratio of length to width have no axis.

The axis of a shape that is nearly as wide as it is long follows single pixels of its rim.
"""


def check_oriented(spec: ModelSpec) -> None:
    """Raise ConfigError where a model cannot have oriented boxes."""
    if not spec.pixel_classes or len(spec.tasks) < 2:
        raise ConfigError(
            "box_format oriented: the model's file does not tell which class of the label map the "
            'pixels of its objects have; train with `boxes_as_masks` in the manifest')


def orient(detections: Detections, label_map: np.ndarray, spec: ModelSpec) -> np.ndarray:
    """
    Return the detections' oriented boxes: float32 [N, 5], x, y, length, width, angle.

    x, y is the centre of the upright box in pixels, length is measured along the axis, width
    across it, and the angle in radians, in -pi/2..pi/2, from the image's x axis towards its y axis
    (clockwise as displayed). An axis has no front: the heading is the angle or its opposite.

    `label_map` is uint8 [H, W], a class for each pixel of the source image; `spec` is that of the
    model. An object of a class without pixels, of few pixels or without a long side keeps its
    upright box: its width in the image is the length, and the angle is 0.
    """
    x0, y0, x1, y1 = detections.boxes.T
    oriented = np.stack(
        ((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0, np.zeros_like(x0)), axis=1)
    pixel_classes = spec.pixel_class_of_each()
    outer = np.concatenate((np.floor(detections.boxes[:, :2]), np.ceil(detections.boxes[:, 2:])),
                           axis=1).astype(int)
    for number, ((left, top, right, bottom), index) in enumerate(zip(
            outer.tolist(), detections.classes.tolist(), strict=True)):
        if pixel_classes[index] < 0:
            continue
        pixels = label_map[top:bottom, left:right] == pixel_classes[index]
        axis = _axis(pixels.view(np.uint8))
        if axis is not None:
            width, height = oriented[number, 2:4].tolist()
            oriented[number, 2:] = _sides(width, height, *axis)
    return oriented


def _axis(pixels: np.ndarray) -> tuple[float, float] | None:
    """Return the angle of the principal axis of non-zero `pixels`, and length over width."""
    moments = cv2.moments(pixels, binaryImage=True)
    count = moments['m00']
    if count < MIN_PIXELS:
        return None
    # A pixel is a square, not a point: its own variance along each axis is 1/12.
    xx, yy = (moments[name] / count + 1 / 12 for name in ('mu20', 'mu02'))
    xy = moments['mu11'] / count
    middle, spread = (xx + yy) / 2, math.hypot((xx - yy) / 2, xy)
    elongation = math.sqrt((middle + spread) / (middle - spread))
    if elongation < MIN_ELONGATION:
        return None
    return 0.5 * math.atan2(2 * xy, xx - yy), elongation


def _sides(width: float, height: float, angle: float, elongation: float
           ) -> tuple[float, float, float]:
    """
    Return length, width and angle of the rectangle whose hull has `width` + `height`.

    The hull of an L x W rectangle is L |cos| + W |sin| wide and L |sin| + W |cos| high. Its sum
    (L + W) (|cos| + |sin|) determines L + W for each angle, while to solve for both sides has no
    solution at 45 degrees.
    """
    total = (width + height) / (abs(math.cos(angle)) + abs(math.sin(angle)))
    return total * elongation / (1 + elongation), total / (1 + elongation), angle
