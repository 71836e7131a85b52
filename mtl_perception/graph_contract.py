"""
The contract of the deployable graph: its inputs and outputs, equal in all runtimes.

Input `images`: uint8 [B, H, W, 3] RGB. Outputs: `boxes` float32 [B, K, 4] (x0, y0, x1, y1 in
network pixels, inside the image), `scores` float32 [B, K] and `classes` int32 [B, K], best first;
`label_map` uint8 [B, ceil(H / label_stride), ceil(W / label_stride)]. A disabled task has no
outputs. B is the only dynamic dimension. K is ``ModelSpec.candidates``, or the number of all
default boxes if a small input has fewer.

The exporter and all runtimes use this definition; it needs neither torch nor a runtime.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mtl_perception.errors import ModelError
from mtl_perception.spec import ModelSpec

INPUT = 'images'

PAD_VALUE = 114
"""Grey level, on all channels, of the input outside the image, in training and deployment."""

BATCH = 'batch'
BOXES = 'boxes'
"""Names of dynamic sizes: the batch, and the list of boxes."""


@dataclass(frozen=True)
class TensorContract:
    """Name, number format and shape of an input or output of the graph."""

    name: str
    dtype: np.dtype
    shape: tuple[int | str, ...]
    """Sizes; dynamic ones are names, and the first is always `BATCH`."""

    def __str__(self) -> str:
        return f'{self.dtype} [{", ".join(map(str, self.shape))}]'


@dataclass(frozen=True, eq=False)
class RawOutputs:
    """
    Outputs of the graph for a batch of B images, coordinates in network pixels.

    The outputs of a task that the model does not have are None.
    """

    boxes: np.ndarray | None = None
    """float32 [B, K, 4]: x0, y0, x1, y1."""
    scores: np.ndarray | None = None
    """float32 [B, K] in 0..1, best first."""
    classes: np.ndarray | None = None
    """int32 [B, K]."""
    label_map: np.ndarray | None = None
    """uint8 [B, h, w], one value for ``ModelSpec.label_stride`` network pixels on each axis."""


def input_of(spec: ModelSpec) -> TensorContract:
    """Return the graph's only input."""
    width, height = spec.input_size
    return TensorContract(INPUT, np.dtype(np.uint8), (BATCH, height, width, 3))


def outputs_of(spec: ModelSpec) -> tuple[TensorContract, ...]:
    """Return the graph's outputs in their order."""
    outputs: tuple[TensorContract, ...] = ()
    if spec.detection:
        outputs += (
            TensorContract('boxes', np.dtype(np.float32), (BATCH, BOXES, 4)),
            TensorContract('scores', np.dtype(np.float32), (BATCH, BOXES)),
            TensorContract('classes', np.dtype(np.int32), (BATCH, BOXES)))
    if spec.segmentation:
        width, height = (-(-side // spec.label_stride) for side in spec.input_size)
        outputs += (
            TensorContract('label_map', np.dtype(np.uint8), (BATCH, height, width)),)
    return outputs


def output_names(spec: ModelSpec) -> tuple[str, ...]:
    """Return the names of the graph's outputs in their order."""
    return tuple(tensor.name for tensor in outputs_of(spec))


def check_batch(images: np.ndarray, spec: ModelSpec) -> None:
    """Raise ValueError if `images` is not an input of the graph: uint8 [B, H, W, 3], B >= 1."""
    expected = input_of(spec)
    if images.dtype != expected.dtype or images.ndim != 4 or len(images) == 0 \
            or images.shape[1:] != expected.shape[1:]:
        raise ValueError(f'images are {images.dtype} {list(images.shape)}, not {expected}')


Found = tuple[Any, Sequence[int | str | None]]
"""A runtime's description of a tensor: its dtype (or the name of one) and its sizes."""


def check_graph(where: object, spec: ModelSpec, inputs: Mapping[str, Found],
                outputs: Mapping[str, Found]) -> None:
    """
    Raise ModelError if `inputs` and `outputs` of a graph do not match its spec.

    A dtype without equivalent in NumPy is given by the runtime's name. A dynamic size is None, a
    name or negative: the batch must be dynamic, others may be. `where` is the path in the error.
    """
    for kind, found, expected in (('inputs', inputs, (input_of(spec),)),
                                  ('outputs', outputs, outputs_of(spec))):
        names = {tensor.name for tensor in expected}
        if set(found) != names:
            raise ModelError(
                f'{where}: the graph\'s {kind} are {", ".join(sorted(found)) or "none"}; its spec '
                f'requires {", ".join(sorted(names))}; export it again with `mtl export`')
        for tensor in expected:
            dtype, shape = found[tensor.name]
            if not (_same(dtype, tensor.dtype) and _fits(shape, tensor.shape)):
                sizes = ', '.join(str(size) if _known(size) else '?' for size in shape)
                raise ModelError(
                    f'{where}: {tensor.name} is {dtype} [{sizes}]; its spec requires {tensor}; '
                    f'export it again with `mtl export`')


def _same(found: Any, expected: np.dtype) -> bool:
    try:
        return np.dtype(found) == expected
    except TypeError:
        return False


def _known(size: int | str | None) -> bool:
    return isinstance(size, int) and size >= 0


def _fits(found: Sequence[int | str | None], expected: tuple[int | str, ...]) -> bool:
    """Return whether the static sizes are as expected."""
    return len(found) == len(expected) and not _known(found[0]) and all(
        size == want for size, want in zip(found[1:], expected[1:], strict=True)
        if _known(size) and isinstance(want, int))
