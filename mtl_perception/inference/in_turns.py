"""A batch larger than a graph takes at once, in several runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import numpy as np

from mtl_perception.graph_contract import RawOutputs


def run_in_turns(run: Callable[[np.ndarray], RawOutputs], images: np.ndarray, most: int,
                 ) -> RawOutputs:
    """
    Return what `run` makes of uint8 [B, H, W, 3], of which it gets at most `most` images at once.

    Where it takes several runs, the outputs are copies, so `run` may write over its own.
    """
    if len(images) <= most:
        return run(images)
    results: dict[str, list[np.ndarray]] = {}
    for first in range(0, len(images), most):
        outputs = run(images[first:first + most])
        for field in fields(outputs):
            value = getattr(outputs, field.name)
            if value is not None:
                results.setdefault(field.name, []).append(value.copy())
    return RawOutputs(**{name: np.concatenate(values) for name, values in results.items()})
