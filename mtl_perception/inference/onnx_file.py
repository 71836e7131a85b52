"""
A look into an ONNX file without loading it.

An ONNX file is one protobuf message. Its outer fields can be walked over without reading the
weights, so that a file that is cut off, of another format or of another program is refused within
milliseconds, and a runtime learns what a model is before it asks for memory. Field numbers are
those of ``onnx.proto`` (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
import mmap
from pathlib import Path

from mtl_perception.errors import ModelError
from mtl_perception.spec import METADATA_KEY, ModelSpec

_MODEL_GRAPH, _MODEL_METADATA = 7, 14
_GRAPH_INITIALIZER = 5
_TENSOR_DATA_TYPE = 2
_ENTRY_KEY, _ENTRY_VALUE = 1, 2

_PRECISIONS = {1: 'fp32', 10: 'fp16', 16: 'bf16', 2: 'int8', 3: 'int8', 17: 'fp8', 19: 'fp8'}
"""Names of the TensorProto data types that weights come in."""

_MAX_METADATA_BYTES = 1 << 20

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

Span = tuple[int, int]


@dataclass(frozen=True)
class OnnxHeader:
    """What an ONNX file says about itself."""

    spec: ModelSpec
    precision: str
    """Number format of the larger part of the weights: 'fp32', 'fp16', 'bf16', 'int8', 'fp8'."""


class _BrokenError(Exception):
    """The bytes are not the protobuf message that they should be."""


def read_onnx_header(path: Path) -> OnnxHeader:
    """
    Return what the ONNX file `path` is, reading a few kilobytes of it.

    Raises ModelError where it is not a whole ONNX file or not a model of mtl_perception.
    """
    try:
        with path.open('rb') as file, mmap.mmap(
                file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data[:len(_LFS_POINTER)] == _LFS_POINTER:
                raise ModelError(
                    f'{path}: a Git LFS pointer, not the model itself; run `git lfs pull`')
            metadata, weights = _walk_model(data)
    except _BrokenError as error:
        raise ModelError(
            f'{path}: not an ONNX file, or cut off ({error}); copy or export it again') from None
    except (OSError, ValueError) as error:
        raise ModelError(f'{path}: cannot be read ({error})') from None
    if METADATA_KEY not in metadata:
        raise ModelError(
            f'{path}: an ONNX file, but not a model of mtl_perception (it has no metadata '
            f'`{METADATA_KEY}`); make one with `mtl export`')
    try:
        spec = ModelSpec.from_json(metadata[METADATA_KEY])
    except Exception as error:
        raise ModelError(f'{path}: {error}') from error
    precision = weights.most_common(1)[0][0] if weights else 'fp32'
    return OnnxHeader(spec, precision)


_LFS_POINTER = b'version https://git-lfs'


def _walk_model(data: mmap.mmap) -> tuple[dict[str, str], Counter[str]]:
    """Return the metadata, and the bytes of weights by precision."""
    metadata: dict[str, str] = {}
    weights: Counter[str] = Counter()
    graphs = 0
    for number, value in _fields(data, (0, len(data))):
        if number == _MODEL_METADATA:
            start, end = _as_span(value)
            if end - start > _MAX_METADATA_BYTES:
                raise _BrokenError(f'{end - start} bytes of metadata in one entry')
            entry = {key: _as_span(text) for key, text in _fields(data, (start, end))}
            texts = [_text(data, entry.get(key, (0, 0))) for key in (_ENTRY_KEY, _ENTRY_VALUE)]
            metadata[texts[0]] = texts[1]
        elif number == _MODEL_GRAPH:
            graphs += 1
            for field, tensor in _fields(data, _as_span(value)):
                if field == _GRAPH_INITIALIZER:
                    span = _as_span(tensor)
                    weights[_precision(data, span)] += span[1] - span[0]
    if graphs != 1:
        raise _BrokenError('it has no graph')
    weights.pop('', None)
    return metadata, weights


def _precision(data: mmap.mmap, tensor: Span) -> str:
    """Return the name of the tensor's number format, empty for one that weights do not have."""
    for number, value in _fields(data, tensor):
        if number == _TENSOR_DATA_TYPE and isinstance(value, int):
            return _PRECISIONS.get(value, '')
    return ''


def _fields(data: mmap.mmap, span: Span) -> Iterator[tuple[int, int | Span]]:
    """Yield number and value of each field of the message in `span`: an integer, or its span."""
    position, end = span
    while position < end:
        tag, position = _varint(data, position, end)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise _BrokenError(f'byte {position}')
        value: int | Span
        if kind == _VARINT:
            value, position = _varint(data, position, end)
        elif kind in (_BYTES, _FIXED32, _FIXED64):
            if kind == _BYTES:
                length, position = _varint(data, position, end)
            else:
                length = 4 if kind == _FIXED32 else 8
            value = (position, position + length)
            position += length
            if position > end:
                raise _BrokenError(f'{position - end} bytes are missing at the end')
        else:
            raise _BrokenError(f'byte {position}')
        yield number, value


def _varint(data: mmap.mmap, position: int, end: int) -> tuple[int, int]:
    """Return the variable-length integer at `position`, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= end:
            raise _BrokenError('its last byte is missing')
        byte = data[position]
        position += 1
        value |= (byte & 0x7f) << shift
        if byte < 0x80:
            return value, position
    raise _BrokenError(f'byte {position}')


def _as_span(value: int | Span) -> Span:
    if isinstance(value, int):
        raise _BrokenError('a number stands where a message should')
    return value


def _text(data: mmap.mmap, span: Span) -> str:
    try:
        return data[span[0]:span[1]].decode('utf-8')
    except UnicodeDecodeError:
        raise _BrokenError('its metadata are not text') from None
