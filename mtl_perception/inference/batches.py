"""Choice of the batch size by a short measurement on this machine."""

from __future__ import annotations

from collections.abc import Callable
import time

import numpy as np

from mtl_perception.inference.runtime import MAX_BATCH, Runtime

_SECONDS = 0.25
"""Time for measuring one size; a run that takes longer is measured once more."""

_WORTH = 1.05
"""Required gain of a larger batch, in which each image waits for all others."""


def choose_batch(runtime: Runtime, open_for: Callable[[int], Runtime], most: int = MAX_BATCH,
                 ) -> tuple[Runtime, dict[int, float]]:
    """
    Return the runtime for the batch size with the best rate, and images/s by batch size.

    `runtime` is open; `open_for` opens the same model for a batch of this size, if `runtime`
    supports fewer images at once. 1, 2, 4, ... and `most` are tried until one is no better than
    the previous one. The best size is the last key of the result; the runtime may support a larger
    one.
    """
    rates = {1: _rate(runtime, 1)}
    best = runtime
    for size in sizes(most):
        candidate = best if best.batch >= size else open_for(size)
        rate = _rate(candidate, size)
        if rate < _WORTH * max(rates.values()):
            break
        rates[size], best = rate, candidate
    return best, rates


def sizes(most: int) -> list[int]:
    """Return the batch sizes above 1 to try."""
    powers = [size for size in (2, 4, 8, 16) if size < most]
    return [*powers, most] if most > 1 else []


def _rate(runtime: Runtime, size: int) -> float:
    """Return the images per second of runs of `size` images, by the median run."""
    width, height = runtime.spec.input_size
    # Not grey images, since the time of some networks depends on the number of candidates.
    images = np.random.default_rng(0).integers(0, 256, (size, height, width, 3), np.uint8)
    runtime.run(images)  # the first one is slow
    seconds: list[float] = []
    while len(seconds) < 2 or sum(seconds) < _SECONDS:
        begin = time.perf_counter()
        runtime.run(images)
        seconds.append(time.perf_counter() - begin)
    return size / float(np.median(seconds))
