"""Statistics of the images' stamps: age, rate, missing and invalid ones."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

FUTURE = 0.05
"""Seconds that a stamp may be ahead of our clock: synchronised hosts differ by less."""

PAST = 60.0
"""Seconds behind our clock from which a stamp is considered to be of another clock."""

_FEWEST = 10
"""Intervals that a rate needs."""

_TYPICAL = 25
"""
Percentile of the intervals that is taken for the publisher's: up to three of four images may be
missing, while a publisher whose intervals vary by less than half is not accused.
"""


@dataclass(frozen=True)
class StampReport:
    """The stamps of the images so far and, for rates, of the latest ones."""

    unset: int
    """Images with the stamp zero."""
    ahead: int
    """Images with a stamp of the future."""
    behind: int
    """Images with a stamp of so long ago that it is of another clock."""
    backwards: int
    """Images with a stamp before that of the image before."""
    trouble: str
    """What is wrong with the latest stamp and what to do; empty: nothing."""
    rate: float | None
    """Images per second that the publisher stamps; None: too few stamps."""
    missing: int
    """Images that lack between the latest stamps, `expected` of them."""
    expected: int


class StampMonitor:
    """
    Checks the stamp of each image as it arrives. Not for several threads.

    An image is processed whatever its stamp is, and its results carry that stamp unchanged. A
    stamp that is zero, of the future or of another clock gives no age, and is counted. One that
    goes backwards (a bag that begins again, a clock that was set) begins the rate anew.
    """

    def __init__(self, latest: int = 300) -> None:
        """Compute rates over the `latest` images."""
        self._stamps: deque[int] = deque(maxlen=latest)
        self._unset = self._ahead = self._behind = self._backwards = 0
        self._trouble = ''

    def age(self, stamp: int, now: int) -> float | None:
        """
        Return the seconds from an image's stamp to now; None where the stamp is unusable.

        Both in nanoseconds of the node's clock; `now` is 0 where that clock does not run.
        """
        self._trouble = ''
        if stamp == 0:
            self._unset += 1
            self._trouble = 'stamps are zero: the publisher sets none'
            return None
        if self._stamps and stamp < self._stamps[-1]:
            self._backwards += 1
            self._stamps.clear()
        self._stamps.append(stamp)
        if now == 0:
            return None
        age = (now - stamp) / 1e9
        if age < -FUTURE:
            self._ahead += 1
            self._trouble = (
                f'stamps are {-age:.3g} s ahead of the clock of this node: synchronise the clocks '
                'of the hosts')
            return None
        if age > PAST:
            self._behind += 1
            self._trouble = (
                f'stamps are {age:.3g} s behind the clock of this node: for a bag that is played, '
                'set use_sim_time here and publish /clock there')
            return None
        return age

    def interrupt(self) -> None:
        """Treat the next image as the first of a new stream: those between are not missing."""
        self._stamps.clear()

    def report(self) -> StampReport:
        """Return what was seen so far."""
        rate, missing, expected = None, 0, 0
        if len(self._stamps) > _FEWEST:
            intervals = np.diff(np.array(self._stamps, np.int64))
            typical = float(np.percentile(intervals, _TYPICAL))
            if typical > 0:
                rate = 1e9 / typical
                missing = int((np.rint(intervals / typical) - 1).clip(0).sum())
                expected = len(intervals) + missing
        return StampReport(
            self._unset, self._ahead, self._behind, self._backwards, self._trouble, rate,
            missing, expected)
