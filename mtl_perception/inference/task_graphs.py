"""A model's graph, and those of some of its tasks, which compute nothing for the others."""

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
    """A graph that is loaded."""

    def run(self, images: np.ndarray) -> RawOutputs:
        """Return all outputs for `images`; see ``Runtime.run``."""


class TaskGraphs:
    """
    Runs the graph of the tasks that are asked for.

    That of the whole model is there from the start. One of some tasks is made, by a thread, when
    it is first asked for, and kept: until then, and where it cannot be made, the whole one runs in
    its place, so that no image waits.
    """

    def __init__(self, spec: ModelSpec, whole: Graph, make: Callable[[ModelSpec], Graph],
                 say: Say) -> None:
        """Take the model's graph; `make` loads that of a spec with some of the tasks."""
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
        """Wait until the graphs that were asked for are there."""
        for thread in self._threads.values():
            thread.join()

    def _add(self, spec: ModelSpec) -> None:
        try:
            self._parts[spec.tasks] = self._make(spec)
            give_back_freed_memory()
        except MtlError as error:
            self._say(f'{" and ".join(spec.tasks)} costs as much alone as all tasks do: {error}')


def outputs_only(raw: RawOutputs, spec: ModelSpec) -> RawOutputs:
    """Return those outputs that a model of `spec` has."""
    names = output_names(spec)
    return replace(raw, **{name: None for name in vars(raw) if name not in names})
