"""
The common interface of all inference runtimes.

A runtime reads the model's spec, loads the deployable graph on a device and runs it; each has its
own module. Thresholds, NMS and sizes of source images belong to the pipeline, the choice of a
runtime to the registry.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
import os
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np

from mtl_perception.errors import ConfigError, StartError
from mtl_perception.extras import remedy
from mtl_perception.graph_contract import RawOutputs
from mtl_perception.spec import ModelSpec

DEVICES = ('auto', 'cpu', 'cuda')
PRECISIONS = ('auto', 'fp32', 'bf16')
MAX_THREADS = 256

MAX_BATCH = 4
"""Maximum number of images in one run of a network; bounds the memory used for a large image."""

Say = Callable[[str], object]
"""Receives a line for the user: the log of a node, or the terminal."""


@dataclass(frozen=True)
class RuntimeOptions:
    """How a model is run; ConfigError if a value is invalid."""

    runtime: str = 'auto'
    """Name of a runtime, or 'auto'; see ``mtl_perception.inference.registry``."""
    device: str = 'auto'
    """One of `DEVICES`; 'auto' selects CUDA if a runtime supports it."""
    precision: str = 'auto'
    """One of `PRECISIONS`; 'auto' is that of the model, or BF16 if the CPU computes in it."""
    threads: int = 0
    """Number of CPU threads; 0: the number of cores available to this process."""
    cache: Path | None = None
    """Folder for compiled models; None: the user's cache folder."""
    batch: int = 1
    """Maximum batch size for which a CPU graph is compiled; see ``Runtime.batch``."""

    def __post_init__(self) -> None:
        for name, choices in (('device', DEVICES), ('precision', PRECISIONS)):
            if getattr(self, name) not in choices:
                raise ConfigError(
                    f'no {name} {getattr(self, name)!r}; the choices are {", ".join(choices)}')
        if type(self.threads) is not int or not 0 <= self.threads <= MAX_THREADS:
            raise ConfigError(f'threads {self.threads!r} is not in 0..{MAX_THREADS}')
        if type(self.batch) is not int or not 1 <= self.batch <= MAX_BATCH:
            raise ConfigError(f'batch {self.batch!r} is not in 1..{MAX_BATCH}')


@dataclass(frozen=True)
class RuntimeFacts:
    """Capabilities of an installed runtime on this machine."""

    version: str
    devices: tuple[str, ...]
    """The usable devices, a subset of `DEVICES`."""
    precisions: tuple[str, ...]
    """Number formats that it computes in on these devices, its default first."""
    missing: dict[str, StartError] = field(default_factory=dict)
    """Supported device that is not usable -> the reason and the remedy."""


class Runtime(Protocol):
    """A model on a device, ready to run."""

    name: ClassVar[str]
    """'onnxruntime', 'torch', ..."""
    device: str
    """'cpu' or 'cuda'."""
    precision: str
    """Number format in which the network is computed: 'fp32', 'bf16', 'int8/bf16', ..."""
    spec: ModelSpec
    batch: int
    """Maximum number of images in one run; larger batches are split."""

    def __init__(self, path: Path, device: str, options: RuntimeOptions, say: Say) -> None:
        """
        Load the model file `path` on `device`, 'cpu' or 'cuda'.

        `options.device` is ignored; it may be 'auto'. `say` receives messages about steps that
        take long. Raises ModelError if the file is not a model of this package, StartError with a
        remedy if this runtime cannot run it here.
        """

    @classmethod
    def facts(cls) -> RuntimeFacts:
        """Return the capabilities on this machine; StartError if there are none."""
        ...

    def run(self, images: np.ndarray, tasks: Collection[str] | None = None) -> RawOutputs:
        """
        Run the network on uint8 [B, H, W, 3] RGB, contiguous, of the spec's input size.

        `tasks` is the subset of ``spec.tasks`` whose outputs are requested, by default all; layers
        that only other tasks need are not computed, except until the graph of a newly requested
        single task is ready. `images` is not modified, and not used after the call returns. The
        outputs may be views of the runtime's memory and are valid until the next run. Raises
        ValueError for another shape or type, or for a task that the model does not have.
        """
        ...


def silent(line: str) -> None:
    """Drop a line for the user."""


def not_installed(error: ModuleNotFoundError) -> StartError:
    """Return the StartError for a missing package; raise `error` if it is not a requirement."""
    how = remedy(error.name or '')
    if how is None:
        raise error
    return StartError(f'{error.name} is not installed', how)


def usable_cores() -> int:
    """Return the number of CPU cores that this process may use; a container may have fewer."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
