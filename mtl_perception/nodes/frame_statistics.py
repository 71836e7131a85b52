"""What happened to the frames: counts by fate, rates, and how long each stage took."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
import math
import threading
import time

import numpy as np

STAGES = ('age', 'wait', 'preprocess', 'run', 'postprocess', 'publish', 'total')
"""
Stages of a frame's way. `age` is from the image's stamp to its arrival in the node, `wait` until
work on it began, `total` from arrival to the last publication. `preprocess` includes making sense
of the message, `run` is the runtime's time alone.
"""

PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class StageTimes:
    """Seconds that one frame spent in each stage; `age` is None where its stamp is unusable."""

    age: float | None
    wait: float
    preprocess: float
    run: float
    postprocess: float
    publish: float

    @property
    def total(self) -> float:
        return self.wait + self.preprocess + self.run + self.postprocess + self.publish


@dataclass(frozen=True)
class Summary:
    """The statistics at one moment: totals since the start, the rest over the last window."""

    received: int
    processed: int
    dropped: dict[str, int]
    """Frames that were received but not processed, by cause."""
    rate_in: float
    """Images per second."""
    rate_out: float
    silence: float | None
    """Seconds since the last image; None: there was none yet."""
    percentiles: dict[str, tuple[float, ...]]
    """Seconds by stage, one for each of `PERCENTILES`; a stage without frames is absent."""


class FrameStatistics:
    """Counts and times of frames; any thread may report, any may ask."""

    def __init__(self, window: float = 10.0, most: int = 2000) -> None:
        """Keep the times of the last `window` seconds, of at most `most` frames."""
        self._window = window
        self._lock = threading.Lock()
        self._received = 0
        self._processed = 0
        self._dropped: Counter[str] = Counter()
        self._arrivals: deque[float] = deque(maxlen=most)
        self._times: deque[tuple[float, StageTimes]] = deque(maxlen=most)
        self._begin = time.monotonic()
        self._last: float | None = None

    def receive(self) -> None:
        """Count a received image."""
        now = time.monotonic()
        with self._lock:
            self._received += 1
            self._last = now
            self._arrivals.append(now)

    def silence(self) -> float:
        """Return the seconds since the last image; infinite: there was none yet."""
        with self._lock:
            return math.inf if self._last is None else time.monotonic() - self._last

    def drop(self, cause: str) -> None:
        """Count a received image that will not be processed."""
        with self._lock:
            self._dropped[cause] += 1

    def process(self, times: StageTimes) -> None:
        """Count an image whose results are published."""
        now = time.monotonic()
        with self._lock:
            self._processed += 1
            self._times.append((now, times))

    def summary(self) -> Summary:
        """Return the statistics of now."""
        now = time.monotonic()
        with self._lock:
            since = now - self._window
            for entries in (self._arrivals, self._times):
                while entries and _moment(entries[0]) < since:
                    entries.popleft()
            arrivals = len(self._arrivals)
            times = [entry for _, entry in self._times]
            span = min(self._window, max(now - self._begin, 1e-3))
            # A full deque reaches back less far than the window.
            if arrivals == self._arrivals.maxlen:
                span = max(now - self._arrivals[0], 1e-3)
            return Summary(
                received=self._received, processed=self._processed, dropped=dict(self._dropped),
                rate_in=arrivals / span, rate_out=len(times) / span,
                silence=None if self._last is None else now - self._last,
                percentiles=_percentiles(times))


def _moment(entry: float | tuple[float, StageTimes]) -> float:
    return entry if isinstance(entry, float) else entry[0]


def _percentiles(times: list[StageTimes]) -> dict[str, tuple[float, ...]]:
    result = {}
    for stage in STAGES:
        values = [value for entry in times if (value := getattr(entry, stage)) is not None]
        if values:
            result[stage] = tuple(np.percentile(values, PERCENTILES).tolist())
    return result
