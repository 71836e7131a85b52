#!/usr/bin/env python3
"""
Run an experiment that `pack_experiment.py` packed, within a time budget.

    python3 tools/run_packed_experiment.py runs/packed --output results --seconds 560

needs no network and installs nothing outside the packed folder. All networks take the same number
of steps, as many as the measured speed allows; a limit of minutes ends a run that is slower than
it was. The time for evaluations is set aside before. The results are at most 8 files of less than
16 MiB: the table of scores, `summary.json` with the speeds, logs and metrics, and the models.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import json
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import time
from typing import Any, TYPE_CHECKING

if TYPE_CHECKING:
    from tools.time_plan import Plan

ROOT = Path(__file__).resolve().parents[1]
WORK_FOLDER, SITE_FOLDER = 'work', 'site'
PROBE_SHARE = 0.03
"""Share of the budget for which each network is trained to measure its speed."""

MAX_WORKERS = 8
"""Most processes that prepare batches of one run."""


class Clock:
    """The time budget, and what it was spent on."""

    def __init__(self, budget: float) -> None:
        self.budget = budget
        self.began = time.monotonic()
        self.spent: dict[str, float] = {}
        self._last = 0.0

    def left(self) -> float:
        """Return the seconds that are left."""
        return self.budget - (time.monotonic() - self.began)

    def lap(self, name: str) -> None:
        """Record the time since the last lap as that of `name`, and print it."""
        now = time.monotonic() - self.began
        self.spent[name] = round(now - self._last, 1)
        self._last = now
        print(f'{now:6.1f} s: {name} took {self.spent[name]} s', flush=True)


def prepare(packed: Path, threads: int) -> None:
    """Make the package and the packed wheels importable, here and in processes started later."""
    site = packed / WORK_FOLDER / SITE_FOLDER
    wheels = sorted((packed / 'wheels').glob('*.whl'))
    if wheels:
        subprocess.run(
            [sys.executable, '-m', 'pip', 'install', '--quiet', '--no-index', '--no-deps',
             '--no-compile', '--no-cache-dir', '--disable-pip-version-check', '--target',
             str(site), *map(str, wheels)], check=True)
    paths = [str(ROOT), *([str(site)] if wheels else [])]
    sys.path[:0] = paths
    before = os.environ.get('PYTHONPATH')
    os.environ['PYTHONPATH'] = os.pathsep.join([*paths, *([before] if before else [])])
    # It would replace the folder that the manifests name.
    os.environ.pop('MTL_DATA', None)
    # Several processes at a time would otherwise have as many threads each as there are cores.
    os.environ['OMP_NUM_THREADS'] = os.environ['OPENCV_FOR_THREADS_NUM'] = str(threads)


def draw_sets(packed: Path, work: Path, workers: int) -> Path:
    """Draw the sets that are not packed, once for all runs; return the manifest with them."""
    import yaml

    from mtl_perception.data.manifest import load_manifest
    from tools.packed_data import drawn_sets, LOSSLESS, pack_sets, Source

    path = packed / 'data.yaml'
    raw = yaml.safe_load(path.read_text('utf-8'))
    raw['root'] = str((packed / raw['root']).resolve())
    names = drawn_sets(load_manifest(path, raw['root']))
    if names:
        sections = pack_sets(Source(path, Path(raw['root'])), work / 'drawn', names, LOSSLESS,
                             workers)
        for name, section in sections.items():
            raw['sets'][name] = {**section, 'path': str((work / 'drawn' / name).resolve())}
    manifest = work / 'data.yaml'
    manifest.write_text(yaml.safe_dump(raw, sort_keys=False, allow_unicode=True), 'utf-8')
    return manifest


class PackedExperiment:
    """The experiment of a packed folder, written anew for the probe and for the whole run."""

    def __init__(self, packed: Path, work: Path, manifest: Path, jobs: int, cores: int) -> None:
        from mtl_perception.training.experiment_file import load_experiment
        from tools.time_plan import generations
        self.content = json.loads(json.dumps(_load_yaml(packed / 'experiment.yaml')))
        self.content['manifest'] = str(manifest.resolve())
        train = self.content.setdefault('train', {})
        if 'weights' in train:
            train['weights'] = str((packed / train['weights']).resolve())
        self.work = work
        self.cores = cores
        parts = generations(load_experiment(packed / 'experiment.yaml'))
        self.jobs = jobs or max(map(len, parts))
        self.names = [list(dict.fromkeys(network.name for network, _ in part)) for part in parts]
        self.counts = [len(part) for part in parts]

    def write(self, name: str, train: dict[str, Any], by_generation: Sequence[dict[str, Any]],
              evaluate: dict[str, Any]) -> Path:
        """Write the experiment with these options and return its path."""
        networks = self.content['networks']
        content = {
            **self.content, 'train': {**self.content['train'], **train},
            'evaluate': {**self.content.get('evaluate', {}), 'runtime': 'torch', **evaluate},
            'networks': {network: {**networks[network], **options, 'workers': self.workers(number)}
                         for number, options in enumerate(by_generation)
                         for network in self.names[number]}}
        path = self.work / name
        path.write_text(json.dumps(content, indent=2), 'utf-8')  # JSON is YAML.
        return path

    def workers(self, generation: int) -> int:
        """Return how many processes prepare the batches of a run: all cores are used."""
        running = min(self.jobs, self.counts[generation])
        return max(1, min(MAX_WORKERS, self.cores // running))


def _load_yaml(path: Path) -> Any:
    from mtl_perception.data.yaml_file import load_yaml
    return load_yaml(path).value


def run_whole(path: Path, runs: Path, jobs: int, seconds: float) -> bool:
    """Run the experiment; stop it, saved, when the time is over. Return whether it is complete."""
    process = subprocess.Popen(
        [sys.executable, '-m', 'mtl_perception.main', 'experiment', str(path),
         '--output', str(runs), '--jobs', str(jobs)], start_new_session=True)
    try:
        return process.wait(max(1.0, seconds)) == 0
    except subprocess.TimeoutExpired:
        print('the time is over: the experiment is stopped', flush=True)
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return False


def summary(clock: Clock, experiment: PackedExperiment, plan: Plan, path: Path,
            runs: Path) -> dict[str, Any]:
    """Return what is known of the runs: how each ended, speeds, waiting, times."""
    from dataclasses import asdict

    import torch

    from mtl_perception.errors import MtlError
    from mtl_perception.models.checkpoint import read_checkpoint
    from mtl_perception.training.experiment_file import load_experiment
    from tools.speed_probe import read_speeds
    from tools.time_plan import medians
    speeds = read_speeds(load_experiment(path), runs)
    found: dict[str, Any] = {}
    for name, speed in speeds.items():
        try:
            provenance = read_checkpoint(runs / name / 'model.pt')[0].provenance
        except MtlError as error:
            provenance = {'ended': str(error)}
        found[name] = {**asdict(speed), **{key: provenance.get(key) for key in
                                           ('steps', 'minutes', 'ended')}}
    rate, waiting = medians(speeds) if speeds else (None, None)
    return {
        'device': torch.cuda.get_device_name() if torch.cuda.is_available() else 'cpu',
        'torch': torch.__version__, 'cores': experiment.cores, 'jobs': experiment.jobs,
        'workers': [experiment.workers(number) for number in range(len(experiment.counts))],
        'budget_seconds': clock.budget, 'spent_seconds': clock.spent, 'plan': asdict(plan),
        'median_images_per_second': rate, 'median_wait_share': waiting, 'runs': found}


def run(packed: Path, output: Path, seconds: float, jobs: int, most: int = 0) -> int:
    """
    Run the experiment within `seconds` and write the results; return the exit code.

    `jobs` is the number of runs at a time, 0: all of a generation; `most` that of the steps of a
    run, 0: as many as fit.
    """
    clock = Clock(seconds)
    cores = len(os.sched_getaffinity(0))
    work = packed / WORK_FOLDER
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    prepare(packed, max(1, cores // (jobs or cores)))
    from dataclasses import asdict, replace

    from tools.packed_results import collect
    from tools.speed_probe import Probe
    from tools.time_plan import make_plan
    clock.lap('installing wheels')
    manifest = draw_sets(packed, work, cores)
    clock.lap('drawing sets')

    experiment = PackedExperiment(packed, work, manifest, jobs, cores)
    probe = Probe(experiment, PROBE_SHARE * seconds)
    step_seconds, start, probed = probe.train()
    clock.lap('timing of steps')
    evaluations = probe.evaluate()
    clock.lap('timing of an evaluation')
    measured = {
        'step_seconds': step_seconds, 'start_seconds': start,
        'evaluations': [asdict(item) for item in evaluations],
        'wait_shares': {name: speed.wait_share for name, speed in probed.items()}}
    print(json.dumps(measured, indent=2), flush=True)
    plan = make_plan(clock.left(), seconds, experiment.counts, experiment.jobs, step_seconds,
                     start, evaluations)
    if plan is None:
        print(f'error: {seconds:g} seconds are not enough for one step of every network',
              file=sys.stderr)
        return 1
    if most:
        plan = replace(plan, steps=min(plan.steps, most))
    print(plan, flush=True)

    train = {'steps': plan.steps, 'save_every': plan.steps,
             'warmup_steps': min(experiment.content['train'].get('warmup_steps', 100),
                                 plan.steps // 10)}
    limit = {} if plan.evaluation_images is None else {'limit': plan.evaluation_images}
    path = experiment.write('experiment.yaml', train, [
        {'minutes': minutes} for minutes in plan.minutes], {'images': 1, **limit})
    runs = work / 'runs'
    complete = run_whole(path, runs, experiment.jobs, clock.left() - 0.5 * _closing(seconds))
    clock.lap('training and evaluation')
    facts = work / 'summary.json'
    values = {**summary(clock, experiment, plan, path, runs), 'measured': measured}
    facts.write_text(json.dumps(values, indent=2))
    left_out = collect(
        runs, [facts, runs / 'experiment.md', runs / 'experiment.png'], output)
    clock.lap('collecting results')
    print(f'median: {values["median_images_per_second"]} images/s in each run, share of waiting '
          f'for batches {values["median_wait_share"]}')
    if left_out:
        print(f'left out for their size: {", ".join(left_out)}')
    if (runs / 'experiment.md').is_file():
        print((runs / 'experiment.md').read_text('utf-8'))
    return 0 if complete else 1


def _closing(seconds: float) -> float:
    from tools.time_plan import CLOSING_SECONDS, CLOSING_SHARE
    return CLOSING_SECONDS + CLOSING_SHARE * seconds


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description='Run a packed experiment in a limited time.')
    parser.add_argument('packed', type=Path, metavar='DIR',
                        help='what pack_experiment.py wrote; its folder work/ is replaced')
    parser.add_argument('--output', type=Path, required=True, metavar='DIR',
                        help='folder for the results, made if missing')
    parser.add_argument('--seconds', type=float, default=560, metavar='N',
                        help='time budget for everything (default: %(default)s)')
    parser.add_argument('--jobs', type=int, default=0, metavar='N',
                        help='runs at a time (default: all that need not wait for teachers)')
    parser.add_argument('--steps', type=int, default=0, metavar='N',
                        help='most steps of a run (default: as many as fit into the time)')
    args = parser.parse_args(arguments)
    return run(args.packed.resolve(), args.output, args.seconds, args.jobs, args.steps)


if __name__ == '__main__':
    sys.exit(main())
