"""The tables of an experiment's scores, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
import math

from mtl_perception.training.experiment_scores import Difference, Score, TITLES


def format_tables(scores: Sequence[Score]) -> str:
    """Return a table of the means over the sets, and one of the sets for each task."""
    parts = [_format_means([score for score in scores if not score.data_set])]
    for task in dict.fromkeys(score.task for score in scores):
        rows = [score for score in scores if score.task == task and score.data_set]
        if rows:
            parts.append(_format_sets(task, rows))
    return '\n'.join(parts)


def _format_means(scores: Sequence[Score]) -> str:
    lines = ['| network | mean over the sets | mean over the seeds | by seed | difference from '
             'the task alone | by seed (95 % interval over images) |',
             '|---|---|---|---|---|---|']
    for score in scores:
        difference = score.difference
        lines.append(
            f'| {score.network} | {TITLES[score.task]} | {_text(score.mean)} '
            f'| {", ".join(map(_text, score.by_seed.values()))} '
            f'| {_text(difference.value, "+") if difference else "-"} '
            f'| {", ".join(map(_interval, score.differences.values())) or "-"} |')
    return '\n'.join(lines) + '\n'


def _format_sets(task: str, scores: Sequence[Score]) -> str:
    """Return a row for each set and for each of its classes, a column for each network."""
    networks = list(dict.fromkeys(score.network for score in scores))
    cells = {(score.data_set, score.label, score.network): score for score in scores}
    lines = [f'| {TITLES[task]}, mean over the seeds | {" | ".join(networks)} |',
             '|---' * (len(networks) + 1) + '|']
    for data_set, label in dict.fromkeys((score.data_set, score.label) for score in scores):
        row = [_cell(cells.get((data_set, label, network))) for network in networks]
        name = f'{data_set}: {label}' if label else f'**{data_set}**'
        lines.append(f'| {name} | {" | ".join(row)} |')
    return '\n'.join(lines) + '\n'


def _cell(score: Score | None) -> str:
    if score is None:
        return '-'
    difference = score.difference
    return _text(score.mean) + (f' ({_text(difference.value, "+")})' if difference else '')


def _interval(difference: Difference) -> str:
    return (f'{_text(difference.value, "+")} ({_text(difference.low, "+")} .. '
            f'{_text(difference.high, "+")})')


def _text(value: float, sign: str = '') -> str:
    return '-' if math.isnan(value) else f'{value:{sign}.3f}'
