"""
The one interface of everything that runs a model, and the choice of what does.

A runtime is a small file of its own: it reads the model's spec, puts the deployable graph on a
device and runs it. Thresholds, NMS and sizes of source images are the pipeline's concern.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
import os
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from mtl_perception.errors import ConfigError, ModelError
from mtl_perception.spec import ModelSpec

DEVICES = ('auto', 'cpu', 'cuda')
MAX_THREADS = 256

_MIN_BYTES = 256
_MAX_BYTES = 2 << 30
"""Protobuf's own limit, and far above what any network of this package weighs."""


@dataclass(frozen=True, eq=False)
class RawOutputs:
    """
    Outputs of the deployable graph for a batch of B images, coordinates in network pixels.

    The outputs of a task that the model does not have are None.
    """

    boxes: np.ndarray | None
    """float32 [B, K, 4]: x0, y0, x1, y1."""
    scores: np.ndarray | None
    """float32 [B, K] in 0..1, best first."""
    classes: np.ndarray | None
    """int32 [B, K]."""
    label_map: np.ndarray | None
    """uint8 [B, h, w], one value for ``ModelSpec.label_stride`` network pixels on each axis."""


class Runtime(Protocol):
    """A model on a device, ready to run."""

    name: str
    """'onnxruntime', 'torch', ..."""
    device: str
    """'cpu' or 'cuda'."""
    precision: str
    """Number format of the weights: 'fp32', 'fp16', ..."""
    spec: ModelSpec

    def run(self, images: np.ndarray) -> RawOutputs:
        """
        Run the network on uint8 [B, H, W, 3] RGB, contiguous, of the spec's input size.

        `images` is only read, and no longer needed when the call returns; the outputs are the
        caller's. ValueError: another shape or type.
        """
        ...


class _Entry(NamedTuple):
    suffix: str
    module: str
    factory: str
    package: str
    remedy: str


# Modules by name and not imported here: each needs a package that may not be installed.
_RUNTIMES = {
    'onnxruntime': _Entry('.onnx', 'mtl_perception.inference.onnx_runtime', 'OnnxRuntime',
                          'onnxruntime', 'pip install onnxruntime'),
    'torch': _Entry('.pt', 'mtl_perception.inference.torch_runtime', 'TorchRuntime',
                    'torch', 'pip install torch torchvision, or export the model to ONNX with '
                    '`mtl export`'),
}

RUNTIMES = ('auto', *_RUNTIMES)


def open_runtime(path: str | Path, runtime: str = 'auto', device: str = 'auto',
                 threads: int = 0) -> Runtime:
    """
    Load the model file `path` and return it ready to run.

    `runtime` is one of `RUNTIMES`; 'auto' goes by the file's suffix. `device` is one of `DEVICES`;
    'auto' takes CUDA where the runtime has it. `threads` is the number of CPU threads, 0 for
    those that this process may use. Raises ModelError where the file is not a model that can be
    run and ConfigError for an impossible choice; what is cheap to see is seen before anything is
    loaded.
    """
    if runtime not in RUNTIMES:
        raise ConfigError(f'no runtime {runtime!r}; there are {", ".join(RUNTIMES)}')
    if device not in DEVICES:
        raise ConfigError(f'no device {device!r}; there are {", ".join(DEVICES)}')
    if type(threads) is not int or not 0 <= threads <= MAX_THREADS:
        raise ConfigError(f'threads {threads!r} is not in 0..{MAX_THREADS}')
    path = Path(path).expanduser()
    _check_file(path)
    by_suffix = {entry.suffix: name for name, entry in _RUNTIMES.items()}
    if runtime == 'auto':
        if path.suffix not in by_suffix:
            raise ModelError(
                f'{path}: no runtime reads {path.suffix or "a file without suffix"}; '
                f'a model is a file {" or ".join(by_suffix)}')
        runtime = by_suffix[path.suffix]
    entry = _RUNTIMES[runtime]
    if path.suffix != entry.suffix:
        raise ModelError(
            f'{path}: the runtime {runtime} reads {entry.suffix} files; '
            f'choose the runtime auto or another model')
    try:
        factory = getattr(import_module(entry.module), entry.factory)
    except ModuleNotFoundError as error:
        if (error.name or '').partition('.')[0] != entry.package:
            raise
        raise ModelError(
            f'{path}: needs {entry.package}, which is not installed: {entry.remedy}') from None
    opened: Runtime = factory(path, device, threads)
    return opened


def check_batch(images: np.ndarray, spec: ModelSpec) -> None:
    """Raise ValueError where `images` is not uint8 [B, H, W, 3] of the spec's input size."""
    width, height = spec.input_size
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (height, width, 3):
        raise ValueError(
            f'images are {images.dtype} {list(images.shape)}, not uint8 '
            f'[B, {height}, {width}, 3]')


def usable_cores() -> int:
    """Return the number of CPU cores that this process may use; a container may have fewer."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _check_file(path: Path) -> None:
    """Raise ModelError where `path` cannot be a model file whatever its format."""
    remedy = 'give the path of an .onnx or .pt model file'
    try:
        if not path.exists():
            raise ModelError(f'{path}: no such model file; {remedy}')
        if path.is_dir():
            raise ModelError(f'{path}: a directory; {remedy}')
        if not path.is_file():
            raise ModelError(f'{path}: not a regular file; {remedy}')
        size = path.stat().st_size
    except OSError as error:
        raise ModelError(f'{path}: cannot be looked at ({error.strerror}); {remedy}') from None
    except ValueError as error:
        raise ModelError(f'{str(path)!r}: not a path ({error}); {remedy}') from None
    if not os.access(path, os.R_OK):
        raise ModelError(f'{path}: may not be read by this user; change its permissions')
    if size < _MIN_BYTES:
        raise ModelError(
            f'{path}: has only {size} bytes, which is no model (is it a Git LFS pointer? run '
            f'`git lfs pull`); copy or export it again')
    if size > _MAX_BYTES:
        raise ModelError(f'{path}: has {size >> 20} MiB; a model has {_MAX_BYTES >> 20} at most')
