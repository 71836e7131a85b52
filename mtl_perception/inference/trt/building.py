"""Building an engine from a network, with progress messages."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
import threading
import time
from typing import Any

from mtl_perception.errors import StartError
from mtl_perception.graph_contract import INPUT, input_of
from mtl_perception.inference.runtime import Say
from mtl_perception.inference.trt.library import FLAVOUR, LOG, new_builder, trt
from mtl_perception.inference.trt.parsing import parse
from mtl_perception.spec import ModelSpec

Capability = tuple[int, int]
"""Compute capability of a GPU, such as (8, 6)."""

_SECONDS, _PERCENT = 5.0, 10
"""A progress line is printed after this many seconds and this much progress, both."""

_PATIENCE = 30.0
"""A progress line is printed after this many seconds regardless of the progress."""

_LOOK = 0.1
"""Seconds between two checks of the progress."""

_THREAD = 'TensorRT builder'


def capabilities() -> dict[Capability, Any]:
    """
    Return the compute capabilities supported by TensorRT for RTX -> its constants.

    Empty for TensorRT itself, which builds for the GPU of the machine.
    """
    members = getattr(trt, 'ComputeCapability', None)
    if not FLAVOUR.is_rtx or members is None:
        return {}
    return {(int(name[2:-1]), int(name[-1])): value
            for name, value in sorted(members.__members__.items()) if name[:2] == 'SM'}


def check_capability(capability: Capability) -> None:
    """Raise StartError if the installed TensorRT does not support such a GPU."""
    known = capabilities()
    if FLAVOUR.is_rtx and capability not in known:
        raise StartError(
            f'TensorRT {FLAVOUR} does not support compute capability {as_text(capability)}, '
            f'only {", ".join(map(as_text, sorted(known)))}',
            'install TensorRT itself, the package tensorrt; a Jetson has it from JetPack')


def as_text(capability: Capability) -> str:
    """Return '8.6' for (8, 6)."""
    return '.'.join(map(str, capability))


def build(model: bytes, spec: ModelSpec, where: Path, capability: Capability, batch: int,
          say: Say) -> memoryview:
    """
    Return the serialised engine of an ONNX file's bytes for batches of 1 to `batch` images.

    TensorRT for RTX builds it for GPUs of `capability`, which need not be present; TensorRT itself
    builds for the GPU of this machine, which must have that capability. Kernels are optimised for
    one image, the usual batch of a node. `say` receives the progress. Raises StartError if
    TensorRT rejects the model or fails, ModelError if the network contradicts `spec`.
    """
    check_capability(capability)
    builder = new_builder()
    network = parse(builder, model, spec, where)
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    sizes = tuple(size for size in input_of(spec).shape[1:] if isinstance(size, int))
    # Tuples are accepted, although its type stubs require Dims.
    shapes: list[Any] = [(count, *sizes) for count in (1, 1, batch)]
    profile.set_shape(INPUT, *shapes)
    config.add_optimization_profile(profile)
    if FLAVOUR.is_rtx:
        _target(config, capability)
    progress = Progress(say)
    config.progress_monitor = progress
    say(f'{where}: TensorRT {FLAVOUR} builds its engine for GPUs of compute capability '
        f'{as_text(capability)}; this takes a while, once')
    LOG.take()
    engine = _build(builder, network, config, progress)
    if engine is None:
        raise StartError(f'TensorRT {FLAVOUR} cannot build its engine ({LOG.take()})',
                         'select another runtime, or free memory if that is short')
    say(f'engine built in {progress.seconds:.0f} s')
    return memoryview(engine)  # type: ignore[call-overload, unused-ignore]


def _build(builder: trt.Builder, network: trt.INetworkDefinition, config: trt.IBuilderConfig,
           progress: Progress) -> trt.IHostMemory | None:
    """
    Return the engine, None if it fails; an exception raised here, as by Ctrl-C, ends the build.

    It is built in a separate thread. TensorRT calls back into Python, where exceptions would be
    lost; Ctrl-C raises in the main thread only.
    """
    with ThreadPoolExecutor(1, _THREAD) as pool:
        try:
            future = pool.submit(builder.build_serialized_network, network, config)
            while not wait([future], _LOOK).done:
                progress.tell()
        except BaseException:
            progress.cancel()
            raise  # after the thread has ended: TensorRT would crash at Python's exit
        engine: trt.IHostMemory | None = future.result()
    return engine


def _target(config: Any, capability: Capability) -> None:
    """Set the options that only TensorRT for RTX has, which the type stubs lack."""
    config.num_compute_capabilities = 1
    config.set_compute_capability(capabilities()[capability], 0)
    # Without it a run may allocate memory, and cannot be captured as a CUDA graph.
    flag = getattr(trt.BuilderFlag, 'REQUIRE_USER_ALLOCATION', None)
    if flag is not None:
        config.set_flag(flag)


@dataclass
class _Phase:
    parent: str | None
    steps: int
    done: int = 0


class Progress(trt.IProgressMonitor):
    """
    Tracks the progress of a build and reports it every few seconds at most.

    A build consists of phases, whose steps may be phases themselves. TensorRT reports them from
    its own threads.
    """

    def __init__(self, say: Say) -> None:
        """Start the clock."""
        super().__init__()
        self._say = say
        self._lock = threading.Lock()
        self._phases: dict[str, _Phase] = {}
        self._is_cancelled = False
        self._begun = self._told_at = time.monotonic()
        self._told = 0

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.monotonic() - self._begun

    def tell(self) -> None:
        """Report the progress, if it is due."""
        with self._lock:
            percent = max(self._told, round(100 * self._fraction(None)))
        now = time.monotonic()
        waited = now - self._told_at
        if waited >= _PATIENCE or (waited >= _SECONDS and percent >= self._told + _PERCENT):
            self._told, self._told_at = percent, now
            self._say(f'building the engine: {percent} % after {self.seconds:.0f} s')

    def cancel(self) -> None:
        """End the build after its current step."""
        self._is_cancelled = True

    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
        """Record the start of a phase."""
        with self._lock:
            self._phases[phase_name] = _Phase(parent_phase, max(1, num_steps))

    def step_complete(self, phase_name: str, step: int) -> bool:
        """Record the end of a step; return whether the build continues."""
        with self._lock:
            if phase_name in self._phases:
                self._phases[phase_name].done = step + 1
        return not self._is_cancelled

    def phase_finish(self, phase_name: str) -> None:
        """Record the end of a phase."""
        with self._lock:
            self._phases.pop(phase_name, None)

    def _fraction(self, parent: str | None) -> float:
        """Return the completed share, 0..1, of the phases inside `parent`."""
        return max((min(1.0, (phase.done + self._fraction(name)) / phase.steps)
                    for name, phase in self._phases.items() if phase.parent == parent),
                   default=0.0)
