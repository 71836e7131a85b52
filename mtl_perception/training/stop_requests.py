"""Ctrl-C and SIGTERM as requests to save and end a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
import signal
from types import FrameType


@contextlib.contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether SIGINT or SIGTERM came; a second one stops at once."""
    stopped = False

    def request(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True
        for old in before:
            signal.signal(old, before[old])

    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ignore_interrupts(worker: int) -> None:
    """
    Keep a worker process running on Ctrl-C, which reaches the whole process group of the shell.

    The training process decides when its workers end.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
