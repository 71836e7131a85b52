"""What steps and evaluations of an experiment take on this machine, measured on a few."""

from __future__ import annotations

from collections.abc import Sequence
import json
from pathlib import Path
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mtl_perception.training.experiment_file import Experiment
    from tools.run_packed_experiment import PackedExperiment
    from tools.time_plan import EvaluationTime, RunSpeed

MAX_PROBE_STEPS = 20_000
"""More than the time for them allows."""

PROBE_IMAGES = 4
"""Images of each set that an evaluation is timed on."""

STARTED_IMAGES = 8
"""Images of each set that networks with teachers are timed on, which takes little reading."""


class Probe:
    """Measures what runs and evaluations take, side by side as they will be."""

    def __init__(self, experiment: PackedExperiment, seconds: float) -> None:
        from mtl_perception.training.experiment import Runner
        from mtl_perception.training.experiment_file import load_experiment
        from tools.time_plan import generations
        small = {'overfit': STARTED_IMAGES}
        train = {'steps': MAX_PROBE_STEPS, 'minutes': seconds / 60, 'save_every': MAX_PROBE_STEPS}
        later = len(experiment.counts) - 1
        path = experiment.write('probe.yaml', train, [{}, *[small] * later],
                                {'limit': PROBE_IMAGES})
        loaded = load_experiment(path)
        if experiment.jobs < experiment.counts[0]:  # Less would not be faster, nor slower.
            loaded = _first_seed(loaded)
        self.took: dict[str, float] = {}
        self._lock = threading.Lock()
        self._output = experiment.work / 'probe'
        self.runner = Runner(loaded, self._output, None, lambda text: None, self._timed,
                             experiment.jobs)
        self.parts = generations(loaded)

    def _timed(self, command: str, arguments: Sequence[str], printed: Path | None = None) -> None:
        from mtl_perception.training.experiment import run_command
        began = time.monotonic()
        folder = Path(arguments[arguments.index('--output') + 1])
        run_command(command, arguments, printed or folder.parent / f'{folder.name}.txt')
        with self._lock:
            self.took[folder.name] = time.monotonic() - began

    def train(self) -> tuple[list[float], float, dict[str, RunSpeed]]:
        """Return the time of a step of each generation, that of a start, and all speeds."""
        self.runner.train()
        speeds = read_speeds(self.runner.experiment, self._output)
        by_generation = [max(speeds[self.runner.folder(*part).name].step_seconds for part in parts)
                         for parts in self.parts]
        starts = [self.took[folder.name] - speeds[folder.name].seconds for folder in (
            self.runner.folder(*part) for part in self.parts[0])]
        return by_generation, max(starts), speeds

    def evaluate(self) -> list[EvaluationTime]:
        """Return the time of the evaluations of each task, from those of a few images."""
        from mtl_perception.data.readers import open_set
        from tools.time_plan import EvaluationTime
        runner = self.runner
        runner.evaluate()
        found = []
        for folder in sorted(self._output.glob('evaluation-*')):
            if folder.is_dir():
                metrics = json.loads((folder / 'metrics.json').read_text('utf-8'))
                names = [report['name'] for report in metrics['models'][0]['sets']]
                sizes = tuple(len(open_set(runner.manifest.set_named(name), runner.manifest).stems(
                    metrics['split'])) for name in names)
                images = sum(min(size, PROBE_IMAGES) for size in sizes)
                found.append(EvaluationTime(self.took[folder.name] - metrics['seconds'],
                                            metrics['seconds'] / images, sizes))
        return found


def _first_seed(experiment: Experiment) -> Experiment:
    from dataclasses import replace
    seed = experiment.seeds()[0]
    return replace(experiment, networks=tuple(
        replace(network, seeds=(seed,)) for network in experiment.networks
        if seed in network.seeds))


def read_speeds(experiment: Experiment, output: Path) -> dict[str, RunSpeed]:
    """Return the speed of each run that has a log, by the name of its folder."""
    from mtl_perception.training.options import BatchOptions
    from tools.time_plan import read_speed
    found = {}
    for network in experiment.networks:
        images = sum(
            network.options.get(f'{task}_images', getattr(BatchOptions, f'{task}_images'))
            for task in ('detection', 'segmentation') if network.has(task))
        for seed in network.seeds:
            folder = output / f'{network.name}-seed{seed}'
            speed = read_speed(folder, images) if (folder / 'log.csv').is_file() else None
            if speed is not None:
                found[folder.name] = speed
    return found
