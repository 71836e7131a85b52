"""
Reading the header of an ONNX file without loading the file.

An ONNX file is one protobuf message. Its outer fields are read without the weights, so that a file
that is truncated, of another format or program, or violates the contract of the graph is rejected
within milliseconds, in all runtimes alike and before they allocate memory. Field numbers are those
of ``onnx.proto`` (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
import mmap
from pathlib import Path

from mtl_perception.errors import ModelError
from mtl_perception.graph_contract import check_graph
from mtl_perception.inference.protobuf import BrokenError, fields_of, Span, span_of, text_of
from mtl_perception.spec import METADATA_KEY, ModelSpec

_MODEL_GRAPH, _MODEL_METADATA = 7, 14
_GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 5, 11, 12
_TENSOR_DATA_TYPE, _TENSOR_DATA_LOCATION = 2, 14
_EXTERNAL = 1
_ENTRY_KEY, _ENTRY_VALUE = 1, 2
_VALUE_NAME, _VALUE_TYPE = 1, 2
_TYPE_TENSOR = 1
_TENSOR_TYPE_DTYPE, _TENSOR_TYPE_SHAPE = 1, 2
_SHAPE_SIZE = 1
_SIZE_VALUE, _SIZE_NAME = 1, 2

_PRECISIONS = {1: 'fp32', 10: 'fp16', 16: 'bf16', 2: 'int8', 3: 'int8', 17: 'fp8', 19: 'fp8'}
"""Names of the TensorProto data types of weights."""

_DTYPES = {1: 'float32', 2: 'uint8', 3: 'int8', 4: 'uint16', 5: 'int16', 6: 'int32', 7: 'int64',
           9: 'bool', 10: 'float16', 11: 'float64', 12: 'uint32', 13: 'uint64', 16: 'bfloat16'}
"""Names of the TensorProto data types of inputs and outputs."""

_MAX_METADATA_BYTES = 1 << 20


@dataclass(frozen=True)
class OnnxHeader:
    """The header of an ONNX file: spec, precision, outputs."""

    spec: ModelSpec
    precision: str
    """Number format of the majority of the weights: 'fp32', 'fp16', 'bf16', 'int8', 'fp8'."""


@dataclass
class _Walked:
    """Values collected from the fields of a file."""

    metadata: dict[str, str] = field(default_factory=dict)
    weights: Counter[str] = field(default_factory=Counter)
    """Bytes of weights by precision."""
    is_external: bool = False
    """Whether weights are stored in another file."""
    inputs: dict[str, tuple[str, list[int | str | None]]] = field(default_factory=dict)
    outputs: dict[str, tuple[str, list[int | str | None]]] = field(default_factory=dict)


def read_onnx_header(path: Path) -> OnnxHeader:
    """
    Return the header of the ONNX file `path`, reading a few kilobytes of it.

    Raises ModelError if it is not a complete ONNX file, not a model of mtl_perception, or its
    inputs and outputs are not those of the contract.
    """
    try:
        with path.open('rb') as file, mmap.mmap(
                file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data[:len(_LFS_POINTER)] == _LFS_POINTER:
                raise ModelError(
                    f'{path}: a Git LFS pointer, not the model itself; run `git lfs pull`')
            found = _walk_model(data)
    except BrokenError as error:
        raise ModelError(
            f'{path}: not an ONNX file, or truncated ({error}); copy or export it again') from None
    except (OSError, ValueError) as error:
        raise ModelError(f'{path}: cannot be read ({error})') from None
    if METADATA_KEY not in found.metadata:
        raise ModelError(
            f'{path}: an ONNX file, but not a model of mtl_perception (it has no metadata '
            f'`{METADATA_KEY}`); make one with `mtl export`')
    if found.is_external:
        # The file could name any path on this machine.
        raise ModelError(
            f'{path}: its weights are in another file, which is not read; export it again with '
            f'`mtl export`, which writes one file')
    try:
        spec = ModelSpec.from_json(found.metadata[METADATA_KEY])
    except Exception as error:
        raise ModelError(f'{path}: {error}') from error
    check_graph(path, spec, found.inputs, found.outputs)
    precision = found.weights.most_common(1)[0][0] if found.weights else 'fp32'
    return OnnxHeader(spec, precision)


_LFS_POINTER = b'version https://git-lfs'


def _walk_model(data: mmap.mmap) -> _Walked:
    found = _Walked()
    graphs = 0
    for number, value in fields_of(data, (0, len(data))):
        if number == _MODEL_METADATA:
            start, end = span_of(value)
            if end - start > _MAX_METADATA_BYTES:
                raise BrokenError(f'{end - start} bytes of metadata in one entry')
            entry = dict(fields_of(data, (start, end)))
            key, text = (text_of(data, entry.get(part, (0, 0))) for part in (
                _ENTRY_KEY, _ENTRY_VALUE))
            found.metadata[key] = text
        elif number == _MODEL_GRAPH:
            graphs += 1
            _walk_graph(data, span_of(value), found)
    if graphs != 1:
        raise BrokenError('it has no graph')
    found.weights.pop('', None)
    return found


def _walk_graph(data: mmap.mmap, graph: Span, found: _Walked) -> None:
    for number, value in fields_of(data, graph):
        if number == _GRAPH_INITIALIZER:
            span = span_of(value)
            precision, is_external = _weights(data, span)
            found.weights[precision] += span[1] - span[0]
            found.is_external |= is_external
        elif number in (_GRAPH_INPUT, _GRAPH_OUTPUT):
            name, dtype, shape = _tensor(data, span_of(value))
            (found.inputs if number == _GRAPH_INPUT else found.outputs)[name] = dtype, shape


def _weights(data: mmap.mmap, tensor: Span) -> tuple[str, bool]:
    """
    Return the tensor's number format, and whether its values are in another file.

    The name is empty for a format that weights do not have.
    """
    precision, is_external = '', False
    for number, value in fields_of(data, tensor):
        if number == _TENSOR_DATA_TYPE and isinstance(value, int):
            precision = _PRECISIONS.get(value, '')
        elif number == _TENSOR_DATA_LOCATION:
            is_external = value == _EXTERNAL
    return precision, is_external


def _tensor(data: mmap.mmap, info: Span) -> tuple[str, str, list[int | str | None]]:
    """Return name, dtype and sizes (None or a name for dynamic ones) of a ValueInfoProto."""
    entry = dict(fields_of(data, info))
    name = text_of(data, entry.get(_VALUE_NAME, (0, 0)))
    kind = dict(fields_of(data, span_of(entry.get(_VALUE_TYPE, (0, 0)))))
    tensor = dict(fields_of(data, span_of(kind.get(_TYPE_TENSOR, (0, 0)))))
    code = tensor.get(_TENSOR_TYPE_DTYPE, 0)
    dtype = _DTYPES.get(code, f'type {code}') if isinstance(code, int) else 'no type'
    shape: list[int | str | None] = []
    for number, value in fields_of(data, span_of(tensor.get(_TENSOR_TYPE_SHAPE, (0, 0)))):
        if number != _SHAPE_SIZE:
            continue
        size = dict(fields_of(data, span_of(value)))
        number_of = size.get(_SIZE_VALUE)
        shape.append(number_of if isinstance(number_of, int) else
                     text_of(data, size[_SIZE_NAME]) if _SIZE_NAME in size else None)
    return name, dtype, shape
