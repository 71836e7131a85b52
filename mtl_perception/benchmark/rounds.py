"""
Interleaved measurement of subjects, so that other load affects all of them alike.

In each round, each subject processes a few frames, in rotating order. Processes stay open between
rounds and sleep while others run, so the first frame of a turn, with cold caches, is not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import contextlib
from dataclasses import dataclass, field
from pathlib import Path
import time
from types import TracebackType
from typing import Any

import numpy as np

from mtl_perception.benchmark.subjects import Network, Subject
from mtl_perception.benchmark.worker_process import Facts, Turn, WorkerProcess

MIN_ROUNDS = 3
"""Minimum number of rounds, regardless of their time."""

_FIRST_WARM_UPS = 3
"""Frames of each subject before the first round, which compile, allocate and raise the clock."""


@dataclass(frozen=True)
class Effort:
    """Extent of a measurement."""

    rounds: int
    """Maximum number of rounds."""
    frames: int
    """Counted frames of each subject in a round."""
    seconds: float
    """Time after which no round starts, except for the first `MIN_ROUNDS`."""
    warm_up: int = 1
    """Frames of each subject before these, which are not counted."""


@dataclass
class Samples:
    """Measurements of a subject."""

    subject: Subject
    facts: tuple[Facts, ...]
    """Facts of each of its processes."""
    seconds: list[np.ndarray] = field(default_factory=list)
    """For each round float64 [frames]: seconds from decoded frame to the last network's result."""
    stages: dict[str, list[np.ndarray]] = field(default_factory=dict)
    """'preprocess', 'network', 'postprocess' -> as `seconds`."""
    peak_bytes: tuple[int, ...] = ()
    """Peak resident memory of each of its processes."""

    def add(self, turn: Turn, peaks: tuple[int, ...]) -> None:
        """Add the frames of a round."""
        self.seconds.append(turn.seconds)
        for name, values in turn.stages.items():
            self.stages.setdefault(name, []).append(values)
        self.peak_bytes = peaks


class Group:
    """Subjects whose processes run at the same time; they end with the `with` block."""

    def __init__(self) -> None:
        """Start without subjects."""
        self.samples: dict[str, Samples] = {}
        """Subject's name -> measurements so far; after an error, those of complete rounds."""
        self._stack = contextlib.ExitStack()
        self._workers: dict[tuple[Network, ...], tuple[WorkerProcess, Facts]] = {}

    def __enter__(self) -> Group:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._stack.close()

    @property
    def pids(self) -> list[int]:
        """Process ids of all processes."""
        return [worker.pid for worker, _ in self._workers.values()]

    def add(self, subject: Subject, frames: Path) -> Samples:
        """
        Open the subject's networks in new processes, or reuse processes with the same networks.

        Raises MtlError as ``WorkerProcess.load``.
        """
        facts = []
        for networks in subject.processes:
            if networks not in self._workers:
                worker = self._stack.enter_context(WorkerProcess())
                self._workers[networks] = worker, worker.load(networks, frames)
            facts.append(self._workers[networks][1])
        self.samples[subject.name] = Samples(subject, tuple(facts))
        return self.samples[subject.name]

    def measure(self, effort: Effort, after_round: Callable[[int], object] = lambda _: None
                ) -> None:
        """
        Run rounds until there are enough; `after_round` receives their number.

        Raises MtlError if a process fails.
        """
        subjects = [item.subject for item in self.samples.values()]
        for subject in subjects:
            self._ask(subject, 1, _FIRST_WARM_UPS)
        begun = time.monotonic()
        for number in range(effort.rounds):
            if number >= MIN_ROUNDS and time.monotonic() - begun > effort.seconds:
                break
            start = number % len(subjects)
            turns = {subject.name: self._ask(subject, effort.frames, effort.warm_up)
                     for subject in subjects[start:] + subjects[:start]}
            # Complete rounds only, since ratios are computed within them.
            for name, (turn, peaks) in turns.items():
                self.samples[name].add(turn, peaks)
            after_round(number + 1)

    def _ask(self, subject: Subject, frames: int, warm_up: int) -> tuple[Turn, tuple[int, ...]]:
        workers = [self._workers[networks][0] for networks in subject.processes]
        if len(workers) == 1:
            turn = workers[0].run(frames, warm_up)
            return turn, (turn.peak_bytes,)
        return _in_step(workers, frames, warm_up)


def _in_step(workers: Sequence[WorkerProcess], frames: int, warm_up: int
             ) -> tuple[Turn, tuple[int, ...]]:
    """
    Run several processes on each frame at once, in step, as with frames of a camera.

    The time of a frame is measured from the start of the first process to the end of the last one;
    then the next frame follows. All processes use the same clock, so the time for requests only
    counts as far as processes receive them one after the other (tens of microseconds). The stages
    are those of the process that finished last.
    """
    rows: list[tuple[float, float, dict[str, float]]] = []
    turns: list[Turn] = []
    for index in range(-warm_up, frames):
        for worker in workers:
            worker.ask(1)
        turns = [worker.answer() for worker in workers]
        last = max(turns, key=lambda turn: float(turn.ends[0]))
        if index >= 0:
            rows.append((min(float(turn.begins[0]) for turn in turns), float(last.ends[0]),
                         {name: float(values[0]) for name, values in last.stages.items()}))
    stages = {name: np.array([row[2][name] for row in rows]) for name in rows[0][2]}
    return (Turn(np.array([row[0] for row in rows]), np.array([row[1] for row in rows]), stages,
                 sum(turn.peak_bytes for turn in turns),
                 sum(turn.cpu_seconds for turn in turns)),
            tuple(turn.peak_bytes for turn in turns))


def facts_of(samples: Samples) -> list[dict[str, Any]]:
    """Return the runtime of each network of the subject; see ``worker.Ready``."""
    return [network for facts in samples.facts for network in facts.networks]
