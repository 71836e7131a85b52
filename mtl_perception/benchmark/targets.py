"""Targets of the measurement: runtimes, devices and precisions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mtl_perception.benchmark.subjects import Network
from mtl_perception.benchmark.worker_process import WorkerProcess
from mtl_perception.errors import ConfigError, StartError
from mtl_perception.inference.registry import choices, ENTRIES, load
from mtl_perception.inference.runtime import PRECISIONS, RuntimeOptions, Say


@dataclass(frozen=True)
class Target:
    """A usable runtime on a device in a precision."""

    runtime: str
    device: str
    asked: str
    """Requested precision, one of `PRECISIONS`."""
    precision: str
    """Precision reported by the runtime."""
    version: str

    @property
    def name(self) -> str:
        """Its name, such as 'onnxruntime fp32', with the device if it is not the CPU."""
        device = '' if self.device == 'cpu' else f' {self.device}'
        return f'{self.runtime}{device} {self.precision}'

    def on(self, network: Network) -> Network:
        """Return the network for this target."""
        return replace(network, runtime=self.runtime, device=self.device, precision=self.asked)


@dataclass(frozen=True)
class Found:
    """The targets, and the reasons why others are omitted."""

    targets: tuple[Target, ...]
    left_out: tuple[str, ...]
    """One line each."""


def find_targets(models: Mapping[str, Path], asked: Sequence[str], device: str, network: Network,
                 frames: Path, say: Say) -> Found:
    """
    Return the usable targets of the runtimes `asked`, of all runtimes if it is empty.

    `models` are the model's files by suffix; `asked` are 'RUNTIME' or 'RUNTIME:PRECISION'. Each is
    tried in a separate process, with the threads and cache of `network`, so that compiled models
    are cached before the measurement. Raises ConfigError for a name that does not exist,
    ModelError if a file is no model, StartError if nothing starts.
    """
    found: list[Target] = []
    left_out = []
    for runtime, precision in map(_parse, asked or ENTRIES):
        suffix = ENTRIES[runtime].suffix
        if suffix not in models:
            left_out.append(f'{runtime}: {_no_file(runtime, suffix)}')
            continue
        started = False
        reason = ''
        options = RuntimeOptions(runtime, device, precision, network.threads)
        for on_device, wanted in _candidates(runtime, models[suffix], options):
            candidate = replace(network, path=str(models[suffix]), runtime=runtime,
                                device=on_device, precision=wanted)
            try:
                say(f'starting {runtime} on {on_device}, {wanted}')
                load(runtime)
                with WorkerProcess() as worker:
                    facts = worker.load([candidate], frames).networks[0]
            except StartError as error:
                # The pipeline's own error for a runtime that is requested by name.
                reason = reason or str(error).removeprefix(
                    f'{candidate.path}: the runtime {runtime} does not start: ')
                continue
            target = Target(runtime, on_device, wanted, facts['precision'], facts['version'])
            if target.name not in [other.name for other in found]:
                found.append(target)
            started = True
        if not started:
            name = runtime if precision == 'auto' else f'{runtime}:{precision}'
            left_out.append(f'{name}: {reason or _missing(runtime)}')
    if not found:
        raise StartError(f'nothing to measure: {"; ".join(left_out)}')
    return Found(tuple(found), tuple(left_out))


def _parse(text: str) -> tuple[str, str]:
    runtime, _, precision = text.partition(':')
    if runtime not in ENTRIES:
        raise ConfigError(f'no runtime {runtime!r}; the runtimes are {", ".join(ENTRIES)}')
    if (precision or 'auto') not in PRECISIONS:
        raise ConfigError(f'no precision {precision!r}; the choices are {", ".join(PRECISIONS)}')
    return runtime, precision or 'auto'


def _candidates(runtime: str, model: Path, options: RuntimeOptions) -> Iterator[tuple[str, str]]:
    """
    Yield the devices and precisions to try.

    If the runtime lists its precisions, those that are valid options, or that of the model if its
    number format is none of them.
    """
    try:
        facts = load(runtime).facts()
    except StartError:
        return
    for device in dict.fromkeys(choice.device for choice in choices(model, options)):
        if device not in facts.devices:
            continue
        if options.precision != 'auto':
            yield device, options.precision
            continue
        named = [item for item in PRECISIONS[1:] if item in facts.precisions]
        yield from ((device, item) for item in named)
        if _is_of_another_format(model):
            yield device, 'auto'


def _is_of_another_format(model: Path) -> bool:
    from mtl_perception.inference.onnx_file import read_onnx_header

    return model.suffix == '.onnx' and read_onnx_header(model).precision not in PRECISIONS


def _no_file(runtime: str, suffix: str) -> str:
    """Return why a runtime has no file, or which missing package is the cause."""
    try:
        load(runtime)
    except StartError as error:
        return str(error)
    return f'it reads {suffix} files, and this model has none'


def _missing(runtime: str) -> str:
    """Return the reason why a runtime has no device."""
    try:
        facts = load(runtime).facts()
    except StartError as error:
        return str(error)
    return '; '.join(f'{device}: {error}' for device, error in facts.missing.items()) or (
        'it does not run this model on this machine')
