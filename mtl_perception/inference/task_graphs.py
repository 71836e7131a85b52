"""Selection between a model's whole graph and the graphs of single tasks."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
import threading
from typing import Protocol

import numpy as np

from mtl_perception.errors import MtlError
from mtl_perception.graph_contract import check_batch, output_names, RawOutputs
from mtl_perception.inference.runtime import Say
from mtl_perception.memory import give_back_freed_memory
from mtl_perception.spec import ModelSpec


class Graph(Protocol):
    """A loaded graph."""

    def run(self, images: np.ndarray) -> RawOutputs:
        """Return all outputs for `images`; see ``Runtime.run``."""


class TaskGraphs:
    """
    Runs the graph of the requested tasks.

    The whole graph is loaded from the start. The graph of some tasks is loaded by a thread when it
    is first requested, and kept. Until it is ready, or if it cannot be loaded, the whole graph is
    run instead, so that no image waits.
    """

    def __init__(self, spec: ModelSpec, whole: Graph, make: Callable[[ModelSpec], Graph],
                 say: Say) -> None:
        """Use the whole graph; `make` loads the graph of a spec with some of the tasks."""
        self._spec = spec
        self._whole = whole
        self._make = make
        self._say = say
        self._parts: dict[tuple[str, ...], Graph] = {}
        self._threads: dict[tuple[str, ...], threading.Thread] = {}

    def run(self, images: np.ndarray, tasks: Collection[str] | None) -> RawOutputs:
        """Return the outputs of `tasks` (all: None) for `images`; see ``Runtime.run``."""
        check_batch(images, self._spec)
        spec = self._spec if tasks is None else self._spec.only(tasks)
        if spec.tasks == self._spec.tasks:
            return self._whole.run(images)
        part = self._parts.get(spec.tasks)
        if part is not None:
            return part.run(images)
        if spec.tasks not in self._threads:
            # Not a daemon: a library that compiles while the process ends would crash it.
            thread = threading.Thread(target=self._add, args=(spec,), name='graph of a task')
            self._threads[spec.tasks] = thread
            thread.start()
        return outputs_only(self._whole.run(images), spec)

    def wait(self) -> None:
        """Wait until the requested graphs are loaded."""
        for thread in self._threads.values():
            thread.join()

    def _add(self, spec: ModelSpec) -> None:
        try:
            self._parts[spec.tasks] = self._make(spec)
            give_back_freed_memory()
        except MtlError as error:
            self._say(f'{" and ".join(spec.tasks)} alone takes as long as all tasks: {error}')


def outputs_only(raw: RawOutputs, spec: ModelSpec) -> RawOutputs:
    """Return only the outputs of a model of `spec`."""
    names = output_names(spec)
    return replace(raw, **{name: None for name in vars(raw) if name not in names})
