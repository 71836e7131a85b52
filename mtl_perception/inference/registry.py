"""
Registry of the inference runtimes, and selection of one for a model file.

A runtime is a class that follows ``Runtime``, listed below or registered by `register_runtime`.
The list is read without importing the runtimes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from mtl_perception.errors import ConfigError, ModelError, one_line, StartError
from mtl_perception.files import expanded
from mtl_perception.inference.machine import CUDA_DRIVER, has_cuda_driver, may_compute_bf16
from mtl_perception.inference.model_file import check_model_file
from mtl_perception.inference.onnx_file import read_onnx_header
from mtl_perception.inference.runtime import not_installed, Runtime, RuntimeOptions, Say, silent
from mtl_perception.spec import ModelSpec


@dataclass(frozen=True)
class Entry:
    """A runtime; its module is imported on use, since its package may be missing."""

    suffix: str
    """Suffix of the model files that it reads."""
    module: str
    factory: str
    """Name of the class in `module` that follows ``Runtime``."""
    needs_driver: bool = False
    """Whether its device cuda requires NVIDIA's driver; torch also names AMD's GPUs cuda."""


ONNX = '.onnx'

ENTRIES: dict[str, Entry] = {
    'tensorrt': Entry(ONNX, 'mtl_perception.inference.tensorrt_runtime', 'TensorRtRuntime',
                      needs_driver=True),
    'openvino': Entry(ONNX, 'mtl_perception.inference.openvino_runtime', 'OpenVinoRuntime'),
    'onnxruntime': Entry(ONNX, 'mtl_perception.inference.onnx_runtime', 'OnnxRuntime',
                         needs_driver=True),
    'torch': Entry('.pt', 'mtl_perception.inference.torch_runtime', 'TorchRuntime'),
}
"""Name -> runtime; `register_runtime` adds to it."""


@dataclass(frozen=True)
class Choice:
    """A runtime on a device."""

    runtime: str
    device: str
    needs: str = ''
    """Precision required for this place in the order."""
    files: str = ''
    """Number format of files for which this place in the order applies; '': any."""


AUTO_ORDER = [
    Choice('tensorrt', 'cuda'),
    Choice('onnxruntime', 'cuda'),
    # Without BF16, ONNX Runtime is faster: docs/deployment.md.
    Choice('openvino', 'cpu', needs='bf16'),
    # ONNX Runtime is slow in INT8 on any CPU.
    Choice('openvino', 'cpu', files='int8'),
    Choice('onnxruntime', 'cpu'),
    Choice('openvino', 'cpu'),
    Choice('torch', 'cuda'),
    Choice('torch', 'cpu')]
"""The order of `auto`: the first that reads the file, has the device and starts is chosen."""


def register_runtime(name: str, entry: Entry, devices: Sequence[str], first: bool = False) -> None:
    """
    Add the runtime `name`, for each of its `devices` ('cpu', 'cuda').

    It is added to the order of `auto` at the end, or at the start if `first`. Call this before a
    command or node reads its options. Raises ValueError if the name exists.
    """
    if name in runtime_names():
        raise ValueError(f'the runtime {name!r} is registered already')
    ENTRIES[name] = entry
    place = 0 if first else len(AUTO_ORDER)
    AUTO_ORDER[place:place] = [Choice(name, device) for device in devices]


def runtime_names() -> tuple[str, ...]:
    """Return the values of the option `runtime`: 'auto' and the registered names."""
    return ('auto', *ENTRIES)


@dataclass(frozen=True)
class Rejection:
    """A rejected choice with the reason."""

    choice: Choice
    error: StartError


def open_runtime(path: str | Path, options: RuntimeOptions | None = None,
                 say: Say = silent) -> Runtime:
    """
    Load the model file `path` and return it ready to run.

    'auto' chooses the first of `AUTO_ORDER` that reads the file, has the requested device and
    starts; `say` receives one line with the selected runtime and the reasons why earlier ones were
    rejected. Raises ModelError if the file is not a model, ConfigError for an invalid choice,
    StartError if the requested runtime cannot start here. Cheap checks are made before a library
    is loaded.
    """
    options = options or RuntimeOptions()
    path = expanded(path)
    rejected: list[Rejection] = []
    for choice in choices(path, options):
        try:
            runtime = start(choice, path, options, say)
        except StartError as error:
            rejected.append(Rejection(choice, error))
            continue
        say(f'runtime {runtime.name} on {runtime.device}, {runtime.precision}'
            + (f' ({reasons(rejected)})' if rejected else ''))
        return runtime
    if options.runtime != 'auto':
        raise StartError(f'{path}: the runtime {options.runtime} does not start: '
                         f'{rejected[-1].error.reason}', rejected[-1].error.remedy)
    raise StartError(f'{path}: no runtime starts: {reasons(rejected)}', rejected[-1].error.remedy)


def read_spec(path: str | Path) -> ModelSpec:
    """
    Return the spec of the model file `path`, if possible without loading a runtime.

    Raises ModelError if it is not a model, StartError if it is a checkpoint and torch is
    missing.
    """
    path = expanded(path)
    first = choices(path, RuntimeOptions())[0]
    if ENTRIES[first.runtime].suffix == ONNX:
        return read_onnx_header(path).spec
    return start(Choice(first.runtime, 'cpu'), path, RuntimeOptions()).spec


def choices(path: Path, options: RuntimeOptions) -> list[Choice]:
    """
    Return the choices for the model file `path`, in the order in which they are tried; never
    empty.

    The order depends on the file's header. Raises ModelError if `path` is not a model,
    ConfigError if `options` exclude all.
    """
    if options.runtime not in runtime_names():
        raise ConfigError(
            f'no runtime {options.runtime!r}; the runtimes are {", ".join(runtime_names())}')
    check_model_file(path)
    if options.runtime == 'auto':
        order: Sequence[Choice] = AUTO_ORDER
    else:
        suffix = ENTRIES[options.runtime].suffix
        if path.suffix != suffix:
            raise ModelError(
                f'{path}: the runtime {options.runtime} reads {suffix} files; select the runtime '
                f'auto or another model')
        order = [choice for choice in AUTO_ORDER
                 if choice.runtime == options.runtime
                 and not (choice.needs or choice.files)]
    order = [choice for choice in order if ENTRIES[choice.runtime].suffix == path.suffix]
    if not order:
        suffixes = dict.fromkeys(entry.suffix for entry in ENTRIES.values())
        raise ModelError(
            f'{path}: no runtime reads {path.suffix or "a file without suffix"}; '
            f'a model is a file {" or ".join(suffixes)}')
    if any(choice.files for choice in order):
        precision = read_onnx_header(path).precision
        order = [choice for choice in order if choice.files in ('', precision)]
    usable = [choice for choice in order if options.device in ('auto', choice.device)]
    if not usable:
        raise ConfigError(
            f'device {options.device}: the runtime {options.runtime} runs on '
            f'{order[0].device} only')
    return usable


def start(choice: Choice, path: Path, options: RuntimeOptions, say: Say = silent) -> Runtime:
    """Return the runtime of `choice` with the model; StartError if it cannot start."""
    if options.runtime == options.device == 'auto':
        _check_machine(choice)
    runtime = load(choice.runtime)
    facts = runtime.facts()
    if choice.device not in facts.devices:
        raise facts.missing.get(choice.device) or StartError(f'it has no device {choice.device}')
    if choice.needs and choice.needs not in facts.precisions:
        raise _no_precision(choice)
    if choice.needs and options.precision not in ('auto', choice.needs):
        raise StartError(f'slower in {options.precision}')
    return runtime(path, choice.device, options, say)


def _check_machine(choice: Choice) -> None:
    """Raise StartError if the machine excludes `choice`, before its package is loaded."""
    if choice.device == 'cuda' and ENTRIES[choice.runtime].needs_driver and not has_cuda_driver():
        raise StartError(f'there is no CUDA driver ({CUDA_DRIVER})', 'check it with nvidia-smi')
    if choice.needs == 'bf16' and not may_compute_bf16():
        raise _no_precision(choice)


def _no_precision(choice: Choice) -> StartError:
    return StartError(f'this CPU does not compute in {choice.needs}')


def load(name: str) -> type[Runtime]:
    """Return the class of the runtime `name`; StartError if its package does not load."""
    entry = ENTRIES[name]
    try:
        factory: type[Runtime] = getattr(import_module(entry.module), entry.factory)
    except ModuleNotFoundError as error:
        raise not_installed(error) from None
    except (ImportError, OSError) as error:
        if (getattr(error, 'name', None) or '').startswith(__package__.partition('.')[0]):
            raise
        # Installed, but not for this Python, NumPy or system; its own messages are on stderr.
        raise StartError(f'its package does not load ({one_line(error)})',
                         'install it again') from None
    return factory


def reasons(rejected: Sequence[Rejection]) -> str:
    """Return the reasons of the rejections in one line."""
    devices: dict[tuple[str, str], list[str]] = {}
    for rejection in rejected:
        key = rejection.choice.runtime, rejection.error.reason
        devices.setdefault(key, []).append(rejection.choice.device)
    return '; '.join(f'{runtime} on {"/".join(dict.fromkeys(where))}: {reason}'
                     for (runtime, reason), where in devices.items())
