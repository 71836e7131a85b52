"""Parsing an ONNX file into a TensorRT network; importing this needs no TensorRT."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TYPE_CHECKING

from mtl_perception.errors import one_line, StartError
from mtl_perception.extras import remedy
from mtl_perception.graph_contract import check_graph, Found
from mtl_perception.inference.onnx_file import read_onnx_header
from mtl_perception.inference.trt.flavour import installed
from mtl_perception.spec import ModelSpec

if TYPE_CHECKING:
    import tensorrt as trt

_DTYPES = {'FLOAT': 'float32', 'HALF': 'float16', 'BF16': 'bfloat16', 'UINT8': 'uint8',
           'INT8': 'int8', 'INT32': 'int32', 'INT64': 'int64', 'BOOL': 'bool'}
"""Names of trt.DataType -> of NumPy."""

_REASONS = 3


def check_parses(path: Path) -> str | None:
    """
    Return the TensorRT that parses the ONNX file `path`, such as 'RTX 1.7.1'; needs no GPU.

    Returns None if no TensorRT is installed, or if it does not start without a GPU. Raises
    StartError with the reasons in one line if TensorRT rejects the file, ModelError if the file is
    not a model of this package or violates its contract.
    """
    header = read_onnx_header(path)
    if not installed():
        return None
    try:
        from mtl_perception.inference.trt.library import FLAVOUR, new_builder
        builder = new_builder()
    except StartError:
        return None
    parse(builder, path.read_bytes(), header.spec, path)
    return str(FLAVOUR)


def tensorrt_verdict(path: Path) -> str:
    """Return in one line whether the installed TensorRT can parse the ONNX file `path`."""
    try:
        version = check_parses(path)
    except StartError as error:
        return f'for other runtimes only: {error.reason}'
    if version is None:
        return f'not tried with TensorRT, which is not installed: {remedy("tensorrt")}'
    return f'TensorRT {version} parses it'


def parse(builder: trt.Builder, model: bytes, spec: ModelSpec,
          where: Path) -> trt.INetworkDefinition:
    """
    Return the strongly typed network of an ONNX file's bytes.

    Number formats are those of the file; TensorRT does not change them. `where` is the path in
    errors. Raises StartError if TensorRT rejects the file, ModelError if the network's inputs and
    outputs are not those of `spec`.
    """
    from mtl_perception.inference.trt.library import FLAVOUR, LOG, trt

    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, LOG)
    accepted: Any = parser.parse(model)
    if not accepted:
        errors = [parser.get_error(index) for index in range(min(parser.num_errors, _REASONS))]
        why = '; '.join(map(_reason, errors)) or LOG.take()
        LOG.take()
        raise StartError(f'TensorRT {FLAVOUR} rejects it: {why}',
                         'export it again, or select another runtime')
    check_graph(
        where, spec,
        found((tensor.name, tensor.dtype, tensor.shape)
              for tensor in map(network.get_input, range(network.num_inputs))),
        found((tensor.name, tensor.dtype, tensor.shape)
              for tensor in map(network.get_output, range(network.num_outputs))))
    return network


def found(tensors: Iterable[tuple[str, trt.DataType, trt.Dims]]) -> dict[str, Found]:
    """Return name, number format and sizes of TensorRT's tensors in the form of the contract."""
    return {name: (_DTYPES.get(dtype.name, dtype.name), sizes_of(shape))
            for name, dtype, shape in tensors}


def sizes_of(dimensions: trt.Dims) -> tuple[int, ...]:
    """Return the sizes as a tuple; its type stubs do not declare Dims as a sequence."""
    sequence: Any = dimensions
    return tuple(sequence)


def _reason(error: trt.ParserError) -> str:
    from mtl_perception.inference.trt.library import without_echo

    operator, name = error.node_operator(), error.node_name()
    place = ' '.join(filter(None, (
        f'operator {operator}' if operator else '',
        f'node {name}' if name else f'node number {error.node()}' if error.node() >= 0 else '')))
    text = one_line(Exception(without_echo(error.desc())))
    return f'{place}: {text}' if place else text
