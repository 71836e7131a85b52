"""
The nodes of an ONNX graph: names, inputs and outputs.

They are read without the package `onnx`, whose checker rejects the operators that ONNX Runtime
inserts into an optimised graph. Field numbers are those of ``onnx.proto``
(https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from mtl_perception.errors import ModelError
from mtl_perception.inference.protobuf import BrokenError, fields_of, span_of, text_of

_MODEL_GRAPH, _GRAPH_NODE = 7, 1
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME = 1, 2, 3


class Node(NamedTuple):
    """A node of a graph; omitted inputs and outputs are ''."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def read_nodes(path: Path) -> list[Node]:
    """Return the nodes of an ONNX file's graph in their order; ModelError if it is broken."""
    try:
        data = path.read_bytes()
        return [_node(data, span_of(node))
                for number, graph in fields_of(data, (0, len(data))) if number == _MODEL_GRAPH
                for part, node in fields_of(data, span_of(graph)) if part == _GRAPH_NODE]
    except (BrokenError, OSError) as error:
        raise ModelError(f'{path}: cannot be read ({error})') from None


def _node(data: bytes, span: tuple[int, int]) -> Node:
    name, inputs, outputs = '', [], []
    for number, value in fields_of(data, span):
        if number == _NODE_INPUT:
            inputs.append(text_of(data, value))
        elif number == _NODE_OUTPUT:
            outputs.append(text_of(data, value))
        elif number == _NODE_NAME:
            name = text_of(data, value)
    return Node(name, tuple(inputs), tuple(outputs))
