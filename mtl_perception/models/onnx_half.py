"""Conversion of an exported graph to half precision (FP16), except where that is too imprecise."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import onnx
from onnx import helper, numpy_helper, shape_inference, TensorProto

from mtl_perception.models.onnx_graph import drop_unused

_WIDE = ('LpNormalization', 'Pow', 'ReduceL2', 'ReduceSum', 'ReduceSumSquare')
"""Operators that stay in FP32: sums of squares over channels exceed FP16's maximum, 65504."""

_ALWAYS_FLOAT = {'Resize': (1, 2)}
"""Operator -> inputs that ONNX requires in FP32: region and scales."""


def to_half(model: onnx.ModelProto) -> None:
    """
    Convert `model` to FP16 up to the last convolution of each branch.

    The rest, a small part of the work, stays in FP32: it decodes boxes in pixels, where the
    resolution of FP16 is half a pixel from 512 on and a pixel from 1024 on, and sorts scores.
    Inputs and outputs of the graph do not change; weights are rounded to nearest.
    """
    shaped = shape_inference.infer_shapes(model, strict_mode=True)
    graph = model.graph
    halves = _half_nodes(graph)
    dtypes = {value.name: value.type.tensor_type.elem_type
              for value in (*shaped.graph.value_info, *shaped.graph.input, *shaped.graph.output)}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    dtypes |= {name: tensor.data_type for name, tensor in constants.items()}
    # The data type of each value, and its converted forms by name and data type.
    forms: dict[tuple[str, int], str] = {}
    nodes: list[onnx.NodeProto] = []

    def form_of(name: str, dtype: int) -> str:
        """Return the name of the value `name` in `dtype`, adding a cast or a rounded copy."""
        if dtypes[name] == dtype:
            return name
        key = name, dtype
        if key not in forms:
            forms[key] = f'{name}.{"half" if dtype == TensorProto.FLOAT16 else "float"}'
            if name in constants:
                values = numpy_helper.to_array(constants[name]).astype(np.float16)
                graph.initializer.append(numpy_helper.from_array(values, forms[key]))
            else:
                nodes.append(helper.make_node('Cast', [name], [forms[key]], f'{forms[key]}.cast',
                                              to=dtype))
        return forms[key]

    for node in graph.node:
        is_half = node.name in halves
        wanted = TensorProto.FLOAT16 if is_half else TensorProto.FLOAT
        for place, name in enumerate(node.input):
            if dtypes.get(name) in (TensorProto.FLOAT, TensorProto.FLOAT16) \
                    and place not in _ALWAYS_FLOAT.get(node.op_type, ()):
                node.input[place] = form_of(name, wanted)
        if is_half:
            for attribute in node.attribute:
                if node.op_type == 'Cast' and attribute.i == TensorProto.FLOAT:
                    attribute.i = TensorProto.FLOAT16
            dtypes |= {name: TensorProto.FLOAT16 for name in node.output
                       if dtypes[name] == TensorProto.FLOAT}
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    drop_unused(model)
    # The exporter's types of intermediate values no longer apply; they are inferred again.
    del graph.value_info[:]
    graph.value_info.extend(shape_inference.infer_shapes(model, strict_mode=True).graph.value_info)


def _half_nodes(graph: onnx.GraphProto) -> set[str]:
    """Return the names of convolutions and all nodes before one, except `_WIDE` ones."""
    readers: dict[str, list[str]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node.name)
    leading: set[str] = set()
    for node in reversed(graph.node):
        if node.op_type == 'Conv' or any(
                reader in leading for name in node.output for reader in readers[name]):
            leading.add(node.name)
    return {node.name for node in graph.node
            if node.name in leading and node.op_type not in _WIDE}
