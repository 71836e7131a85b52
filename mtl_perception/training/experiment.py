"""
An experiment: networks that differ in one thing, trained alike on several seeds, side by side.

Every network of every seed is a folder with a run of `mtl train` or `mtl distill`; every seed has
two folders with evaluations, one for each task. What is done is not done again, and a run that was
interrupted is resumed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
import json
import math
from pathlib import Path
import subprocess
import sys
from typing import Any

import numpy as np

from mtl_perception.data.yaml_section import read_yaml, Section
from mtl_perception.errors import DataError, ModelError
from mtl_perception.training.loop import STATE_FILE, STOPPED
from mtl_perception.training.train_command import MODEL_FILE

TASKS = {'detection': ('ap50_groups', 'ap50'), 'segmentation': ('iou',)}
"""Task -> names in the means of `metrics.json` of the score that it is judged by, best first."""

TITLES = {'detection': 'AP50', 'segmentation': 'mIoU'}

TEACHERS = {'detection_teacher': 'detection', 'segmentation_teacher': 'segmentation'}

DONE_FILE = 'done'
"""Stands in the folder of a run that was finished."""


@dataclass(frozen=True)
class Network:
    """One of the networks that are compared."""

    name: str
    options: dict[str, Any]
    """Of `mtl train`, over those of the experiment."""
    teachers: dict[str, str]
    """Option of `mtl distill` -> name of the network that teaches."""
    seeds: tuple[int, ...]

    def does(self, task: str) -> bool:
        """Return whether the network is trained for `task`."""
        return self.options.get('tasks', 'both') in ('both', task)


@dataclass(frozen=True)
class Experiment:
    """What is trained and how it is scored."""

    manifest: Path
    networks: tuple[Network, ...]
    evaluate: dict[str, Any]
    """Options of `mtl evaluate`."""

    def seeds(self) -> tuple[int, ...]:
        """Return all seeds, in their order."""
        return tuple(dict.fromkeys(seed for one in self.networks for seed in one.seeds))


def load_experiment(path: Path) -> Experiment:
    """Return the experiment in a YAML file; ConfigError names the key that is impossible."""
    top = read_yaml(path)
    manifest = path.parent / top.take('manifest', str)
    seeds = _seeds(top, (0,))
    common = _options(top, 'train')
    section = top.section('networks')
    networks: list[Network] = []
    for name in section.names():
        if not name.replace('_', '').replace('-', '').isalnum():
            raise section.error(name, 'is a name of letters, digits, - and _')
        one = section.section(name)
        own_seeds = _seeds(one, seeds)
        teachers = {key: one.take(key, str) for key in TEACHERS if key in one}
        for key, teacher in teachers.items():
            known = {other.name: other for other in networks}
            if teacher not in known or not set(own_seeds) <= set(known[teacher].seeds):
                raise one.error(key, 'names a network further up that has the same seeds')
        networks.append(Network(
            name, {**common, **{key: one.take_any(key) for key in one.names()}}, teachers,
            own_seeds))
    if not networks:
        raise top.error('networks', 'names none')
    evaluate = _options(top, 'evaluate')
    top.done()
    return Experiment(manifest, tuple(networks), evaluate)


def _options(section: Section, key: str) -> dict[str, Any]:
    if key not in section:
        return {}
    own = section.section(key)
    return {name: own.take_any(name) for name in own.names()}


def _seeds(section: Section, default: tuple[int, ...]) -> tuple[int, ...]:
    seeds = section.take('seeds', list, list(default))
    if not seeds or not all(type(seed) is int and seed >= 0 for seed in seeds):
        raise section.error('seeds', f'is a list of whole numbers, not {seeds}')
    return tuple(seeds)


def as_arguments(options: Mapping[str, Any]) -> list[str]:
    """Return command line arguments: `a_b: [1, 2]` as --a-b 1 2, `x: true` as --x."""
    arguments: list[str] = []
    for name, value in options.items():
        if value is False or value is None:
            continue
        arguments.append('--' + name.replace('_', '-'))
        if value is not True:
            arguments += [str(item) for item in (value if isinstance(value, list) else [value])]
    return arguments


class Runner:
    """Runs the parts of an experiment in a folder, those that are not done."""

    def __init__(self, experiment: Experiment, output: Path, data: Path | None) -> None:
        self.experiment = experiment
        self.output = output
        self.data = ['--data', str(data)] if data else []

    def folder(self, network: Network, seed: int) -> Path:
        """Return where a network of a seed is trained."""
        return self.output / f'{network.name}-seed{seed}'

    def train(self) -> None:
        """Train what is not trained; ModelError where a run fails or is stopped."""
        parts = [(network, seed) for seed in self.experiment.seeds()
                 for network in self.experiment.networks if seed in network.seeds]
        for number, (network, seed) in enumerate(parts, 1):
            folder = self.folder(network, seed)
            if (folder / DONE_FILE).exists():
                continue
            print(f'{number} of {len(parts)}: {network.name}, seed {seed}', flush=True)
            teachers = {
                option: str(self.folder(self._named(name), seed) / MODEL_FILE)
                for option, name in network.teachers.items()}
            self._mtl('distill' if teachers else 'train', [
                '--config', str(self.experiment.manifest), *self.data, '--output', str(folder),
                '--seed', str(seed), *as_arguments({**network.options, **teachers}),
                *(['--resume'] if (folder / STATE_FILE).exists() else [])])
            self._check_finished(folder)
            (folder / DONE_FILE).touch()

    def _named(self, name: str) -> Network:
        return next(one for one in self.experiment.networks if one.name == name)

    @staticmethod
    def _check_finished(folder: Path) -> None:
        from mtl_perception.models.checkpoint import read_checkpoint
        provenance = read_checkpoint(folder / MODEL_FILE)[0].provenance
        if provenance['ended'] == STOPPED:
            raise ModelError(f'{folder}: the run was stopped after {provenance["steps"]}; '
                             'the same command goes on from there')

    def evaluate(self) -> None:
        """Evaluate the networks of each seed side by side, once for each task."""
        for seed in self.experiment.seeds():
            for task in TASKS:
                networks = self.compared(task, seed)
                folder = self.evaluation(task, seed)
                if not networks or (folder / 'metrics.json').exists():
                    continue
                print(f'evaluation of {task}, seed {seed}', flush=True)
                models = [argument for network in networks for argument in (
                    '--model', str(self.folder(network, seed) / MODEL_FILE))]
                self._mtl('evaluate', [
                    *models, '--config', str(self.experiment.manifest), *self.data,
                    '--output', str(folder), *as_arguments(self.experiment.evaluate)])

    def evaluation(self, task: str, seed: int) -> Path:
        """Return where the evaluation of a task and seed is written."""
        return self.output / f'evaluation-{task}-seed{seed}'

    def compared(self, task: str, seed: int) -> list[Network]:
        """Return the networks of a seed that do a task, what does it alone first."""
        networks = [one for one in self.experiment.networks if one.does(task)
                    and seed in one.seeds]
        return sorted(networks, key=lambda one: one.options.get('tasks') != task)

    @staticmethod
    def _mtl(command: str, arguments: Sequence[str]) -> None:
        # A process of its own: its memory is free afterwards, and Ctrl-C reaches it by itself.
        done = subprocess.run([sys.executable, '-m', 'mtl_perception.main', command, *arguments],
                              check=False)
        if done.returncode == 130:
            raise KeyboardInterrupt
        if done.returncode:
            raise ModelError(f'mtl {command} failed; what it said stands above')


@dataclass(frozen=True)
class Score:
    """A network's score in a task over the seeds, means over the sets."""

    network: str
    task: str
    by_seed: dict[int, float]
    differences: dict[int, tuple[float, float, float]]
    """Seed -> score less that of the network that does the task alone, and its interval."""

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return float(np.mean(list(self.by_seed.values())))

    @property
    def spread(self) -> float:
        """Largest less smallest score of a seed."""
        values = list(self.by_seed.values())
        return max(values) - min(values)


def collect(runner: Runner) -> Iterator[Score]:
    """Yield every network's scores from the evaluations that lie in the folder."""
    for task in TASKS:
        by_seed: dict[str, dict[int, float]] = {}
        differences: dict[str, dict[int, tuple[float, float, float]]] = {}
        for seed in runner.experiment.seeds():
            networks = runner.compared(task, seed)
            if not networks:
                continue
            path = runner.evaluation(task, seed) / 'metrics.json'
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
                raise DataError(f'{path}: not what `mtl evaluate` wrote of these networks: '
                                f'{error!r}; remove the folder to evaluate anew') from None
        for network in runner.experiment.networks:
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


def table(scores: Sequence[Score]) -> str:
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
