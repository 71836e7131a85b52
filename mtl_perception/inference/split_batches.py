"""Splitting a batch that is larger than a graph supports into several runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import numpy as np

from mtl_perception.graph_contract import RawOutputs


def run_split(run: Callable[[np.ndarray], RawOutputs], images: np.ndarray, most: int,
                 ) -> RawOutputs:
    """
    Return the outputs of `run` for uint8 [B, H, W, 3], passing at most `most` images at once.

    With several runs, the outputs are copied, since `run` may overwrite its own.
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
