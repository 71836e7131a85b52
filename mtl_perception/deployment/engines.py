"""Engines of TensorRT, built before the runtime `tensorrt` needs them."""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
from dataclasses import dataclass
import itertools
from pathlib import Path

from mtl_perception.errors import ConfigError, ModelError, StartError
from mtl_perception.files import expanded
from mtl_perception.graph_contract import output_names
from mtl_perception.inference.cache_folder import cache_folder
from mtl_perception.inference.model_file import check_model_file
from mtl_perception.inference.onnx_file import read_onnx_header
from mtl_perception.inference.onnx_part import OnnxParts
from mtl_perception.inference.runtime import MAX_BATCH, Say
from mtl_perception.inference.trt.engine_cache import engine_name, EngineFolder, reason
from mtl_perception.inference.trt.gpu import current_gpu, Gpu

_RUNTIME = 'tensorrt'


@dataclass(frozen=True)
class EngineConfig:
    """Which engines are built, and where they go."""

    model: Path
    """ONNX file of `mtl export`."""
    output: Path | None = None
    """Folder to write to, the `cache` of the runtime; None: the user's cache folder."""
    each_task: bool = False
    """Also build the engine of each task alone, which a node runs while only one is subscribed."""
    capabilities: tuple[tuple[int, int], ...] | None = None
    """Compute capabilities to build for, such as (8, 6); None: that of this machine's GPU."""


@dataclass(frozen=True)
class Engine:
    """An engine in the folder."""

    path: Path
    is_new: bool
    """False: it was built before."""


def build_engines(config: EngineConfig, say: Say) -> Iterator[Engine]:
    """
    Build the engines that are missing, and yield each that is then available.

    Raises MtlError where the model is unsuitable, TensorRT or the GPU is missing, or the folder
    cannot be written.
    """
    path = expanded(config.model)
    check_model_file(path)
    if path.suffix != '.onnx':
        raise ModelError(f'{path}: an engine is built from an .onnx file; make one with '
                         f'`mtl export`')
    spec = read_onnx_header(path).spec
    output = cache_folder(config.output, _RUNTIME)
    if output is None:
        raise ConfigError('this user has no home folder; give the folder to write to with -o')
    from mtl_perception.inference.trt import building
    from mtl_perception.inference.trt.library import FLAVOUR

    gpu = None
    wanted = config.capabilities
    if wanted is None or not FLAVOUR.is_rtx:
        gpu = _gpu_of_this_machine(FLAVOUR.is_rtx)
        if wanted not in (None, (gpu.capability,)):
            raise StartError(
                f'TensorRT {FLAVOUR} builds for the GPU of this machine only, of compute '
                f'capability {building.as_text(gpu.capability)}',
                'omit --compute-capability, or install TensorRT for RTX')
        wanted = (gpu.capability,)
    for capability in wanted:
        building.check_capability(capability)
    parts = OnnxParts(path)
    models = [(parts.whole(), spec)]
    if config.each_task and len(spec.tasks) > 1:
        models += [(parts.part(output_names(part)), part)
                   for part in (spec.only([task]) for task in spec.tasks)]
    folder = EngineFolder(output, say)
    with _writing(output):
        lock = folder.lock()
    with lock:
        for capability, (model, part) in itertools.product(dict.fromkeys(wanted), models):
            name = engine_name(model, FLAVOUR, capability, gpu.name if gpu else None, MAX_BATCH)
            if folder.read(name) is not None:
                yield Engine(output / name, False)
                continue
            data = building.build(model, part, path, capability, MAX_BATCH, say)
            with _writing(output):
                written = folder.write(name, data)
            yield Engine(written, True)


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f'{folder}: the engine cannot be written ({reason(error)}); choose '
                          f'another folder with -o') from None


def _gpu_of_this_machine(is_optional: bool) -> Gpu:
    try:
        return current_gpu()
    except StartError as error:
        if not is_optional:
            raise
        raise StartError(error.reason, 'give the GPU to build for with --compute-capability, '
                                       'such as 8.6') from None
