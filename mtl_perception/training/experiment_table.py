"""Scores of an experiment, read from its evaluations, and their table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from mtl_perception.errors import DataError
from mtl_perception.training.experiment_file import Experiment, Network

TASKS = {'detection': ('ap50_groups', 'ap50'), 'segmentation': ('iou',)}
"""Task -> names in the means of `metrics.json` of its score, the preferred first."""

TITLES = {'detection': 'AP50', 'segmentation': 'mIoU'}


@dataclass(frozen=True)
class Score:
    """A network's score in a task over the seeds, means over the sets."""

    network: str
    task: str
    by_seed: dict[int, float]
    differences: dict[int, tuple[float, float, float]]
    """Seed -> difference from the single-task network's score, and its 95 % interval."""

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return float(np.mean(list(self.by_seed.values())))

    @property
    def spread(self) -> float:
        """Difference between the largest and the smallest score of a seed."""
        values = list(self.by_seed.values())
        return max(values) - min(values)


def read_scores(task: str, experiment: Experiment,
                evaluations: Mapping[int, tuple[Path, Sequence[Network]]]) -> Iterator[Score]:
    """
    Yield the scores in `task` of every network of `experiment` that has it.

    `evaluations` are by seed: the folder that `mtl evaluate` wrote and the networks in their
    order, the single-task one first. Raises DataError for a folder of other contents.
    """
    by_seed: dict[str, dict[int, float]] = {}
    differences: dict[str, dict[int, tuple[float, float, float]]] = {}
    for seed, (folder, networks) in evaluations.items():
        path = folder / 'metrics.json'
        try:
            metrics = json.loads(path.read_text('utf-8'))
            for number, network in enumerate(networks):
                means = metrics['models'][number]['overall']['means'][task]
                name = next(name for name in TASKS[task] if name in means)
                by_seed.setdefault(network.name, {})[seed] = _number(means[name])
                if number:
                    differences.setdefault(network.name, {})[seed] = _difference(
                        metrics['bootstrap']['overall'], task, name, number)
        except (OSError, ValueError, KeyError, IndexError, TypeError, StopIteration) as error:
            raise DataError(f'{path}: not an evaluation by `mtl evaluate` of these networks: '
                            f'{error!r}; remove the folder to evaluate again') from None
    for network in experiment.networks:
        if network.name in by_seed:
            yield Score(network.name, task, by_seed[network.name],
                        differences.get(network.name, {}))


def _difference(rows: list[dict[str, Any]], task: str, name: str,
                number: int) -> tuple[float, float, float]:
    """Return value, low and high of the difference of model `number` from the first."""
    wanted = (task, name.removesuffix('_groups'))
    found = [row for row in rows if (row['metric']['task'], row['metric']['name']) == wanted
             and not row['metric']['label']
             and (row['metric']['mean'] == 'groups') == name.endswith('_groups')]
    values = found[0]['differences'][number - 1]
    return _number(values['value']), _number(values['low']), _number(values['high'])


def _number(value: float | None) -> float:
    """Return `value`, NaN for a score that does not exist: a split without an object has no AP."""
    return math.nan if value is None else float(value)


def format_table(scores: Sequence[Score]) -> str:
    """Return the scores as a Markdown table, in per cent."""
    lines = ['| network | score | mean | by seed | spread | difference from the task alone, '
             'by seed (95 % interval) |', '|---|---|---|---|---|---|']
    for score in scores:
        seeds = ', '.join(_percent(value) for value in score.by_seed.values())
        differences = ', '.join(
            f'{_percent(value, "+")} ({_percent(low, "+")} .. {_percent(high, "+")})'
            for value, low, high in score.differences.values()) or '-'
        lines.append(
            f'| {score.network} | {TITLES[score.task]} | {_percent(score.mean)} | {seeds} '
            f'| {_percent(score.spread)} | {differences} |')
    return '\n'.join(lines) + '\n'


def _percent(value: float, sign: str = '') -> str:
    return '-' if math.isnan(value) else f'{100 * value:{sign}.1f}'
