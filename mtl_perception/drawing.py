"""Drawing of a model's results over the image."""

from __future__ import annotations

from collections.abc import Iterator
import math

import cv2
import numpy as np

from mtl_perception.inference.results import Detections, Perception
from mtl_perception.labels import Color, LabelSet
from mtl_perception.spec import ModelSpec

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_DARK, _LIGHT = (0, 0, 0), (255, 255, 255)

Rectangle = tuple[int, int, int, int]


def color_label_map(label_map: np.ndarray, label_set: LabelSet,
                    out: np.ndarray | None = None) -> np.ndarray:
    """
    Return `label_map` (uint8 [H, W], class indices) in its classes' colours: uint8 [H, W, 3] RGB.

    Values without a class are black. `out` is a buffer for the result.
    """
    return cv2.applyColorMap(label_map, label_set.palette()[:, None], dst=out)


def draw_overlay(image_rgb: np.ndarray, perception: Perception, spec: ModelSpec, *,
                 mask_opacity: float = 0.45, out: np.ndarray | None = None) -> np.ndarray:
    """
    Return `image_rgb` (uint8 [H, W, 3]) tinted by its label map, its boxes drawn and named.

    `mask_opacity` in 0..1 is the opacity of the tint; borders between classes are drawn opaque.
    Lines and text scale with the image. Every box is drawn in the colour of its class; its name
    and score are omitted if there is no room beside it. The label map may be smaller than the
    image. The result is a new array, or `out` if given (uint8 [H, W, 3], contiguous).
    """
    canvas = np.empty(image_rgb.shape, np.uint8) if out is None else out
    if perception.label_map is not None and spec.segmentation:
        _tint(np.ascontiguousarray(image_rgb), perception.label_map, spec.segmentation,
              mask_opacity, canvas)
    else:
        np.copyto(canvas, image_rgb)
    if perception.detections is not None and spec.detection:
        _draw_boxes(canvas, perception.detections, spec.detection)
    return canvas


def _tint(image: np.ndarray, label_map: np.ndarray, label_set: LabelSet, opacity: float,
          out: np.ndarray) -> None:
    height, width = image.shape[:2]
    if label_map.shape != (height, width):
        label_map = cv2.resize(label_map, (width, height), interpolation=cv2.INTER_NEAREST)
    colors = color_label_map(label_map, label_set)
    cv2.addWeighted(image, 1 - opacity, colors, opacity, 0, dst=out)
    if opacity > 0:
        # Pixels whose neighbourhood contains more than one index.
        edges = cv2.morphologyEx(label_map, cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8))
        cv2.copyTo(colors, edges, out)
    if label_map.max() >= len(label_set):
        cv2.copyTo(image, (label_map >= len(label_set)).view(np.uint8), out)


def _draw_boxes(canvas: np.ndarray, detections: Detections, label_set: LabelSet) -> None:
    # Scales sublinearly: a larger image is viewed from closer.
    growth = (max(min(canvas.shape[:2]), 160) / 480) ** 0.7
    line = max(2, round(1.6 * growth))
    corners = np.rint(detections.boxes).astype(int)
    # The best box is drawn last, over the others.
    for number in reversed(range(len(detections))):
        color = label_set.colors[detections.classes[number]]
        if detections.oriented is not None and detections.oriented[number, 4]:
            _draw_oriented(canvas, detections.oriented[number].tolist(), color, line)
        else:
            _draw_upright(canvas, corners[number].tolist(), color, line)
    names = [f'{label_set.names[index]} {score:.2f}' for index, score in zip(
        detections.classes.tolist(), detections.scores.tolist(), strict=True)]
    # Areas that a name must not cover: other boxes, and the names of better ones.
    occupied = np.concatenate([corners, np.zeros_like(corners)])
    for number, (name, index) in enumerate(zip(names, detections.classes.tolist(), strict=True)):
        occupied[number] = 0
        occupied[len(names) + number] = _draw_name(
            canvas, corners[number].tolist(), name, label_set.colors[index], 0.4 * growth, line,
            occupied)
        occupied[number] = corners[number]


def _draw_upright(canvas: np.ndarray, box: list[int], color: Color, line: int) -> None:
    x0, y0, x1, y1 = box
    # Nested one-pixel rectangles, since OpenCV's thick lines are wider than requested.
    for k in range(line + 1):
        cv2.rectangle(canvas, (x0 - k, y0 - k), (max(x1 - 1, x0) + k, max(y1 - 1, y0) + k),
                      color if k < line else _DARK)


def _draw_oriented(canvas: np.ndarray, box: list[float], color: Color, line: int) -> None:
    x, y, length, width, angle = box
    for outset, shade in ((line, _DARK), (line - 1, color)):
        # The line lies outside the object, as that of an upright box does.
        outline = cv2.boxPoints(((x, y), (length + outset, width + outset), math.degrees(angle)))
        cv2.polylines(canvas, [np.rint(outline * 16 - 8).astype(np.int32)], True, shade,
                      line + (shade is _DARK), cv2.LINE_AA, 4)


def _draw_name(canvas: np.ndarray, box: list[int], text: str, color: Color, size: float,
               gap: int, occupied: np.ndarray) -> Rectangle:
    """
    Write `text` beside `box` where it overlaps none of `occupied` (int [N, 4]), if possible.

    Return the place, empty if there is none.
    """
    (width, height), below = cv2.getTextSize(text, _FONT, size, 1)
    margin = max(1, round(4 * size))
    plate = width + 2 * margin, height + below + margin
    for x, y in _places(box, plate, (canvas.shape[1], canvas.shape[0]), gap):
        covers = ((occupied[:, 0] < x + plate[0]) & (x < occupied[:, 2])
                  & (occupied[:, 1] < y + plate[1]) & (y < occupied[:, 3]))
        if not covers.any():
            break
    else:
        return 0, 0, 0, 0
    right, bottom = x + plate[0], y + plate[1]
    cv2.rectangle(canvas, (x, y), (right - 1, bottom - 1), color, cv2.FILLED)
    luminance = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]
    cv2.putText(canvas, text, (x + margin, y + height + margin // 2), _FONT, size,
                _DARK if luminance > 110 else _LIGHT, 1, cv2.LINE_AA)
    return x, y, right, bottom


def _places(box: list[int], plate: tuple[int, int], image: tuple[int, int],
            gap: int) -> Iterator[tuple[int, int]]:
    """Yield the places of a plate in the image: above, below, right, left of or inside a box."""
    x0, y0, x1, y1 = box
    left = max(0, min(x0 - gap, image[0] - plate[0]))
    right_aligned = max(0, min(x1 + gap, image[0]) - plate[0])
    top = max(0, min(y0, image[1] - plate[1]))
    above, below = y0 - gap - plate[1], y1 + gap
    for y in (above, below):
        if 0 <= y <= image[1] - plate[1]:
            yield left, y
            yield right_aligned, y
    if x1 + gap + plate[0] <= image[0]:
        yield x1 + gap, top
    if x0 - gap - plate[0] >= 0:
        yield x0 - gap - plate[0], top
    if plate[0] < x1 - x0 and plate[1] < y1 - y0:
        yield x0 + gap, y0 + gap
