"""Paints the objects that stand on the ground of a synthetic town."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from mtl_perception.data.synthetic.clutter import GroundObject
from mtl_perception.data.synthetic.town import BUILDING, WATER

_OWN_LABELS = {'building': BUILDING, 'water': WATER}
"""Of objects that are not of the class of what they stand on."""


@dataclass(frozen=True)
class Planes:
    """What is painted of a town; as in `Town`."""

    albedo: np.ndarray
    mask: np.ndarray
    light: np.ndarray


def paint_object(item: GroundObject, places: Iterable[np.ndarray], ppm: float, sun: np.ndarray,
                 shadow: int, planes: Planes) -> None:
    """
    Paint what stands on the ground, with its shadow, into `planes`.

    Args:
        item: the object.
        places: [1, 2] each: where in the planes it is, in pixels; several at the town's edge.
        ppm: pixels per metre.
        sun: [2], metres of shadow per metre of height.
        shadow: the light in shadow, 0..255.
        planes: what is painted on.

    """
    forward = np.array([np.cos(item.heading), np.sin(item.heading)])
    turn = np.array([forward, (-forward[1], forward[0])]) * ppm
    parts = item.shape.parts
    for place in places:
        bases = [place + part.outline @ turn for part in parts]
        for part, base in zip(parts, bases, strict=True):
            top = base + sun * (part.height * ppm)
            cast = top if part.raised else np.concatenate([base, top])
            hull = cv2.convexHull(np.round(cast * 16).astype(np.int32))
            cv2.fillConvexPoly(planes.light, hull, shadow, cv2.LINE_8, 4)
        for part, base in zip(parts, bases, strict=True):
            outline = [np.round(base * 16).astype(np.int32)]
            cv2.fillPoly(planes.light, outline, 255, cv2.LINE_8, 4)
            if item.shape.label:
                cv2.fillPoly(planes.mask, outline, _OWN_LABELS[item.shape.label], cv2.LINE_8, 4)
            for polygon, color in part.faces:
                pixels = np.round((place + polygon @ turn) * 16).astype(np.int32)
                cv2.fillPoly(planes.albedo, [pixels], color, cv2.LINE_AA, 4)
