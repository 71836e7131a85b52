"""`mtl build-engine`: build the engine that the runtime `tensorrt` will look for."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
import contextlib
import itertools
from pathlib import Path
import re

from mtl_perception.errors import ConfigError, ModelError, StartError
from mtl_perception.graph_contract import output_names
from mtl_perception.inference.cache_folder import cache_folder
from mtl_perception.inference.model_file import check_model_file
from mtl_perception.inference.onnx_file import read_onnx_header
from mtl_perception.inference.onnx_part import OnnxParts
from mtl_perception.inference.runtime import MAX_BATCH
from mtl_perception.inference.runtime_arguments import say
from mtl_perception.inference.trt.engine_cache import engine_name, EngineFolder, reason
from mtl_perception.inference.trt.gpu import current_gpu, Gpu

_RUNTIME = 'tensorrt'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument('model', type=Path, help='ONNX file that `mtl export` wrote')
    parser.add_argument('-o', '--output', metavar='DIR', type=Path,
                        help='folder to write into, given as --cache where the model is run '
                             '(default: ~/.cache/mtl_perception)')
    parser.add_argument('--each-task', action='store_true',
                        help='also the engine of each task alone, which a node runs while nobody '
                             'subscribes to the other')
    parser.add_argument('--compute-capability', metavar='X.Y', type=_capability, nargs='+',
                        help='GPUs to build for, such as 8.6; TensorRT for RTX builds for any '
                             '(default: the GPU of this machine)')


def run(args: argparse.Namespace) -> None:
    """
    Build the engines that `args` ask for, but those that are there already.

    Raises MtlError for what the user can mend.
    """
    path: Path = args.model.expanduser()
    check_model_file(path)
    if path.suffix != '.onnx':
        raise ModelError(f'{path}: an engine is built from an .onnx file; make one with '
                         f'`mtl export`')
    spec = read_onnx_header(path).spec
    output = cache_folder(args.output, _RUNTIME)
    if output is None:
        raise ConfigError('this user has no home folder; say with -o where to write')
    from mtl_perception.inference.trt import building
    from mtl_perception.inference.trt.library import FLAVOUR

    gpu = None
    wanted = args.compute_capability
    if wanted is None or not FLAVOUR.is_rtx:
        gpu = _gpu_of_this_machine(FLAVOUR.is_rtx)
        if wanted not in (None, [gpu.capability]):
            raise StartError(
                f'TensorRT {FLAVOUR} builds for the GPU of this machine only, of compute '
                f'capability {building.as_text(gpu.capability)}',
                'leave out --compute-capability, or take TensorRT for RTX')
        wanted = [gpu.capability]
    for capability in wanted:
        building.check_capability(capability)
    parts = OnnxParts(path)
    models = [(parts.whole(), spec)]
    if args.each_task and len(spec.tasks) > 1:
        models += [(parts.part(output_names(part)), part)
                   for part in (spec.only([task]) for task in spec.tasks)]
    folder = EngineFolder(output, say)
    with _writing(output):
        lock = folder.lock()
    with lock:
        for capability, (model, part) in itertools.product(dict.fromkeys(wanted), models):
            name = engine_name(model, FLAVOUR, capability, gpu.name if gpu else None, MAX_BATCH)
            if folder.read(name) is not None:
                print(f'{output / name}: there already')
                continue
            data = building.build(model, part, path, capability, MAX_BATCH, say)
            with _writing(output):
                written = folder.write(name, data)
            print(f'{written}: {written.stat().st_size / 1e6:.1f} MB')


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f'{folder}: the engine cannot be written ({reason(error)}); choose '
                          f'another folder with -o') from None


def _capability(text: str) -> tuple[int, int]:
    """Return (8, 6) for '8.6'."""
    if not re.fullmatch(r'[0-9]+\.[0-9]', text):
        raise argparse.ArgumentTypeError(f'{text!r} is not a compute capability such as 8.6')
    major, minor = text.split('.')
    return int(major), int(minor)


def _gpu_of_this_machine(can_do_without: bool) -> Gpu:
    try:
        return current_gpu()
    except StartError as error:
        if not can_do_without:
            raise
        raise StartError(error.reason, 'say with --compute-capability what GPU to build for, '
                                       'such as 8.6') from None
