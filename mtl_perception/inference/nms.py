"""Greedy non-maximum suppression, class by class."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np


def suppress(boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray, threshold: float,
             limit: int) -> np.ndarray:
    """
    Return the indices (int [M], best score first) of the boxes that NMS keeps, `limit` at most.

    A box is removed if its intersection over union with a better one of its class is above
    `threshold`. `boxes` is float32 [N, 4] (x0, y0, x1, y1), `scores` float32 [N], above 0,
    `classes` int [N]; equal scores keep their order.
    """
    if len(boxes) == 0:
        return np.empty(0, np.intp)
    corners = boxes.astype(np.float64)
    sizes = corners[:, 2:] - corners[:, :2]
    # Boxes are shifted by class, so that one pass handles all classes.
    extent = np.abs(corners).max() + 1
    origins = corners[:, :2] + (2 * extent * classes)[:, None]
    rectangles: Any = np.concatenate([origins, sizes], axis=1)
    values: Any = scores
    kept = cv2.dnn.NMSBoxes(rectangles, values, 0.0, threshold)
    return np.asarray(kept, np.intp).reshape(-1)[:limit]
