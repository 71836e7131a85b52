"""
Average precision and recall from matches, with weights of the images.

Every function takes `weights` [B, images]: the number of times that each image counts in each of B
samples. Ones give the score of the data; counts of images drawn with replacement give bootstrap
samples of it, all at once and without repeating the matching.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mtl_perception.evaluation.matching import ALL, IOU_50, Matches

RECALLS = np.linspace(0.0, 1.0, 101)
"""Recalls at which COCO reads the precision."""

VOC07_RECALLS = np.arange(11) / 10

_BLOCK = 1 << 22
"""Maximum number of elements of a temporary array."""


@dataclass(frozen=True)
class OperatingPoint:
    """Precision and recall at IoU 0.5 of the detections that score at least `threshold`."""

    threshold: float
    precision: float
    recall: float
    f1: float


def coco_precision(matches: Matches, area: int, iou: int, weights: np.ndarray) -> np.ndarray:
    """
    Return COCO's interpolated precision at `RECALLS`: [B, 101], NaN if there are no objects.

    `area` and `iou` are indices into AREAS and IOUS.
    """
    return _interpolated(matches.right[area, iou], matches.ignored[area, iou], matches.image,
                         matches.objects[area], weights, RECALLS)


def coco_recall(matches: Matches, area: int, iou: int, weights: np.ndarray) -> np.ndarray:
    """Return the share of objects matched by any detection: [B]."""
    found = np.bincount(matches.image, matches.right[area, iou], matches.objects.shape[1])
    return _share(weights @ found, weights @ matches.objects[area])


def voc07(matches: Matches, weights: np.ndarray) -> np.ndarray:
    """Return the AP of Pascal VOC 2007, the mean of eleven interpolated precisions: [B]."""
    return np.asarray(_interpolated(
        matches.voc_right, matches.voc_ignored, matches.image, matches.objects[ALL], weights,
        VOC07_RECALLS).mean(axis=1))


def voc12(matches: Matches, weights: np.ndarray) -> np.ndarray:
    """Return the AP of Pascal VOC 2010 and later, the area under the monotone curve: [B]."""
    results = []
    objects = weights @ matches.objects[ALL]
    for part, total in _parts(weights, objects, int(matches.voc_right.sum())):
        right, precision = _curve(matches.voc_right, matches.voc_ignored, matches.image, part)
        steps = np.diff(right, axis=1, prepend=0)
        results.append(_share((steps * precision).sum(axis=1), total))
    return np.concatenate(results)


def operating_points(matches: Matches, threshold: float) -> tuple[OperatingPoint, OperatingPoint]:
    """Return the point at `threshold` and the one with the best F1; NaN without objects."""
    objects = int(matches.objects[ALL].sum())
    right = matches.right[ALL, IOU_50]
    wrong = ~right & ~matches.ignored[ALL, IOU_50]
    found, false = np.cumsum(right), np.cumsum(wrong)

    def point(at: float, count: int) -> OperatingPoint:
        true, bad = (int(found[count - 1]), int(false[count - 1])) if count else (0, 0)
        nan = float('nan')
        return OperatingPoint(
            at, true / (true + bad) if true + bad else nan, true / objects if objects else nan,
            2 * true / (true + bad + objects) if objects else nan)

    count = int(np.searchsorted(-matches.scores, -np.float32(threshold), side='right'))
    here = point(threshold, count)
    if not objects or not right.any():
        return here, point(float('nan'), 0)
    # A threshold cannot separate detections with equal scores.
    last = np.flatnonzero(np.append(np.diff(matches.scores) < 0, True))
    best = int(last[np.argmax(2 * found[last] / (found[last] + false[last] + objects))])
    return here, point(float(matches.scores[best]), best + 1)


def _interpolated(right: np.ndarray, ignored: np.ndarray, image: np.ndarray,
                  objects: np.ndarray, weights: np.ndarray, recalls: np.ndarray) -> np.ndarray:
    """Return the best precision at each of `recalls` or a higher one: [B, recalls]."""
    results = np.zeros((len(weights), len(recalls)))
    row = 0
    for part, total in _parts(weights, weights @ objects, int(right.sum())):
        found, precision = _curve(right, ignored, image, part)
        recall = found / np.maximum(total, 1)[:, None]
        for values, ceiling, count in zip(recall, precision, total, strict=True):
            if not count:
                results[row] = np.nan
            elif len(values):
                index = np.searchsorted(values, recalls)
                reached = index < len(values)
                results[row, reached] = ceiling[index[reached]]
            row += 1
    return results


def _parts(weights: np.ndarray, objects: np.ndarray,
           right: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the samples and their numbers of objects, in chunks of limited size."""
    count = max(1, -(-len(weights) * right // _BLOCK))
    return list(zip(np.array_split(weights, count), np.array_split(objects, count), strict=True))


def _curve(right: np.ndarray, ignored: np.ndarray, image: np.ndarray,
           weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    Return the precision-recall curve at the true positives, on which alone it depends.

    The number of matched objects so far, and the best precision here or later: [B, true positives]
    each.
    """
    rows = np.flatnonzero(right)
    wrong = np.flatnonzero(~right & ~ignored)
    # The true positive that follows each false positive.
    following = np.searchsorted(rows, wrong)
    wrong, following = wrong[following < len(rows)], following[following < len(rows)]
    found = np.cumsum(weights[:, image[rows]], axis=1, dtype=np.float64)
    false = np.empty_like(found)
    images = weights.shape[1]
    width = max(1, _BLOCK // max(images, 1))
    for first in range(0, len(rows), width):
        columns = min(width, len(rows) - first)
        inside = (following >= first) & (following < first + columns)
        places = image[wrong[inside]] * columns + following[inside] - first
        counts = np.bincount(places, minlength=images * columns).reshape(images, columns)
        # Integers far below 2^24: exact in float32.
        false[:, first:first + columns] = weights.astype(np.float32) @ counts.astype(np.float32)
    np.cumsum(false, axis=1, out=false)
    precision = found / (found + false + np.spacing(1.0))
    return found, np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
