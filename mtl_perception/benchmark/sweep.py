"""
Scaling of time and memory of a model with input size, batch, threads and classes.

Networks with other input sizes have the model's weights, since they are fully convolutional; those
with other numbers of classes have random weights where the numbers of rows differ, so that few
boxes pass the threshold. Both need torch and the model's checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
import time
from typing import Any

import numpy as np

from mtl_perception.benchmark.costs import file_cost
from mtl_perception.benchmark.rounds import Effort, Group
from mtl_perception.benchmark.statistics import spread
from mtl_perception.benchmark.subjects import MULTITASK, Network, Subject
from mtl_perception.benchmark.targets import Target
from mtl_perception.errors import MtlError
from mtl_perception.extras import missing_package
from mtl_perception.inference.registry import open_runtime
from mtl_perception.inference.runtime import RuntimeOptions, Say, usable_cores
from mtl_perception.labels import LabelSet, MAX_CLASSES

INPUT_SIZES = (256, 320, 416, 512, 640, 960, 1280)
"""Pixels of both sides."""
BATCHES = (1, 2, 4, 8)
CLASSES = (4, 20, 80, MAX_CLASSES)
"""Classes to detect; COCO has 80, and the last value is the maximum of a label set."""

GEMM_SIDES = (1024, 1536, 2048)
_GEMM_RUNS = 5
_WARM_UPS = 2

INPUT_SIZE, BATCH, THREADS, CLASS_COUNT = 'input_size', 'batch', 'threads', 'classes'

Values = dict[str, Any]
Call = Callable[[], object]


@dataclass(frozen=True)
class SweepPlan:
    """Subjects of the sweep."""

    model: Path
    """The ONNX file."""
    checkpoint: Path | None
    """The same model as a checkpoint; None: input sizes and numbers of classes are omitted."""
    targets: Sequence[Target]
    """Targets that read ONNX."""
    network: Network
    """Common settings of all networks: threads and cache."""
    frames: Path
    """A .npy file as for ``WorkerProcess.load``."""
    folder: Path
    """Folder for exported networks."""


def sweep(plan: SweepPlan, effort: Effort, say: Say, into: list[Values] | None = None
          ) -> list[Values]:
    """
    Return the measurements, in the format of 'sweep' in the JSON file.

    Each entry has 'axis' (one of the names above), 'value', 'target', 'runtime', 'precision',
    'milliseconds' (median, low, high, p95; of a whole batch), 'peak_bytes' of a fresh process
    (None for batches), 'gmac' and 'least_milliseconds': the time of FP32 arithmetic alone at the
    rate of `gemm_rate` (both None if unknown). Subjects of one axis are interleaved. Values are
    added to `into`, if given, after each axis of a runtime, so that they are kept after an
    interruption. `say` receives the progress, and skipped subjects with the reason.
    """
    result = [] if into is None else into
    say('sweep: measuring the rate of matrix products')
    rate = gemm_rate()
    files = {THREADS: dict.fromkeys(thread_counts(), plan.model), **_exported(plan, say)}
    for target in plan.targets:
        for axis, paths in files.items():
            say(f'sweep: {target.name}, {axis}')
            result.extend(_measure(plan, target, axis, paths, effort, rate, say))
        say(f'sweep: {target.name}, {BATCH}')
        try:
            result.extend(_measure_batches(plan, target, effort, rate))
        except MtlError as error:
            say(f'sweep: {target.name}, {BATCH}: skipped: {error}')
    return result


def gemm_rate() -> float:
    """
    Return the rate at which this machine multiplies FP32 matrices, in 10^9 operations a second.

    The best of several products of NumPy's BLAS with all cores; one multiply-accumulate is two
    operations. No FP32 network runs faster than its operations at this rate, except with
    algorithms that save multiplications (Winograd's).
    """
    random = np.random.default_rng(0)
    best = 0.0
    for side in GEMM_SIDES:
        first, second = (random.random((side, side), np.float32) for _ in range(2))
        out = np.empty((side, side), np.float32)
        for _ in range(_GEMM_RUNS):
            begun = time.perf_counter()
            np.matmul(first, second, out=out)
            best = max(best, 2 * side**3 / (time.perf_counter() - begun) / 1e9)
    return best


def least_milliseconds(gmac: float | None, rate: float) -> float | None:
    """Return the time of `gmac` 10^9 multiply-accumulates at `rate` 10^9 operations a second."""
    return None if gmac is None else 2 * gmac / rate * 1e3


def thread_counts() -> list[int]:
    """Return the numbers of threads: powers of two up to the number of cores."""
    cores = usable_cores()
    return sorted({*(1 << power for power in range(cores.bit_length())), cores})


def _exported(plan: SweepPlan, say: Say) -> dict[str, dict[int, Path]]:
    """Return the networks of each axis that needs networks other than the model itself."""
    if plan.checkpoint is None:
        say(f'sweep: no {INPUT_SIZE} and no {CLASS_COUNT}: they need the checkpoint (.pt) of '
            f'{plan.model.name}')
        return {}
    files: dict[str, dict[int, Path]] = {}
    for axis, values in ((INPUT_SIZE, INPUT_SIZES), (CLASS_COUNT, CLASSES)):
        for value in values:
            say(f'sweep: exporting the network with {axis} {value}')
            try:
                files.setdefault(axis, {})[value] = export_variant(
                    plan.checkpoint, plan.folder, axis, value)
            except MtlError as error:
                say(f'sweep: {axis} {value}: skipped: {error}')
            except ImportError as error:
                missing = missing_package(error)
                if missing is None:
                    raise
                say(f'sweep: no {INPUT_SIZE} and no {CLASS_COUNT}: {missing}')
                return {}
    return files


def export_variant(checkpoint: Path, folder: Path, axis: str, value: int) -> Path:
    """
    Write a checkpoint's network with another input size or number of classes as ONNX.

    Raises ModelError if the checkpoint is invalid, ImportError if torch or onnx is missing.
    """
    import cv2
    import torch

    from mtl_perception.models.checkpoint import read_checkpoint
    from mtl_perception.models.export import export_onnx
    from mtl_perception.models.network import build_model
    spec, weights = read_checkpoint(checkpoint)
    if axis == INPUT_SIZE:
        spec = replace(spec, input_size=(value, value))
    else:
        spec = replace(spec, pixel_classes={}, detection=LabelSet.of(
            *(f'class {index}' for index in range(value))))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_model(spec)
    own = network.state_dict()
    network.load_state_dict({
        key: weights[key] if key in weights and weights[key].shape == tensor.shape else tensor
        for key, tensor in own.items()})
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    path = folder / f'{checkpoint.stem}_{axis}_{value}.onnx'
    export_onnx(network.eval(), spec, path, [cv2.resize(noise, spec.input_size)])
    return path


def _measure(plan: SweepPlan, target: Target, axis: str, paths: Mapping[int, Path],
             effort: Effort, rate: float, say: Say) -> Iterator[Values]:
    """Measure one axis in new processes with interleaved runs."""
    with Group() as group:
        names = {}
        for value, path in paths.items():
            network = replace(target.on(plan.network), path=str(path))
            if axis == THREADS:
                network = replace(network, threads=value)
            try:
                group.add(Subject(str(value), MULTITASK, (network,)), plan.frames)
            except MtlError as error:
                say(f'sweep: {target.name}, {axis} {value}: skipped: {error}')
                continue
            names[value] = str(value)
        if names:
            group.measure(effort)
    for value, name in names.items():
        samples = group.samples[name]
        gmac = file_cost(paths[value]).gmac
        yield {**_entry(axis, value, target, samples.seconds, gmac),
               'peak_bytes': sum(samples.peak_bytes),
               # With fewer threads than cores, the rate differs.
               'least_milliseconds': None if axis == THREADS else least_milliseconds(gmac, rate)}


def _measure_batches(plan: SweepPlan, target: Target, effort: Effort, rate: float
                     ) -> Iterator[Values]:
    """
    Measure batches in this process: the network alone, without letterbox and NMS.

    Our runtimes run a batch on a CPU image by image; for ONNX Runtime, a single run of the whole
    batch is also measured.
    """
    runtime = open_runtime(plan.model, RuntimeOptions(
        target.runtime, target.device, target.asked, plan.network.threads,
        Path(plan.network.cache) if plan.network.cache else None))
    width, height = runtime.spec.input_size
    random = np.random.default_rng(0)
    gmac = file_cost(plan.model).gmac
    calls: dict[tuple[int, str], Call] = {}
    for count in BATCHES:
        images = random.integers(0, 256, (count, height, width, 3), np.uint8)
        calls[count, target.name] = partial(runtime.run, images)
        if target.runtime == 'onnxruntime' and target.device == 'cpu':
            calls[count, f'{target.name}, together'] = _together(plan, images)
    for (count, name), rounds in _by_turns(calls, effort).items():
        total = None if gmac is None else gmac * count
        yield {**_entry(BATCH, count, target, rounds, total), 'target': name, 'peak_bytes': None,
               'least_milliseconds': least_milliseconds(total, rate)}


def _together(plan: SweepPlan, images: np.ndarray) -> Call:
    """Return a function that runs a whole batch by ONNX Runtime directly."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = plan.network.threads or usable_cores()
    session = onnxruntime.InferenceSession(
        str(plan.model), settings, providers=['CPUExecutionProvider'])
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: images})


def _by_turns(calls: Mapping[tuple[int, str], Call], effort: Effort
              ) -> dict[tuple[int, str], list[np.ndarray]]:
    """Return the seconds of interleaved calls: float64 [frames] of each round."""
    for call in calls.values():
        for _ in range(_WARM_UPS):
            call()
    keys = list(calls)
    found: dict[tuple[int, str], list[np.ndarray]] = {key: [] for key in keys}
    begun = time.monotonic()
    for number in range(effort.rounds):
        if number and time.monotonic() - begun > effort.seconds:
            break
        start = number % len(keys)
        for key in keys[start:] + keys[:start]:
            seconds = np.empty(effort.frames)
            for index in range(effort.frames):
                before = time.perf_counter()
                calls[key]()
                seconds[index] = time.perf_counter() - before
            found[key].append(seconds)
    return found


def _entry(axis: str, value: int, target: Target, rounds: Sequence[np.ndarray],
           gmac: float | None) -> Values:
    return {'axis': axis, 'value': value, 'target': target.name, 'runtime': target.runtime,
            'device': target.device, 'precision': target.precision, 'gmac': gmac,
            'milliseconds': spread([seconds * 1e3 for seconds in rounds]).to_dict()}
