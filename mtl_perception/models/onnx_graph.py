"""Simplifications of an exported graph: constant folding, batch norms and names of nodes."""

from __future__ import annotations

from collections import Counter
import re

import numpy as np
import onnx
from onnx import numpy_helper
from onnxscript import optimizer

MAX_CONSTANT = 1 << 24
"""Largest precomputed constant, in values: all default boxes of a large input."""

_SCOPES = 'pkg.torch.onnx.name_scopes'
"""Key of the exporter's metadata with the modules of a node, outermost first."""
_NETWORK, _NORMALIZE = 'network', 'normalize'
"""Modules of ``DeployableGraph``."""

_DEFAULT_EPSILON = 1e-5
"""Default of ONNX's operator BatchNormalization."""


def fold(model: onnx.ModelProto) -> None:
    """Precompute the constants of `model` and fold batch norms into its convolutions."""
    optimizer.fold_constants(
        model, input_size_limit=MAX_CONSTANT, output_size_limit=MAX_CONSTANT)
    fold_batch_norms(model)
    drop_unused(model)


def fold_batch_norms(model: onnx.ModelProto) -> None:
    """
    Fold each batch norm after a convolution into its weights and bias.

    A convolution's weights may be shared by several batch norms (`lean` has a separate batch norm
    for each level of the pyramid): each then gets a copy.
    """
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    uses = Counter(name for node in graph.node for name in node.input)
    uses.update(value.name for value in graph.output)
    makers = {name: node for node in graph.node for name in node.output}
    for norm in [node for node in graph.node if node.op_type == 'BatchNormalization']:
        convolution = makers.get(norm.input[0])
        if convolution is None or convolution.op_type != 'Conv' or uses[norm.input[0]] > 1 \
                or not all(name in constants for name in (*convolution.input[1:],
                                                          *norm.input[1:])):
            continue
        scale, shift, mean, variance = (
            numpy_helper.to_array(constants[name]).astype(np.float64) for name in norm.input[1:])
        epsilon = next((attribute.f for attribute in norm.attribute
                        if attribute.name == 'epsilon'), _DEFAULT_EPSILON)
        factor = scale / np.sqrt(variance + epsilon)
        weight, *bias = (numpy_helper.to_array(constants[name]) for name in convolution.input[1:])
        offset = bias[0].astype(np.float64) if bias else 0.0
        names = [f'{norm.output[0]}.{part}' for part in ('weight', 'bias')]
        values = (weight * factor[:, None, None, None], shift + (offset - mean) * factor)
        for name, value in zip(names, values, strict=True):
            graph.initializer.append(numpy_helper.from_array(value.astype(weight.dtype), name))
        convolution.input[1:] = names
        convolution.output[0] = norm.output[0]
        graph.node.remove(norm)


def name_parts(model: onnx.ModelProto) -> None:
    """
    Prefix the names of nodes and their outputs with their part of the network.

    A runtime's profile can then be read by part: `backbone/relu_3`. Parts are the network's direct
    children, `normalization`, `decoding` of boxes and `label_map`. The modules of nodes are known
    from the exporter's metadata; call this before it is removed.
    """
    graph = model.graph
    kept = {value.name for value in (*graph.input, *graph.output)}
    parts: dict[str, str] = {}
    of_labels = _needed_by_label_map_alone(graph)
    for node in graph.node:
        part = _part(node) or ('label_map' if node.output[0] in of_labels else 'decoding')
        node.name = f'{part}/{node.name}'
        parts.update(dict.fromkeys(filter(None, node.output), part))
    new = {name: name if name in kept else f'{part}/{name}' for name, part in parts.items()}
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [new.get(name, name) for name in names]
    for value in graph.value_info:
        value.name = new.get(value.name, value.name)


def _part(node: onnx.NodeProto) -> str:
    """Return the part to which `node` belongs; '' for nodes after the heads."""
    notes = {item.key: item.value for item in node.metadata_props}
    scopes = re.findall(r"'([^']*)'", notes.get(_SCOPES, ''))
    modules = [scope.split('.') for scope in scopes if scope.startswith(f'{_NETWORK}.')]
    if modules:
        return modules[0][1]
    return 'normalization' if _NORMALIZE in scopes else ''


def _needed_by_label_map_alone(graph: onnx.GraphProto) -> set[str]:
    """Return the values that only the label map needs."""
    needed: dict[str, set[str]] = {value.name: set() for value in graph.output}
    for name in needed:
        wanted = {name}
        for node in reversed(graph.node):
            if not wanted.isdisjoint(node.output):
                wanted.update(node.input)
        needed[name] = wanted
    of_labels = needed.pop('label_map', set())
    return of_labels.difference(*needed.values())


def drop_unused(model: onnx.ModelProto) -> None:
    """Remove unused constants, and the descriptions of values that no node computes."""
    graph = model.graph
    used = {name for node in graph.node for name in (*node.input, *node.output)}
    for values in (graph.initializer, graph.value_info):
        kept = [value for value in values if value.name in used]
        del values[:]
        values.extend(kept)


def forget_sources(model: onnx.ModelProto) -> None:
    """Remove the exporter's metadata of nodes: stack traces with paths of this machine."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ''
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output,
                  *model.graph.initializer):
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
