"""Access to a graph for quantisation: its convolutions, their names and intermediate values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper, TensorProto
import onnxruntime

from mtl_perception.errors import ModelError, one_line
from mtl_perception.graph_contract import INPUT

_FATAL_ONLY = 4


def layers_of(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the convolutions whose weights are constants in FP32, in the graph's order."""
    constants = {tensor.name for tensor in graph.initializer
                 if tensor.data_type == TensorProto.FLOAT}
    return [node for node in graph.node if node.op_type == 'Conv' and node.input[1] in constants]


def constant(graph: onnx.GraphProto, name: str) -> np.ndarray:
    """Return the values of the constant `name`."""
    return numpy_helper.to_array(next(
        tensor for tensor in graph.initializer if tensor.name == name))


def layer_name(node: onnx.NodeProto) -> str:
    """Return the displayed name of a convolution: that of its weights."""
    return f'{node.input[1].removesuffix(".weight")} ({node.name})'


def heads_of(graph: onnx.GraphProto) -> dict[tuple[str, ...], list[str]]:
    """
    Return the outputs of the last convolutions of each branch, by graph outputs.

    The keys are the graph's outputs that depend on them: boxes alone, boxes with scores and
    classes, or the label map.
    """
    readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node)
    outputs = [value.name for value in graph.output]
    # For each value: whether a convolution depends on it, and which outputs of the graph do.
    below: dict[str, tuple[bool, set[str]]] = {}
    for node in reversed(graph.node):
        for name in node.output:
            leads, found = False, {name} & {*outputs}
            for reader in readers[name]:
                leads |= reader.op_type == 'Conv'
                for result in reader.output:
                    leads |= below[result][0]
                    found |= below[result][1]
            below[name] = leads, found
    heads: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for node in graph.node:
        if node.op_type == 'Conv' and not below[node.output[0]][0]:
            decided = below[node.output[0]][1]
            heads[tuple(name for name in outputs if name in decided)].append(node.output[0])
    return dict(heads)


def inner_values(model: onnx.ModelProto, names: Sequence[str],
                 images: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
    """
    Yield for each of `images`, uint8 [N, H, W, 3], the intermediate float values `names`.

    Raises ModelError if ONNX Runtime does not load the model.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    del changed.graph.output[:]
    changed.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = _FATAL_ONLY
    try:
        session = onnxruntime.InferenceSession(
            changed.SerializeToString(), settings, providers=['CPUExecutionProvider'])
    except Exception as error:  # its exceptions have no common base class
        raise ModelError(f'ONNX Runtime cannot load the model ({one_line(error)}); export it '
                         'again') from None
    for image in images:
        yield dict(zip(names, session.run(list(names), {INPUT: image[None]}), strict=True))
