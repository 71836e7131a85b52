"""
An experiment: networks that differ in one thing, trained alike on several seeds, side by side.

Every network of every seed is a folder with a run of `mtl train` or `mtl distill`; every seed has
two folders with evaluations, one for each task. Completed runs and evaluations are reused, and an
interrupted run is resumed. Several can run at a time: a network with teachers waits for them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
import contextlib
from dataclasses import dataclass
from pathlib import Path
import subprocess
import sys
from typing import Any

from mtl_perception.data.manifest import load_manifest
from mtl_perception.errors import ConfigError, ModelError
from mtl_perception.evaluation.run import EvaluationConfig
from mtl_perception.files import make_folder, write_bytes, write_text
from mtl_perception.models.checkpoint import read_checkpoint
from mtl_perception.training.config import MODEL_FILE, Report, STATE_FILE, STOPPED
from mtl_perception.training.experiment_figure import figure_png
from mtl_perception.training.experiment_file import Experiment, load_experiment, Network
from mtl_perception.training.experiment_scores import is_complete, METRICS, read_scores
from mtl_perception.training.experiment_table import format_tables

TABLE_FILE, FIGURE_FILE = 'experiment.md', 'experiment.png'
"""The tables of scores and their figure, in the folder of the experiment."""

DONE_FILE = 'done'
"""Marks the folder of a completed run."""

PRINTED_FILE = 'printed.txt'
"""What a run or an evaluation printed, in its folder, where several run at a time."""

RunCommand = Callable[[str, Sequence[str], 'Path | None'], None]
"""
Runs a subcommand of `mtl` with arguments; raises ModelError where it fails.

What it prints is appended to a file where one is given.
"""


def run_command(command: str, arguments: Sequence[str], printed: Path | None = None) -> None:
    """
    Run a subcommand of `mtl` as a process, whose memory is free afterwards.

    What it prints is appended to `printed` where that is given. Raises ModelError where it fails,
    KeyboardInterrupt where Ctrl-C ended it.
    """
    with contextlib.ExitStack() as files:
        file = None
        if printed is not None:
            make_folder(printed.parent)
            file = files.enter_context(printed.open('ab'))
        done = subprocess.run(
            [sys.executable, '-m', 'mtl_perception.main', command, *arguments], check=False,
            stdout=file, stderr=subprocess.STDOUT if file else None)
    if done.returncode == 130:
        raise KeyboardInterrupt
    if done.returncode:
        raise ModelError(f'mtl {command} failed; its error is '
                         + (f'in {printed}' if printed else 'printed above'))


@dataclass(frozen=True)
class ExperimentConfig:
    """What `run_experiment` takes."""

    experiment: Path
    """The experiment (YAML)."""
    output: Path
    """Folder of the runs and evaluations."""
    data: Path | None = None
    """Folder of the data sets; None: `$MTL_DATA`, else `root` of the manifest."""
    jobs: int = 1
    """Runs, or evaluations, at a time."""

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise ConfigError(f'--jobs {self.jobs} is not a number from 1 on')


@dataclass(frozen=True)
class ExperimentResult:
    """The tables of scores of an experiment."""

    tables: str
    """Markdown."""
    path: Path
    """The file that they were written to; `FIGURE_FILE` is beside it."""


def run_experiment(config: ExperimentConfig, announce: Report = lambda text: None,
                   run: RunCommand = run_command) -> ExperimentResult:
    """
    Train and evaluate what is not complete yet, and write the tables and the figure of scores.

    One network at a time, they are written after each seed, for those that are complete.
    `announce` receives a line before each run and evaluation, which `run` carries out. Raises
    MtlError.
    """
    runner = Runner(
        load_experiment(config.experiment), config.output, config.data, announce, run,
        config.jobs)
    seeds = runner.experiment.seeds()
    text = ''
    for count in [len(seeds)] if config.jobs > 1 else range(1, len(seeds) + 1):
        complete = seeds[:count]
        runner.train(complete)
        runner.evaluate(complete)
        text = _write_scores(runner, complete)
    return ExperimentResult(text, config.output / TABLE_FILE)


def _write_scores(runner: Runner, seeds: Sequence[int]) -> str:
    """Write tables and figure of the scores of `seeds`; return the tables."""
    scores = [score for task in METRICS for score in read_scores(task, {
        seed: (runner.evaluation(task, seed), runner.compared(task, seed))
        for seed in seeds if runner.compared(task, seed)})]
    text = format_tables(scores)
    write_text(runner.output / TABLE_FILE, text)
    write_bytes(runner.output / FIGURE_FILE, figure_png(scores))
    return text


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
    """Runs the parts of an experiment that are not complete, each in its folder."""

    def __init__(self, experiment: Experiment, output: Path, data: Path | None,
                 announce: Report, run: RunCommand, jobs: int = 1) -> None:
        self.experiment = experiment
        self.manifest = load_manifest(experiment.manifest, data)
        self.output = output
        self.announce = announce
        self.run = run
        self.jobs = jobs
        self.data = ['--data', str(data)] if data else []

    def folder(self, network: Network, seed: int) -> Path:
        """Return the folder in which a network is trained with a seed."""
        return self.output / f'{network.name}-seed{seed}'

    def train(self, seeds: Collection[int] | None = None) -> None:
        """
        Train the networks with `seeds` (None: all); ModelError where a run fails or is stopped.

        One at a time, they are trained seed by seed; several at a time, those without teachers
        first, so that none waits while another could run.
        """
        parts = [(network, seed) for seed in self.experiment.seeds()
                 for network in self.experiment.networks if seed in network.seeds]
        if self.jobs > 1:
            parts.sort(key=lambda part: self._generation(part[0]))
        runs: dict[tuple[str, int], Future[None]] = {}
        with self._pool() as pool:
            for number, (network, seed) in enumerate(parts, 1):
                if seeds is not None and seed not in seeds:
                    continue
                teachers = [runs[name, seed] for name in network.teachers.values()]
                title = f'{number} of {len(parts)}: {network.name}, seed {seed}'
                runs[network.name, seed] = pool.submit(
                    self._train_one, network, seed, title, teachers)
            _wait(runs.values(), pool)

    def _train_one(self, network: Network, seed: int, title: str,
                   before: Sequence[Future[None]]) -> None:
        """Train a network unless that is complete, when the runs `before` it are."""
        for run in before:  # They were started before it: a place is never waited for.
            run.result()
        folder = self.folder(network, seed)
        if (folder / DONE_FILE).exists():
            return
        self.announce(title)
        teachers = {
            option: str(self.folder(self._named(name), seed) / MODEL_FILE)
            for option, name in network.teachers.items()}
        self.run('distill' if teachers else 'train', [
            '--config', str(self.experiment.manifest), *self.data, '--output', str(folder),
            '--seed', str(seed), *as_arguments({**network.options, **teachers}),
            *(['--resume'] if (folder / STATE_FILE).exists() else [])], self._printed(folder))
        self._check_finished(folder)
        (folder / DONE_FILE).touch()

    def _generation(self, network: Network) -> int:
        """Return 0 for a network without teachers, else one more than that of its latest one."""
        return max((1 + self._generation(self._named(name))
                    for name in network.teachers.values()), default=0)

    def _pool(self) -> Executor:
        return ThreadPoolExecutor(self.jobs) if self.jobs > 1 else _Here()

    def _printed(self, folder: Path) -> Path | None:
        return folder / PRINTED_FILE if self.jobs > 1 else None

    def _named(self, name: str) -> Network:
        return next(one for one in self.experiment.networks if one.name == name)

    @staticmethod
    def _check_finished(folder: Path) -> None:
        provenance = read_checkpoint(folder / MODEL_FILE)[0].provenance
        if provenance['ended'] == STOPPED:
            raise ModelError(f'{folder}: the run was stopped after {provenance["steps"]}; '
                             'the same command continues it')

    def evaluate(self, seeds: Collection[int] | None = None) -> None:
        """Evaluate the networks of each of `seeds` (None: all) side by side, for each task."""
        with self._pool() as pool:
            _wait([pool.submit(self._evaluate_one, task, seed)
                   for seed in seeds or self.experiment.seeds() for task in METRICS], pool)

    def _evaluate_one(self, task: str, seed: int) -> None:
        networks = self.compared(task, seed)
        folder = self.evaluation(task, seed)
        models = [self.folder(network, seed) / MODEL_FILE for network in networks]
        if not networks or is_complete(folder, models):
            return
        self.announce(f'evaluation of {task}, seed {seed}')
        self.run('evaluate', [
            *(part for path in models for part in ('--model', str(path))),
            '--config', str(self.experiment.manifest), *self.data, '--output', str(folder),
            *as_arguments({**self.experiment.evaluate, 'sets': ','.join(self.sets(task))})],
            self._printed(folder))

    def evaluation(self, task: str, seed: int) -> Path:
        """Return the folder of the evaluation of a task and seed."""
        return self.output / f'evaluation-{task}-seed{seed}'

    def sets(self, task: str) -> list[str]:
        """
        Return the names of the sets, of those to evaluate, that have labels of a task.

        On the others, the networks for both tasks would run for nothing.
        """
        options = self.experiment.evaluate
        if 'sets' in options:
            chosen = [self.manifest.set_named(name.strip())
                      for name in str(options['sets']).split(',')]
        else:
            split = options.get('split', EvaluationConfig.split)
            chosen = [spec for spec in self.manifest.sets if split in spec.splits]
        return [spec.name for spec in chosen
                if (spec.boxes if task == 'detection' else spec.masks)]

    def compared(self, task: str, seed: int) -> list[Network]:
        """
        Return the networks of a seed that have a task, the single-task one first.

        None where no set to evaluate has its labels.
        """
        if not self.sets(task):
            return []
        networks = [one for one in self.experiment.networks if one.has(task)
                    and seed in one.seeds]
        return sorted(networks, key=lambda one: one.options.get('tasks') != task)


class _Here(Executor):
    """Runs one after the other, in this thread: a signal reaches what runs."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run the function and return its result; raises what it raises."""
        done: Future[Any] = Future()
        done.set_result(function(*args, **kwargs))
        return done


def _wait(futures: Iterable[Future[None]], pool: Executor) -> None:
    """Wait for all; where one fails, start no more and raise its error."""
    try:
        for future in futures:
            future.result()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
