"""How many images to give to a network at once, by a short measurement on this machine."""

from __future__ import annotations

from collections.abc import Callable
import time

import numpy as np

from mtl_perception.inference.runtime import MAX_BATCH, Runtime

_SECONDS = 0.25
"""Time of the measurement of one size; a run that takes longer is measured once more."""

_WORTH = 1.05
"""How much better the rate of a larger batch must be: each image in it waits for all others."""


def choose_batch(runtime: Runtime, open_for: Callable[[int], Runtime], most: int = MAX_BATCH,
                 ) -> tuple[Runtime, dict[int, float]]:
    """
    Return the runtime of the batch that gives the best rate, and images/s by size of batch.

    `runtime` is open; `open_for` opens the same model for a batch of this size, where `runtime`
    takes fewer images at once. 1, 2, 4, ... and `most` are tried, until one is no better than the
    one before. The best size is the last key of the result; that of the runtime may be larger.
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
    """Return the sizes of batches above 1 that are worth a trial."""
    powers = [size for size in (2, 4, 8, 16) if size < most]
    return [*powers, most] if most > 1 else []


def _rate(runtime: Runtime, size: int) -> float:
    """Return the images per second of runs of `size` images, by the median run."""
    width, height = runtime.spec.input_size
    # Grey would do but for networks whose number of candidates takes time.
    images = np.random.default_rng(0).integers(0, 256, (size, height, width, 3), np.uint8)
    runtime.run(images)  # the first one is slow
    seconds: list[float] = []
    while len(seconds) < 2 or sum(seconds) < _SECONDS:
        begin = time.perf_counter()
        runtime.run(images)
        seconds.append(time.perf_counter() - begin)
    return size / float(np.median(seconds))
