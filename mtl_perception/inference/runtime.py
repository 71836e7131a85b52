"""
The one interface of everything that runs a model.

A runtime is a file of its own: it reads the model's spec, puts the deployable graph on a device
and runs it. Thresholds, NMS and sizes of source images are the pipeline's concern; which runtime
is taken is the registry's.
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
"""Most images in one run of a network; it bounds the memory that a large image takes."""

Say = Callable[[str], object]
"""Takes a line for the user: a log of a node, or the terminal."""


@dataclass(frozen=True)
class RuntimeOptions:
    """How a model is run; ConfigError where a value is impossible."""

    runtime: str = 'auto'
    """Name of a runtime, or 'auto'; see ``mtl_perception.inference.registry``."""
    device: str = 'auto'
    """One of `DEVICES`; 'auto' takes CUDA where a runtime has it."""
    precision: str = 'auto'
    """One of `PRECISIONS`; 'auto' is the model's own, or BF16 where the CPU computes that."""
    threads: int = 0
    """Number of CPU threads; 0: as many as this process may use."""
    cache: Path | None = None
    """Folder for what is compiled for this machine; None: the user's cache folder."""
    batch: int = 1
    """Images that a graph on a CPU is made for, at most; see ``Runtime.batch``."""

    def __post_init__(self) -> None:
        for name, choices in (('device', DEVICES), ('precision', PRECISIONS)):
            if getattr(self, name) not in choices:
                raise ConfigError(
                    f'no {name} {getattr(self, name)!r}; there are {", ".join(choices)}')
        if type(self.threads) is not int or not 0 <= self.threads <= MAX_THREADS:
            raise ConfigError(f'threads {self.threads!r} is not in 0..{MAX_THREADS}')
        if type(self.batch) is not int or not 1 <= self.batch <= MAX_BATCH:
            raise ConfigError(f'batch {self.batch!r} is not in 1..{MAX_BATCH}')


@dataclass(frozen=True)
class RuntimeFacts:
    """What a runtime that is installed can do on this machine."""

    version: str
    devices: tuple[str, ...]
    """Those of `DEVICES` that it can use now."""
    precisions: tuple[str, ...]
    """Number formats that it computes in on these devices, its own choice first."""
    missing: dict[str, StartError] = field(default_factory=dict)
    """Device that it knows but cannot use now -> why not, and what to do."""


class Runtime(Protocol):
    """A model on a device, ready to run."""

    name: ClassVar[str]
    """'onnxruntime', 'torch', ..."""
    device: str
    """'cpu' or 'cuda'."""
    precision: str
    """Number format that the network is computed in: 'fp32', 'bf16', 'int8/bf16', ..."""
    spec: ModelSpec
    batch: int
    """Most images that it runs at once; more take several turns."""

    def __init__(self, path: Path, device: str, options: RuntimeOptions, say: Say) -> None:
        """
        Load the model file `path` on `device`, 'cpu' or 'cuda'.

        `options.device` is ignored; it may be 'auto'. `say` receives what takes long.
        Raises ModelError where the file is no model of this package, StartError where this
        runtime cannot run it here, with what to do.
        """

    @classmethod
    def facts(cls) -> RuntimeFacts:
        """Return what the runtime can do here; StartError where it cannot do anything."""
        ...

    def run(self, images: np.ndarray, tasks: Collection[str] | None = None) -> RawOutputs:
        """
        Run the network on uint8 [B, H, W, 3] RGB, contiguous, of the spec's input size.

        `tasks` are those of ``spec.tasks`` whose outputs are wanted, all by default; nothing is
        computed that only others need, but for the first moments in which a task is asked for
        alone. `images` is only read, and no longer needed when the call returns. The outputs may
        lie in the runtime's memory: they are valid until the next run. ValueError: another shape
        or type, or a task that the model does not have.
        """
        ...


def silent(line: str) -> None:
    """Take a line for the user and drop it."""


def not_installed(error: ModuleNotFoundError) -> StartError:
    """Return the error of a missing package; `error` is raised if it is not a requirement."""
    how = remedy(error.name or '')
    if how is None:
        raise error
    return StartError(f'{error.name} is not installed', how)


def usable_cores() -> int:
    """Return the number of CPU cores that this process may use; a container may have fewer."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
