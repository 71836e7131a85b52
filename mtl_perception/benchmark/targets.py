"""The runtimes, devices and precisions in which a model is measured."""

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
    """A runtime on a device in a precision that starts here."""

    runtime: str
    device: str
    asked: str
    """Precision that was asked for: one of `PRECISIONS`."""
    precision: str
    """Precision that it reports."""
    version: str

    @property
    def name(self) -> str:
        """What to call it, such as 'onnxruntime fp32'; the device where it is not the CPU."""
        device = '' if self.device == 'cpu' else f' {self.device}'
        return f'{self.runtime}{device} {self.precision}'

    def on(self, network: Network) -> Network:
        """Return the network as this target runs it."""
        return replace(network, runtime=self.runtime, device=self.device, precision=self.asked)


@dataclass(frozen=True)
class Found:
    """The targets, and why others are none."""

    targets: tuple[Target, ...]
    left_out: tuple[str, ...]
    """A line each."""


def find_targets(models: Mapping[str, Path], asked: Sequence[str], device: str, network: Network,
                 frames: Path, say: Say) -> Found:
    """
    Return what starts of the runtimes that are `asked` for, all where none is.

    `models` are the model's files by suffix; `asked` are 'RUNTIME' or 'RUNTIME:PRECISION'. Each is
    tried in a process of its own, as `network` says of threads and cache; so what a runtime
    compiles and keeps is there when it is measured. Raises ConfigError for a name that does not
    exist, ModelError where a file is no model, StartError where nothing starts.
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
        raise ConfigError(f'no runtime {runtime!r}; there are {", ".join(ENTRIES)}')
    if (precision or 'auto') not in PRECISIONS:
        raise ConfigError(f'no precision {precision!r}; there are {", ".join(PRECISIONS)}')
    return runtime, precision or 'auto'


def _candidates(runtime: str, model: Path, options: RuntimeOptions) -> Iterator[tuple[str, str]]:
    """
    Yield devices and precisions that may start.

    Where the runtime names its precisions, those that a user may ask for; the model's own where
    it has another number format than these.
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
    """Return why a runtime has no file; a package that is missing is the cause, if it is."""
    try:
        load(runtime)
    except StartError as error:
        return str(error)
    return f'it reads {suffix} files, and there is none of this model'


def _missing(runtime: str) -> str:
    """Return why a runtime has no device."""
    try:
        facts = load(runtime).facts()
    except StartError as error:
        return str(error)
    return '; '.join(f'{device}: {error}' for device, error in facts.missing.items()) or (
        'it does not run this model here')
