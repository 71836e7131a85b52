"""Composes a frame of a synthetic flight: its cut of the town, and what is laid over it."""

from __future__ import annotations

import cv2
import numpy as np

from mtl_perception.data.synthetic.person_images import Pose
from mtl_perception.data.synthetic.town import BUILDING, VEHICLE, WATER

MIN_VISIBLE = 0.3
"""A vehicle or person with less than this share visible has no box."""


def periodic_cut(plane: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return plane[low y:high y, low x:high x] of a plane that repeats in both directions."""
    side = plane.shape[0]
    rows = np.arange(low[1], high[1]) % side
    x0, x1 = low[0] % side, low[0] % side + high[0] - low[0]
    if rows[0] < rows[-1] and x1 <= side and len(rows) <= side:
        return plane[rows[0]:rows[-1] + 1, x0:x1]
    band = plane[rows]
    return np.take(band, np.arange(x0, x1) % side, axis=1) if x1 > side else band[:, x0:x1]


def lay(image: np.ndarray, ids: np.ndarray, hidden: np.ndarray, part: np.ndarray,
        roi: tuple[slice, slice], number: int) -> None:
    """Lay `part` (RGB times coverage, and coverage), less what is hidden, over the frame."""
    part[hidden[roi]] = 0
    cover = part[..., 3]
    view = image[roi]
    keep = cv2.merge([255 - cover] * 3)
    view[:] = cv2.add(cv2.multiply(view, keep, scale=1 / 255), part[..., :3])
    ids[roi][cover >= 128] = number


def draw_person(image: np.ndarray, ids: np.ndarray, hidden: np.ndarray,
                mask: np.ndarray, person: Pose, number: int
                ) -> tuple[tuple[slice, slice] | None, float]:
    """Draw one person; return where in the frame it may be seen and its whole area."""
    height, width = mask.shape
    x, y = person.feet.tolist()
    reach = person.scale + float(np.abs(person.lean).max())
    if not (-reach < x < width + reach and -reach < y < height + reach):
        return None, 0.0
    # Nobody stands in a house, in water or under a car.
    row, column = min(max(int(y), 0), height - 1), min(max(int(x), 0), width - 1)
    if mask[row, column] in (BUILDING, WATER, VEHICLE):
        return None, 0.0
    part, left, top = person.image()
    area = float(np.count_nonzero(part[..., 3] >= 128))
    x0, x1 = max(left, 0), min(left + part.shape[1], width)
    y0, y1 = max(top, 0), min(top + part.shape[0], height)
    if x0 >= x1 or y0 >= y1:
        return None, area
    roi = (slice(y0, y1), slice(x0, x1))
    lay(image, ids, hidden, part[y0 - top:y1 - top, x0 - left:x1 - left], roi, number)
    return roi, area


def visible_boxes(ids: np.ndarray, regions: list[tuple[slice, slice] | None], areas: list[float]
                  ) -> tuple[np.ndarray, np.ndarray]:
    """Return the boxes of the vehicles that show enough of themselves, and their numbers."""
    boxes, shown = [], []
    for k, (region, area) in enumerate(zip(regions, areas, strict=True)):
        if region is None:
            continue
        seen = ids[region] == k + 1
        count = np.count_nonzero(seen)
        if count == 0 or count < MIN_VISIBLE * area:
            continue
        rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
        top, left = region[0].start, region[1].start
        boxes.append((left + columns[0], top + rows[0],
                      left + columns[-1] + 1, top + rows[-1] + 1))
        shown.append(k)
    return np.array(boxes, np.float32).reshape(-1, 4), np.array(shown, np.intp)
