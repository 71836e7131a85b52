"""
Boundary F score: the accuracy of borders between labels, to which IoU is insensitive.

For a label in an image, precision is the share of its predicted border within a tolerance of its
true border, recall the share of its true border within the tolerance of the predicted one, and F
their harmonic mean (G. Csurka and others, What is a good evaluation measure for semantic
segmentation?, 2013). The tolerance is 0.75 % of the image's diagonal, as there.
"""

from __future__ import annotations

import math

import numpy as np

TOLERANCE = 0.0075
"""Tolerance as a share of the image's diagonal."""

MAX_SIDE = 2048
"""Side above which only every second, third, ... row and column is evaluated."""

_PLANES = 64


def boundary_f(truth: np.ndarray, seen: np.ndarray, labels: int) -> np.ndarray:
    """
    Return F of each label of one image: float64 [labels], NaN for one without a true border.

    `truth` and `seen` are uint8 [H, W] of label indices; pixels with a `truth` of `labels` or more
    are unknown and have no border; neither has the edge of the image. `seen` may have such values
    too, for classes of no label.
    """
    step = -(-max(truth.shape) // MAX_SIDE)
    truth, seen = truth[::step, ::step], seen[::step, ::step]
    known = truth < labels
    true_edge, seen_edge = _edges(truth, known), _edges(seen, known)
    seen_edge &= seen < labels
    reach = max(1.0, TOLERANCE * math.hypot(*truth.shape))
    recall, true = _within(truth, true_edge, seen, seen_edge, labels, reach)
    precision, found = _within(seen, seen_edge, truth, true_edge, labels, reach)
    with np.errstate(invalid='ignore'):
        f = 2 * precision * recall / (precision + recall)
    f[(found == 0) | (precision + recall == 0)] = 0
    f[true == 0] = np.nan
    return f


def _edges(labels: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the pixels adjacent to a pixel of another label, both known: bool [H, W]."""
    edge = np.zeros(labels.shape, bool)
    for here, there in (((slice(1, None), slice(None)), (slice(None, -1), slice(None))),
                        ((slice(None), slice(1, None)), (slice(None), slice(None, -1)))):
        differ = (labels[here] != labels[there]) & known[here] & known[there]
        edge[here] |= differ
        edge[there] |= differ
    return edge


def _within(some: np.ndarray, some_edge: np.ndarray, others: np.ndarray, others_edge: np.ndarray,
            labels: int, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """
    Return, by label, the share of the border in `some` near the label's border in `others`.

    Also return the number of pixels of the border; the share is NaN if that is 0.
    """
    kinds = some[some_edge]
    count = np.bincount(kinds, minlength=labels)
    near = np.zeros(labels)
    for first in range(0, labels, _PLANES):
        # One bit per label: all labels are dilated at once.
        planes = min(labels - first, _PLANES)
        bits = np.zeros(others.shape, np.min_scalar_type((1 << planes) - 1))
        there = others_edge & (others >= first) & (others < first + planes)
        bits[there] = np.left_shift(
            bits.dtype.type(1), (others[there] - first).astype(bits.dtype))
        here = (kinds >= first) & (kinds < first + planes)
        reached = np.right_shift(_widened(bits, reach)[some_edge][here],
                                 (kinds[here] - first).astype(bits.dtype)) & 1
        near += np.bincount(kinds[here], reached, labels)
    return np.divide(near, count, out=np.full(labels, np.nan), where=count > 0), count


def _widened(bits: np.ndarray, reach: float) -> np.ndarray:
    """Return the bits that are set within `reach` pixels of each pixel."""
    row = bits.copy()
    result = np.zeros_like(bits)
    width = 0
    # A disc is a stack of rows whose widths increase from its top to its middle.
    for y in range(int(reach), -1, -1):
        while (width + 1) ** 2 + y ** 2 <= reach ** 2:
            width += 1
            row[:, width:] |= bits[:, :-width]
            row[:, :-width] |= bits[:, width:]
        if y >= len(row):
            continue
        result[y:] |= row[:len(row) - y]
        result[:len(row) - y] |= row[y:]
    return result
