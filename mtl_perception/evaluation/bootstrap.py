"""
Confidence intervals of scores and of their differences, by bootstrap over images.

Images of each set are drawn with replacement, their number unchanged, and the scores recomputed
(B. Efron, Bootstrap Methods, 1979; percentile intervals). Two models are compared on the same
draws, so that images which are hard for both do not widen the interval of their difference. The
interval describes the variation of the score over other images of the same kind. It is too narrow
for the similar frames of one flight, and does not cover the variation between training runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mtl_perception.evaluation.evidence import (
    mean_over_sets,
    Metric,
    sample_scores,
    SetEvidence,
)

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A score over all images with its interval; NaN if it does not exist."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """One score of every model."""

    metric: Metric
    models: tuple[Interval, ...]
    differences: tuple[Interval, ...]
    """For each model except the first: its score minus that of the first."""


@dataclass(frozen=True)
class Bootstrap:
    """The scores common to all models, with their intervals."""

    samples: int
    seed: int
    confidence: float
    sets: dict[str, tuple[Comparison, ...]]
    overall: tuple[Comparison, ...]
    """Means over the sets."""


def bootstrap(models: Sequence[Mapping[str, SetEvidence]], samples: int, seed: int) -> Bootstrap:
    """
    Return the intervals of the scores of `models`, each with evidence by set, and of their
    differences.

    `samples`: number of bootstrap samples; 0 gives scores without intervals. The draws depend on
    `seed` and on the sets' sizes and order only.
    """
    generator = np.random.default_rng(seed)
    names = list(dict.fromkeys(name for model in models for name in model))
    by_set: list[dict[str, dict[Metric, np.ndarray]]] = [{} for _ in models]
    for name in names:
        images = next(model[name].images for model in models if name in model)
        # The first sample is the data itself.
        weights = np.concatenate([
            np.ones((1, images)),
            generator.multinomial(images, np.full(images, 1 / images), samples)])
        for scores, model in zip(by_set, models, strict=True):
            if name in model:
                scores[name] = sample_scores(model[name], weights)
    sets = {name: _compare([scores.get(name, {}) for scores in by_set]) for name in names}
    overall = [mean_over_sets(list(scores.values())) for scores in by_set]
    return Bootstrap(samples, seed, CONFIDENCE,
                     {name: rows for name, rows in sets.items() if rows}, _compare(overall))


def _compare(models: Sequence[Mapping[Metric, np.ndarray]]) -> tuple[Comparison, ...]:
    """Return the scores common to all models; values are [1 + samples]."""
    common = [metric for metric in models[0] if all(metric in scores for scores in models)]
    return tuple(
        Comparison(metric, tuple(_interval(scores[metric]) for scores in models),
                   tuple(_interval(scores[metric] - models[0][metric]) for scores in models[1:]))
        for metric in common)


def _interval(values: np.ndarray) -> Interval:
    drawn = values[1:][~np.isnan(values[1:])]
    if np.isnan(values[0]) or not len(drawn):
        return Interval(float(values[0]), float('nan'), float('nan'))
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(drawn, (tail, 100 - tail))
    return Interval(float(values[0]), float(low), float(high))
