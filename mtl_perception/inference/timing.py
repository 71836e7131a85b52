"""How long runtimes take for the same image, measured side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import contextlib
from dataclasses import replace
from pathlib import Path
import time

import numpy as np

from mtl_perception.errors import StartError
from mtl_perception.inference.registry import choices, start
from mtl_perception.inference.runtime import PRECISIONS, Runtime, RuntimeOptions, Say, silent

WARM_UPS = 3
"""Runs that are not counted: the first ones compile, ask for memory and wake the cores."""


def startable(path: Path, options: RuntimeOptions, say: Say = silent) -> Iterator[Runtime]:
    """
    Yield the model in every runtime, on every device and in every precision that starts here.

    `options` restrict runtime, device and precision; 'auto' is all of them.
    Raises ModelError where `path` is not a model.
    """
    asked = (options.precision,)
    for choice in dict.fromkeys(replace(choice, needs='', files='')
                                for choice in choices(path, options)):
        started = False
        for precision in PRECISIONS[1:] if options.precision == 'auto' else asked:
            with contextlib.suppress(StartError):
                yield start(choice, path, replace(options, precision=precision), say)
                started = True
        if not started and options.precision == 'auto':  # in the model's own, such as INT8
            with contextlib.suppress(StartError):
                yield start(choice, path, options, say)


def time_side_by_side(runtimes: Sequence[Runtime], runs: int, batch: int = 1) -> np.ndarray:
    """
    Return the seconds of each run of each runtime: float64 [runtimes, runs].

    They take turns, so that whatever else the machine does meets all of them. The image is
    noise: how long a network takes does not depend on what it sees.
    """
    random = np.random.default_rng(0)
    sizes = [runtime.spec.input_size for runtime in runtimes]
    images = [random.integers(0, 256, (batch, height, width, 3), np.uint8)
              for width, height in sizes]
    seconds = np.empty((len(runtimes), runs))
    for turn in range(-WARM_UPS, runs):
        for index, runtime in enumerate(runtimes):
            begun = time.perf_counter()
            runtime.run(images[index])
            if turn >= 0:
                seconds[index, turn] = time.perf_counter() - begun
    return seconds
