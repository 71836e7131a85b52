"""Per-image counts from which a model's scores are computed, and the scores of samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mtl_perception.evaluation.average_precision import coco_precision
from mtl_perception.evaluation.matching import ALL, IOU_50, IOUS, Matches
from mtl_perception.evaluation.segmentation import (
    frequency_weighted_iou,
    label_boundary_f,
    label_iou,
    mean_iou,
    mean_of_known,
    pixel_accuracy,
    PixelCounts,
)


@dataclass(frozen=True)
class Metric:
    """Name of a score."""

    task: str
    """'detection' or 'segmentation'."""
    name: str
    """ap50, ap, iou, frequency_weighted, pixel_accuracy or boundary."""
    label: str
    """Class, group or source label; '' for a score over several."""
    mean: str = ''
    """'classes' or 'groups' for a mean (see `detection_mean`), else ''."""


@dataclass(frozen=True, eq=False)
class SetEvidence:
    """The data from which the scores of one model on one set are computed."""

    images: int
    detection: dict[str, Matches]
    """By class, then by group of classes."""
    groups: dict[str, tuple[str, ...]]
    """Group -> its classes; only groups that are scored."""
    segmentation: PixelCounts | None


def mean_names(evidence: SetEvidence, mean: str) -> tuple[str, ...]:
    """
    Return the classes or groups over which a mean of detection scores is taken.

    `classes`: every class, as COCO does. `groups`: every group as one class, and the classes that
    are in no group, which is more informative for a set with a thousand cars and three lorries.
    """
    if mean == 'classes':
        return tuple(name for name in evidence.detection if name not in evidence.groups)
    grouped = {name for members in evidence.groups.values() for name in members}
    return tuple(name for name in evidence.detection if name not in grouped)


def detection_mean(evidence: SetEvidence, values: Mapping[str, float], mean: str) -> float:
    """Return the mean of `values` by class and group, over those with objects; NaN if none."""
    row = np.array([[values[name] for name in mean_names(evidence, mean)]], float)
    return float(mean_of_known(row)[0])


def sample_scores(evidence: SetEvidence, weights: np.ndarray) -> dict[Metric, np.ndarray]:
    """
    Return the scores of B samples of the set's images: [B] each.

    `weights` [B, images] is how often each image is in each sample.
    """
    scores: dict[Metric, np.ndarray] = {}
    by_name: dict[str, dict[str, np.ndarray]] = {'ap50': {}, 'ap': {}}
    for label, matches in evidence.detection.items():
        at = [coco_precision(matches, ALL, iou, weights).mean(axis=1)
              for iou in range(len(IOUS))]
        by_name['ap50'][label] = at[IOU_50]
        by_name['ap'][label] = np.mean(at, axis=0)
    for name, values in by_name.items():
        scores.update({Metric('detection', name, label): value
                       for label, value in values.items()})
        for mean in ('classes', 'groups') if values and evidence.groups else ('classes',):
            members = [values[label] for label in mean_names(evidence, mean) if label in values]
            if members:
                scores[Metric('detection', name, '', mean)] = mean_of_known(
                    np.stack(members, axis=1))
    if evidence.segmentation is not None:
        scores.update(_segmentation_scores(evidence.segmentation, weights))
    return scores


def mean_over_sets(sets: Sequence[Mapping[Metric, np.ndarray]]) -> dict[Metric, np.ndarray]:
    """Return the means over the sets of the scores of whole sets: [B] each."""
    gathered: dict[Metric, list[np.ndarray]] = {}
    for scores in sets:
        for metric, values in scores.items():
            if not metric.label:
                gathered.setdefault(metric, []).append(values)
    # For a set without groups, the mean over classes is used in the mean over groups.
    for metric in [metric for metric in gathered if metric.mean == 'groups']:
        gathered[metric] = [
            scores.get(metric, scores[replace(metric, mean='classes')]) for scores in sets
            if replace(metric, mean='classes') in scores]
    return {metric: mean_of_known(np.stack(values, axis=1))
            for metric, values in gathered.items()}


def _segmentation_scores(counts: PixelCounts, weights: np.ndarray) -> dict[Metric, np.ndarray]:
    images, kinds = counts.confusion.shape[:2]
    total = (weights @ counts.confusion.reshape(images, -1)).reshape(-1, kinds, kinds + 1)
    scores = {Metric('segmentation', 'iou', label): values
              for label, values in zip(counts.names, label_iou(total).T, strict=True)}
    scores[Metric('segmentation', 'iou', '', 'classes')] = mean_iou(total)
    scores[Metric('segmentation', 'frequency_weighted', '')] = frequency_weighted_iou(total)
    scores[Metric('segmentation', 'pixel_accuracy', '')] = pixel_accuracy(total)
    scores[Metric('segmentation', 'boundary', '', 'classes')] = mean_of_known(
        label_boundary_f(counts, weights))
    return scores
