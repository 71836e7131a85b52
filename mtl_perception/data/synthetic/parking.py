"""Which of the planned vehicles of a synthetic town can park where they are."""

from __future__ import annotations

import math

import cv2
import numpy as np

from mtl_perception.data.synthetic.plan import rectangle
from mtl_perception.data.synthetic.town import BUILDING, Town, WATER
from mtl_perception.data.synthetic.vehicles import Fleet


def standing_free(town: Town, fleet: Fleet, model: np.ndarray, place: np.ndarray,
                  heading: np.ndarray) -> np.ndarray:
    """Return which parked vehicles stand in no other one, in no house and in no water."""
    models = fleet.models
    side = town.mask.shape[0]
    length = np.array([models[k].length for k in model])
    width = np.array([models[k].width for k in model])
    boxes = [((float(x), float(y)), (float(a), float(b)), math.degrees(turn))
             for (x, y), a, b, turn in zip(place, length + 0.2, width + 0.1, heading,
                                           strict=True)]
    free = np.ones(len(model), bool)
    for k in range(len(model)):
        corners = rectangle(place[k], heading[k], length[k], width[k])
        points = np.concatenate([corners, place[k:k + 1], (corners + place[k]) / 2])
        columns, rows = (points * town.ppm).astype(int).T % side
        ground = town.mask[rows, columns]
        if np.isin(ground, (BUILDING, WATER)).any():
            free[k] = False
            continue
        gap = np.hypot(*(place[:k] - place[k]).T)
        for other in np.flatnonzero(free[:k] & (gap < (length[:k] + length[k]) / 2)):
            if cv2.rotatedRectangleIntersection(boxes[k], boxes[other])[0]:
                free[k] = False
                break
    return free
