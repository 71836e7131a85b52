"""Scores of an experiment, read from its evaluations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from mtl_perception.errors import DataError
from mtl_perception.evaluation.run import model_names
from mtl_perception.training.experiment_file import Network

METRICS = {'detection': 'ap50', 'segmentation': 'iou'}
"""Task -> name in `metrics.json` of the score that networks are compared by."""

TITLES = {'detection': 'AP50', 'segmentation': 'mIoU'}


@dataclass(frozen=True)
class Difference:
    """A score minus that of the single-task network, with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Score:
    """A network's score in a task, by seed; NaN where the split has no object of the class."""

    task: str
    data_set: str
    """Name of the set; '' for the mean over the sets."""
    label: str
    """Class or group of classes; '' for the mean over those of the set."""
    network: str
    by_seed: dict[int, float]
    differences: dict[int, Difference]
    """By seed; empty for the single-task network."""

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return float(np.mean(list(self.by_seed.values())))

    @property
    def spread(self) -> float:
        """Difference between the largest and the smallest score of a seed."""
        values = list(self.by_seed.values())
        return max(values) - min(values)

    @property
    def difference(self) -> Difference | None:
        """Means over the seeds of the difference and of the ends of its intervals."""
        found = list(self.differences.values())
        return Difference(*(float(np.mean([getattr(item, name) for item in found]))
                            for name in ('value', 'low', 'high'))) if found else None


def read_scores(task: str, evaluations: Mapping[int, tuple[Path, Sequence[Network]]]
                ) -> list[Score]:
    """
    Return the scores in `task`: means over the sets, then of each set, then of its classes.

    `evaluations` are by seed: the folder that `mtl evaluate` wrote and the networks in their
    order, the single-task one first. Raises DataError for a folder of other contents.
    """
    scores: dict[tuple[str, str, str], Score] = {}
    for seed, (folder, networks) in evaluations.items():
        path = folder / 'metrics.json'
        try:
            metrics = json.loads(path.read_text('utf-8'))
            for data_set, label, row in _rows(metrics, task):
                values = [_number(value['value']) for value in row['models']]
                differences = [Difference(*(_number(value[name]) for name in (
                    'value', 'low', 'high'))) for value in row['differences']]
                for number, (network, value) in enumerate(zip(networks, values, strict=True)):
                    score = scores.setdefault((data_set, label, network.name), Score(
                        task, data_set, label, network.name, {}, {}))
                    score.by_seed[seed] = value
                    if number:
                        score.differences[seed] = differences[number - 1]
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            raise DataError(f'{path}: not an evaluation by `mtl evaluate` of these networks: '
                            f'{error!r}; remove the folder to evaluate again') from None
    return list(scores.values())


def is_complete(folder: Path, models: Sequence[Path]) -> bool:
    """Return whether `folder` has an evaluation of these models, by their names."""
    try:
        metrics = json.loads((folder / 'metrics.json').read_text('utf-8'))
        return [model['model'] for model in metrics['models']] == model_names(models)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _rows(metrics: dict[str, Any], task: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield set, class and comparison of the models: '' and '' for the mean over the sets."""
    bootstrap = metrics['bootstrap']
    if overall := _of_whole_set(bootstrap['overall'], task):
        yield '', '', overall
    for name, comparisons in bootstrap['sets'].items():
        mean = _of_whole_set(comparisons, task)
        if not mean:
            continue
        yield name, '', mean
        labels = _labels(metrics, name) if task == 'detection' else None
        parts = [row for row in comparisons if _is_score(row, task) and row['metric']['label']
                 and (labels is None or row['metric']['label'] in labels)
                 and not math.isnan(_number(row['models'][0]['value']))]
        if len(parts) > 1:
            for row in parts:
                yield name, row['metric']['label'], row


def _is_score(row: dict[str, Any], task: str) -> bool:
    return (row['metric']['task'], row['metric']['name']) == (task, METRICS[task])


def _of_whole_set(comparisons: list[dict[str, Any]], task: str) -> dict[str, Any] | None:
    """Return the mean over groups of classes, where there are groups, else over classes."""
    found = {row['metric']['mean']: row for row in comparisons
             if _is_score(row, task) and not row['metric']['label']}
    return found.get('groups') or found.get('classes')


def _labels(metrics: dict[str, Any], data_set: str) -> set[str]:
    """Return the groups of a set, and its classes that are in none."""
    report = next(report for report in metrics['models'][0]['sets'] if report['name'] == data_set)
    grouped = {name for members in report['groups'].values() for name in members}
    return set(report['detection']) - grouped


def _number(value: float | None) -> float:
    """Return `value`, NaN for a score that does not exist: a split without an object has no AP."""
    return math.nan if value is None else float(value)
