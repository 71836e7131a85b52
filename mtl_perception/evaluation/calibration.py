"""
Calibration of scores: whether 80 % of the detections with a score of 0.8 are correct.

The expected calibration error (ECE) is the mean distance between a bin's mean score and its share
of correct detections, weighted by the bin's detections (C. Guo and others, On Calibration of
Modern Neural Networks, 2017; for detections: F. Küppers and others, Multivariate Confidence
Calibration for Object Detection, 2020, here by score alone). Correct detections are COCO's true
positives at an IoU of 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mtl_perception.evaluation.matching import ALL, IOU_50, Matches

BINS = 10


@dataclass(frozen=True)
class Calibration:
    """Reliability of the scores of one class."""

    ece: float
    """Expected calibration error of all scored detections, 0..1; NaN without any."""
    ece_shown: float
    """The same for the detections above the operating threshold."""
    detections: tuple[int, ...]
    """Number of detections in each of `BINS` equal bins of the scores 0..1."""
    scores: tuple[float, ...]
    """Mean score of each bin; NaN if it is empty."""
    precision: tuple[float, ...]
    """Share of correct detections in each bin; NaN if it is empty."""


def calibration(matches: Matches, threshold: float) -> Calibration:
    """Return the reliability of the scores; detections in ignore regions are not counted."""
    counted = ~matches.ignored[ALL, IOU_50]
    scores = matches.scores[counted].astype(np.float64)
    right = matches.right[ALL, IOU_50][counted]
    count, mean, precision = _bins(scores, right)
    shown = scores >= np.float32(threshold)
    return Calibration(
        _error(count, mean, precision), _error(*_bins(scores[shown], right[shown])),
        tuple(count.tolist()), tuple(mean.tolist()), tuple(precision.tolist()))


def _bins(scores: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    index = np.minimum((scores * BINS).astype(int), BINS - 1)
    count = np.bincount(index, minlength=BINS)
    empty = np.full(BINS, np.nan)
    mean, share = (
        np.divide(np.bincount(index, values, BINS), count, out=empty.copy(), where=count > 0)
        for values in (scores, right))
    return count, mean, share


def _error(count: np.ndarray, mean: np.ndarray, precision: np.ndarray) -> float:
    if not count.any():
        return float('nan')
    filled = count > 0
    return float(np.average(np.abs(mean - precision)[filled], weights=count[filled]))
