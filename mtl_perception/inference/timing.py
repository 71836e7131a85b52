"""Interleaved timing of several runtimes on the same image."""

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
"""Runs that are not counted: the first ones compile, allocate memory and raise the CPU clock."""


def startable(path: Path, options: RuntimeOptions, say: Say = silent) -> Iterator[Runtime]:
    """
    Yield the model in all usable runtimes, devices and precisions.

    `options` restrict runtime, device and precision; 'auto' is all of them.
    Raises ModelError if `path` is not a model.
    """
    asked = (options.precision,)
    for choice in dict.fromkeys(replace(choice, needs='', files='')
                                for choice in choices(path, options)):
        started = False
        for precision in PRECISIONS[1:] if options.precision == 'auto' else asked:
            with contextlib.suppress(StartError):
                yield start(choice, path, replace(options, precision=precision), say)
                started = True
        if not started and options.precision == 'auto':  # in the model's precision, such as INT8
            with contextlib.suppress(StartError):
                yield start(choice, path, options, say)


def time_side_by_side(runtimes: Sequence[Runtime], runs: int, batch: int = 1) -> np.ndarray:
    """
    Return the seconds of each run of each runtime: float64 [runtimes, runs].

    Runs are interleaved, so that other load affects all runtimes alike. The image is noise, since
    the time of a network does not depend on the image.
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
