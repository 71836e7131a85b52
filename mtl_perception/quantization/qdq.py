"""
Convolutions in INT8 as pairs of QuantizeLinear and DequantizeLinear (QDQ).

Each runtime replaces the pairs by integer kernels where it has them. The *inputs* of convolutions
are quantised per tensor, and their weights per output channel; both are signed and symmetric (no
zero points), as TensorRT requires. Outputs are not quantised: the same value would be rounded
twice over a range that the activation then clips. Biases stay FP32. With the same ranges and
settings, `onnxruntime.quantization.quantize_static` produces the same for every convolution.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import onnx
from onnx import helper, numpy_helper

from mtl_perception.models.onnx_graph import drop_unused
from mtl_perception.quantization.graph import constant, layers_of
from mtl_perception.quantization.ranges import STEPS

_LEAST_RANGE = 1e-8
"""Scale of a channel whose weights are all 0."""

_ALIKE = 1e-3
"""Share of the codes of two tensors that may differ by 1 if their weights are the same."""


def quantize(model: onnx.ModelProto, ranges: Mapping[str, float],
             floating: Collection[str] = ()) -> onnx.ModelProto:
    """
    Return `model` with its convolutions in INT8, except the nodes named in `floating`.

    `ranges` are those of their inputs; see `measure_ranges`. The metadata is kept.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    layers = {node.name for node in layers_of(graph)} - {*floating}
    nodes: list[onnx.NodeProto] = []
    codes: dict[str, np.ndarray] = {}
    done: dict[str, str] = {}

    def add(name: str, values: np.ndarray) -> str:
        graph.initializer.append(numpy_helper.from_array(values, name))
        return name

    def values_of(name: str) -> str:
        """Return the name of the quantised value `name`; the first call adds the pair."""
        if name not in done:
            parts = (add(f'{name}.scale', np.array(ranges[name] / STEPS, np.float32)),
                     add(f'{name}.zero', np.array(0, np.int8)))
            done[name] = f'{name}.near'
            nodes.extend((
                helper.make_node('QuantizeLinear', [name, *parts], [f'{name}.int8'],
                                 f'{name}.quantize'),
                helper.make_node('DequantizeLinear', [f'{name}.int8', *parts], [done[name]],
                                 f'{name}.dequantize')))
        return done[name]

    def weights_of(name: str) -> str:
        if name not in done:
            weights = constant(graph, name)
            scales, own = quantize_weights(weights)
            twin = next((other for other, known in codes.items() if _alike(known, own)), None)
            if twin is None:
                twin = add(f'{name}.int8', own)
                codes[twin] = own
            done[name] = f'{name}.near'
            nodes.append(helper.make_node(
                'DequantizeLinear',
                [twin, add(f'{name}.scale', scales), add(f'{name}.zero',
                                                         np.zeros(len(scales), np.int8))],
                [done[name]], f'{name}.dequantize', axis=0))
        return done[name]

    for node in graph.node:
        if node.name in layers:
            node.input[0] = values_of(node.input[0])
            node.input[1] = weights_of(node.input[1])
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    drop_unused(result)
    return result


def quantize_weights(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return scales float32 [C] and codes int8 [C, ...] of float `weights` [C, ...]."""
    rows = weights.reshape(len(weights), -1)
    scales = (np.maximum(np.abs(rows).max(axis=1), _LEAST_RANGE) / STEPS).astype(np.float32)
    codes = np.clip(np.round(rows / scales[:, None]), -STEPS, STEPS).astype(np.int8)
    return scales, codes.reshape(weights.shape)


def _alike(first: np.ndarray, second: np.ndarray) -> bool:
    """
    Return whether two tensors of codes have the same weights, except for rounding.

    The towers of `lean` share their weights over the levels of the pyramid. The exporter folds
    each level's batch norm into a copy: this only changes the scale of each output channel, not
    the codes.
    """
    if first.shape != second.shape:
        return False
    gaps = np.abs(first.astype(np.int16) - second)
    return int(gaps.max()) <= 1 and float(gaps.mean()) <= _ALIKE
