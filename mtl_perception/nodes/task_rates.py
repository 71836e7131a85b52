"""Upper bounds of how often each task is done."""

from __future__ import annotations

from collections.abc import Collection, Mapping
import math

_PLAY = 0.5
"""
Share of a period by which a frame may come early or late without a loss of rate.

Frames come when the camera sends them, which is rarely when one is due.
"""


class TaskRates:
    """
    Determines for each frame which tasks are due. Not for several threads.

    As in the virtual scheduling algorithm of ITU-T I.371, each frame that is taken moves the time
    of the next by one period, whenever it came itself. So the mean rate is the bound, or the
    camera's where that is lower, also where the one is no multiple of the other. A task that was
    not wanted begins anew: it is due at once.
    """

    def __init__(self) -> None:
        self._next: dict[str, float] = {}
        self._latest: dict[str, float] = {}

    def due(self, wanted: Collection[str], rates: Mapping[str, float],
            now: float) -> frozenset[str]:
        """
        Return those of the `wanted` tasks that are due for a frame at `now` (seconds).

        `rates` are upper bounds in Hz by task; a task without one, or with 0, is always due.
        """
        for task in self._next.keys() - set(wanted):
            del self._next[task], self._latest[task]
        return frozenset(task for task in wanted if self._is_due(task, rates.get(task, 0.0), now))

    def _is_due(self, task: str, rate: float, now: float) -> bool:
        if not rate:
            self._latest[task], self._next[task] = now, math.inf
            return True
        period = 1 / rate
        planned = now
        if task in self._next:
            # What lies further ahead was planned at a lower rate, or without one.
            planned = min(self._next[task], self._latest[task] + (1 + _PLAY) * period)
            if now < max(planned - _PLAY * period, self._latest[task] + _PLAY * period):
                return False
        self._latest[task] = now
        self._next[task] = max(planned, now - _PLAY * period) + period
        return True
