"""
Confidence intervals of times and of their ratios, by bootstrap over rounds.

Within a round, all subjects run within seconds of each other under the same conditions, so rounds
are drawn with replacement (B. Efron, Bootstrap Methods, 1979; percentile intervals), and ratios
are computed within a round. The intervals do not cover other machines or days.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
SAMPLES = 2000
_SEED = 0


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval."""

    median: float
    low: float
    high: float

    @classmethod
    def exact(cls, value: float) -> Interval:
        """Return a value without uncertainty, such as a count."""
        return cls(value, value, value)

    def to_dict(self) -> dict[str, float]:
        """Return plain values."""
        return {'median': self.median, 'low': self.low, 'high': self.high}


@dataclass(frozen=True)
class Spread(Interval):
    """The times of a subject."""

    p95: float
    """95th percentile of all frames."""

    def to_dict(self) -> dict[str, float]:
        """Return plain values."""
        return {**super().to_dict(), 'p95': self.p95}


def spread(rounds: Sequence[np.ndarray]) -> Spread:
    """
    Return median, interval and 95th percentile of times, float64 [frames] of each round.

    The median is that of the rounds' medians. Raises ValueError if there is no round.
    """
    found = _bootstrap(medians(rounds), np.median)
    return Spread(found.median, found.low, found.high,
                  float(np.percentile(np.concatenate(rounds), 95)))


def ratio(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> Interval | None:
    """
    Return the ratio of the times of `first` to those of `second`, paired by round.

    Both are as in `spread`; unpaired rounds are ignored. Returns None if there is no common round.
    """
    count = min(len(first), len(second))
    if not count:
        return None
    return _bootstrap(medians(first[:count]) / medians(second[:count]), np.median)


def medians(rounds: Sequence[np.ndarray]) -> np.ndarray:
    """Return the median of each round, float64 [rounds]."""
    return np.array([np.median(times) for times in rounds])


def _bootstrap(values: np.ndarray, statistic: Callable[..., np.ndarray]) -> Interval:
    """Return the `statistic` of `values` [rounds] and its interval; it has an argument `axis`."""
    if not len(values):
        raise ValueError('no rounds')
    drawn = np.random.default_rng(_SEED).integers(0, len(values), (SAMPLES, len(values)))
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(statistic(values[drawn], axis=1), (tail, 100 - tail))
    return Interval(float(statistic(values)), float(low), float(high))
