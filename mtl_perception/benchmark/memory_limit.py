"""
The smallest memory limit under which subjects process frames, found by bisection.

The limit is that of a control group (see ``memory_group``) if one can be created: resident memory
of all processes together, including pages of files. Otherwise it is RLIMIT_DATA: private writable
memory allocated by a process, used or not. Two processes then have separate limits, and their sum
is reported. Both limits are set after the start of Python and before a runtime is loaded. Compiled
models are cached by a first run without a limit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import contextlib
from functools import partial
from pathlib import Path
import time
from typing import Any

from mtl_perception.benchmark.memory_group import MemoryGroup, parent_group
from mtl_perception.benchmark.subjects import MULTITASK, Network, PARALLEL, SEQUENTIAL, Subject
from mtl_perception.benchmark.worker_process import WorkerProcess
from mtl_perception.errors import MtlError

FRAMES = 20
"""Number of frames that a subject must process to count as running under a limit."""

TOLERANCE_MIB = 4
TOLERANCE = 0.02
"""Relative tolerance of the limit; the larger of this and `TOLERANCE_MIB` applies."""

CGROUP, RLIMIT_DATA = 'cgroup', 'rlimit_data'

MIB = 1 << 20

_PATIENCE, _LEAST_PATIENCE = 5.0, 15.0
"""Timeout as a multiple of the time without a limit, and in seconds; slower ones are thrashing."""
_DOUBLINGS = 6

_KEYS = {MULTITASK: 'multitask_mib', SEQUENTIAL: 'one_process_mib', PARALLEL: 'two_processes_mib'}

Processes = tuple[tuple[Network, ...], ...]
Say = Callable[[str], object]


class Trials:
    """Runs processes under limits."""

    def __init__(self, frames: Path, parent: Path | None) -> None:
        """
        Use the frames of a .npy file as for ``WorkerProcess.load``.

        `parent` is the parent of new groups; None: the limit is RLIMIT_DATA.
        """
        self._frames = frames
        self._parent = parent
        self._patience: dict[Processes, float] = {}

    @property
    def kind(self) -> str:
        """`CGROUP` or `RLIMIT_DATA`."""
        return CGROUP if self._parent else RLIMIT_DATA

    def peak_mib(self, processes: Processes) -> int:
        """Return the peak resident memory without a limit; MtlError if it does not run."""
        begun = time.monotonic()
        peak = self._run(processes, [None] * len(processes), None, None)
        self._patience[processes] = max(
            _LEAST_PATIENCE, _PATIENCE * (time.monotonic() - begun))
        return -(-peak // MIB)

    def runs(self, processes: Processes, limits_mib: Sequence[int]) -> bool:
        """
        Return whether all processes process the frames; requires an earlier `peak_mib`.

        `limits_mib` is the limit of each process, or a single one for a control group.
        """
        patience = self._patience[processes]
        limits: list[int | None] = [None] * len(processes)
        try:
            if self._parent:
                with MemoryGroup(self._parent, sum(limits_mib) * MIB) as group:
                    self._run(processes, limits, group, patience)
            else:
                limits = [limit * MIB for limit in limits_mib]
                self._run(processes, limits, None, patience)
        except MtlError:
            return False
        return True

    def _run(self, processes: Processes, limits: Sequence[int | None],
             group: MemoryGroup | None, within: float | None) -> int:
        """Return the sum of the peaks in bytes; MtlError if one fails, is killed or slow."""
        waits = {} if within is None else {'within': within}
        with contextlib.ExitStack() as stack:
            workers = [stack.enter_context(WorkerProcess()) for _ in processes]
            for worker, networks, limit in zip(workers, processes, limits, strict=True):
                if group is not None:
                    group.add(worker.pid)
                worker.load(networks, self._frames, limit, **waits)
            for worker in workers:
                worker.ask(FRAMES)
            return sum(worker.answer(**waits).peak_bytes for worker in workers)


def memory_limits(targets: Mapping[str, Sequence[Subject]], frames: Path, say: Say,
                  into: dict[str, Any] | None = None) -> dict[str, Any]:
    """
    Return the smallest limits of the subjects, in the format of 'memory_limit' in the JSON file.

    `targets` maps a runtime and precision, such as 'onnxruntime fp32', to its subjects, of which
    only the multitask, sequential and parallel ones are measured. Values are written into `into`,
    if given, after each target, so that they are kept after an interruption. A target that does
    not run without a limit has 'error' instead. `say` receives the progress.
    """
    result = {} if into is None else into
    trials = Trials(frames, parent_group())
    result |= {'kind': trials.kind, 'frames': FRAMES, 'tolerance_mib': TOLERANCE_MIB,
               'tolerance': TOLERANCE, 'runtimes': {}}
    for name, subjects in targets.items():
        try:
            result['runtimes'][name] = _target(
                name, {item.what: item for item in subjects if item.what in _KEYS}, trials, say)
        except MtlError as error:
            result['runtimes'][name] = {'error': str(error)}
    return result


def smallest(runs: Callable[[int], bool], start: int) -> int | None:
    """
    Return the smallest limit in MiB, within the tolerance, under which `runs` returns True.

    `start` is a first guess from above. The returned limit ran twice. Returns None if no tried
    limit is sufficient.
    """
    low, high = 0, max(start, TOLERANCE_MIB)
    for _ in range(_DOUBLINGS):
        if runs(high):
            break
        low, high = high, 2 * high
    else:
        return None
    while high - low > max(TOLERANCE_MIB, TOLERANCE * high):
        middle = (low + high) // 2
        if runs(middle):
            high = middle
        else:
            low = middle
    # Near the limit, the required memory varies randomly.
    for _ in range(_DOUBLINGS):
        if runs(high):
            return high
        high += max(TOLERANCE_MIB, round(TOLERANCE * high))
    return None


def _target(name: str, subjects: Mapping[str, Subject], trials: Trials, say: Say
            ) -> dict[str, Any]:
    found: dict[str, Any] = dict.fromkeys(_KEYS.values())
    limits: dict[str, list[int]] = {}
    for what, subject in subjects.items():
        parts = _smallest_of(subject, trials)
        if parts is not None:
            limits[what] = parts
            found[_KEYS[what]] = sum(parts)
        say(f'memory limit, {name}, {what}: '
            + (f'{sum(parts)} MiB' if parts else 'does not run under any tried limit'))
    found['shown'] = _shown(subjects, limits, trials)
    return found


def _smallest_of(subject: Subject, trials: Trials) -> list[int] | None:
    """Return the smallest limits: of each process, or a single one for a control group."""
    apart = trials.kind == RLIMIT_DATA
    groups = [(networks,) for networks in subject.processes] if apart else [subject.processes]
    found = []
    for processes in groups:
        start = 3 * trials.peak_mib(processes) // 2
        limit = smallest(partial(_runs_under, trials, processes), start)
        if limit is None:
            return None
        found.append(limit)
    if apart and len(subject.processes) > 1:
        trials.peak_mib(subject.processes)
    return found


def _runs_under(trials: Trials, processes: Processes, limit_mib: int) -> bool:
    return trials.runs(processes, [limit_mib])


def _shown(subjects: Mapping[str, Subject], limits: Mapping[str, list[int]], trials: Trials
           ) -> dict[str, Any] | None:
    """
    Return a limit under which one network runs and two do not, and the result of both under it.

    Both are run under this limit; two processes under RLIMIT_DATA share it in proportion to their
    needs. Returns None if two need no more than one.
    """
    pairs = {what: parts for what, parts in limits.items() if what != MULTITASK}
    if MULTITASK not in limits or not pairs:
        return None
    one, two = sum(limits[MULTITASK]), min(sum(parts) for parts in pairs.values())
    if two - one < 2:
        return None
    limit = (one + two) // 2
    singles = []
    for what, parts in pairs.items():
        total = sum(parts)
        singles.append(trials.runs(subjects[what].processes,
                                   [limit * part // total for part in parts]))
    return {'limit_mib': limit,
            'multitask': trials.runs(subjects[MULTITASK].processes, [limit]),
            'single': any(singles)}
