"""Benchmark of a model file, with tables, a page and values as output."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
import datetime
import hashlib
from pathlib import Path
import tempfile
from typing import Any

from mtl_perception import __version__
from mtl_perception.benchmark import machine
from mtl_perception.benchmark.costs import file_cost
from mtl_perception.benchmark.frames import FrameFile, write_frames
from mtl_perception.benchmark.measure import measure, Plan, TORCH
from mtl_perception.benchmark.model_files import gather, ModelFiles
from mtl_perception.benchmark.peer_subjects import peer_subjects
from mtl_perception.benchmark.report import write_report
from mtl_perception.benchmark.requested import (
    measure_parts,
    measure_requested,
    MEMORY_LIMIT,
    prepare_report,
    SWEEP,
)
from mtl_perception.benchmark.results import FORMAT, RATIOS, Results
from mtl_perception.benchmark.rounds import Effort
from mtl_perception.benchmark.subjects import Network, Subject
from mtl_perception.benchmark.targets import find_targets, Found
from mtl_perception.errors import ConfigError, DataError, StartError
from mtl_perception.inference.registry import read_spec
from mtl_perception.inference.runtime import RuntimeOptions, Say, usable_cores
from mtl_perception.resources import model_path
from mtl_perception.spec import ModelSpec

VALUES = 'benchmark.json'

FRAMES = 8
"""Number of different frames used in the turns."""

MAX_ROUNDS, MAX_FRAMES, MAX_SECONDS = 10_000, 1_000, 86_400.0


@dataclass(frozen=True)
class BenchmarkConfig:
    """Subjects, extent and output files of a benchmark; ConfigError if invalid."""

    model: Path | None = None
    """Multitask model, .onnx or .pt; None: the shipped one."""
    detection: Path | None = None
    """Detection model; None: derived from `model`."""
    segmentation: Path | None = None
    """Segmentation model; None: derived from `model`."""
    runtimes: tuple[str, ...] = ()
    """`NAME` or `NAME:PRECISION` each; empty: all usable ones."""
    device: str = 'auto'
    threads: int = 0
    """CPU threads of each process; 0: all available cores."""
    images: Path | None = None
    """Image, folder of images or video to measure on; None: frames of a synthetic flight."""
    size: tuple[int, int] | None = None
    """Width and height in pixels to which frames are scaled; None: unchanged."""
    rounds: int = 15
    """Number of rounds, each with a turn of every subject."""
    frames: int = 2
    """Timed frames of a turn."""
    seconds: float = 120.0
    """Time for all rounds; after it, only the first `MIN_ROUNDS` are completed."""
    cache: Path | None = None
    """Folder of compiled models, such as TensorRT engines; None: they are deleted."""
    peers: bool = False
    """Compare with pairs of public networks of torchvision."""
    memory_limit: bool = False
    """Find the smallest memory limit under which they run."""
    sweep: bool = False
    """Measure over input size, batch, threads and classes."""
    output: Path | None = None
    """Folder for the page, the figure and the values; None: not written."""
    json: Path | None = None
    """File for the values only; None: not written."""

    def __post_init__(self) -> None:
        for name, least, most in (('rounds', 1, MAX_ROUNDS), ('frames', 1, MAX_FRAMES),
                                  ('seconds', 0, MAX_SECONDS)):
            if not least <= getattr(self, name) <= most:
                raise ConfigError(
                    f'--{name} {getattr(self, name)} is not in {least}..{most:g}')
        RuntimeOptions(threads=self.threads)


def run_benchmark(config: BenchmarkConfig, report: Callable[[dict[str, Any]], object], say: Say
                  ) -> list[Path]:
    """
    Measure, pass all values to `report`, also after Ctrl-C, and return the written files.

    `say` receives the progress. Raises MtlError for an invalid model or option, or a file that
    cannot be written.
    """
    if config.json and not config.json.parent.is_dir():
        raise DataError(f'{config.json.parent}: no such folder to write {config.json.name} in')
    if config.output:
        prepare_report(config.output)
    model = config.model or model_path()
    spec = read_spec(model)
    with tempfile.TemporaryDirectory(prefix='mtl_benchmark_') as name:
        folder = Path(name)
        given = {task: path for task in ('detection', 'segmentation')
                 if (path := getattr(config, task))}
        files = gather(model, given, folder, say)
        say('rendering frames' if config.images is None else f'reading {config.images}')
        frames = write_frames(config.images, config.size, FRAMES, folder / 'frames.npy')
        network = Network(threads=config.threads or usable_cores(),
                          cache=str(config.cache or folder / 'cache'))
        found = find_targets({suffix: item.multitask for suffix, item in files.items()},
                             list(config.runtimes), config.device, network, frames.path, say)
        effort = Effort(config.rounds, config.frames, config.seconds)
        results = _begin(model, files, frames, found, effort)
        plan = Plan(files, found.targets, frames, network, effort,
                    _peers(config, spec, network, folder, found, results, say))
        what = [name for name in (MEMORY_LIMIT, SWEEP) if getattr(config, name)]
        return _finish(plan, what, results, folder, config, report, say)


def _peers(config: BenchmarkConfig, spec: ModelSpec, network: Network, folder: Path, found: Found,
           results: Results, say: Say) -> tuple[Subject, ...]:
    if not config.peers:
        return ()
    in_torch = any(target.runtime == TORCH for target in found.targets)
    try:
        subjects, costs = peer_subjects(spec, network, folder, in_torch, say)
    except StartError as error:
        results.values['left_out'].append(f'peers: {error}')
        return ()
    results.costs.update(costs)
    return tuple(subjects)


def _finish(plan: Plan, what: Sequence[str], results: Results, folder: Path,
            config: BenchmarkConfig, report: Callable[[dict[str, Any]], object], say: Say
            ) -> list[Path]:
    """Measure, and report and write the values measured so far, also on Ctrl-C."""
    others: dict[str, float | None] = {}
    values = results.values
    written = [config.json] if config.json else []
    try:
        measure(plan, results, others, say)
        measure_parts(plan, results, say)
        measure_requested(plan, what, results, folder, say)
    except KeyboardInterrupt:
        values['interrupted'] = True
        raise
    finally:
        values['machine'] |= {'load_after': machine.load(), 'others': others}
        values['warnings'] += machine.warnings(values['machine'], others)
        report(values)
        if config.json:
            results.write(config.json)
        if config.output and values['subjects']:
            results.write(config.output / VALUES)
            written += [*write_report(values, config.output), config.output / VALUES]
    return written


def _begin(model: Path, files: dict[str, ModelFiles], frames: FrameFile, found: Found,
           effort: Effort) -> Results:
    spec = read_spec(model)
    costs = {str(path): file_cost(path) for suffix in {
        '.pt' if target.runtime == 'torch' else '.onnx' for target in found.targets}
        for path in vars(files[suffix]).values()}
    values: dict[str, Any] = {
        'format': FORMAT,
        'date': datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'),
        'mtl_perception': __version__, 'interrupted': False, 'warnings': [],
        'left_out': list(found.left_out),
        'model': {
            'file': model.name, 'sha256': hashlib.sha256(model.read_bytes()).hexdigest(),
            'architecture': spec.architecture, 'backbone': spec.backbone,
            'input_size': list(spec.input_size),
            **{task: list(getattr(spec, task).names) for task in spec.tasks}},
        'machine': {**machine.describe(), 'load_before': machine.load()},
        'frames': frames.to_dict(), 'rounds': effort.rounds,
        'frames_per_round': effort.frames, 'subjects': [], 'fastest': None,
        'ratios': dict.fromkeys(RATIOS), 'ratios_by_runtime': {}, 'bare_loop': {},
        'across_runtimes': {}, 'parts': None, 'memory_limit': None, 'sweep': None}
    return Results(values, costs)
