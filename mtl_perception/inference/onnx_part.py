"""
Extraction of the part of an ONNX graph that computes some of its outputs.

No runtime omits the nodes that only unrequested outputs need: `only_execute_path_to_fetches` of
ONNX Runtime affects its training builds only, and OpenVINO and TensorRT compile all outputs. They
are therefore given a graph without the other outputs. The package `onnx` has a function for this,
but it is not a dependency of the node. Field numbers are those of ``onnx.proto``
(https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from mtl_perception.errors import ModelError
from mtl_perception.inference.protobuf import (
    BrokenError,
    bytes_field,
    Field,
    fields_of,
    Span,
    span_of,
    text_of,
    walk,
)

_MODEL_GRAPH = 7
_NODE, _INITIALIZER, _OUTPUT, _VALUE_INFO = 1, 5, 12, 13
"""Fields of a graph that are kept only if required; all other fields are always kept."""

_NODE_INPUT, _NODE_OUTPUT = 1, 2
_NAME = {_INITIALIZER: 8, _OUTPUT: 1, _VALUE_INFO: 1}


class OnnxParts:
    """Extracts parts of an ONNX file as long as the file is not replaced."""

    def __init__(self, path: Path) -> None:
        """Remember the state of the file; ModelError if it cannot be read."""
        self._path = path
        self._state = self._look()

    def whole(self) -> bytes:
        """Return the content of the file; ModelError as in `part`."""
        try:
            data = self._path.read_bytes()
        except OSError as error:
            raise ModelError(f'{self._path}: cannot be read ({error})') from None
        if self._look() != self._state:
            raise ModelError(f'{self._path}: was replaced since it was loaded; start again')
        return data

    def part(self, outputs: Collection[str]) -> bytes:
        """
        Return the file as a model that has only these outputs.

        Nodes with subgraphs are not supported, because the inputs of subgraphs are not examined;
        the runtime that loads the part reports missing values. Raises ModelError if the file
        cannot be read or was replaced.
        """
        try:
            return _part(self.whole(), set(outputs))
        except BrokenError as error:
            raise ModelError(f'{self._path}: cannot be read ({error})') from None

    def _look(self) -> tuple[int, int, int]:
        try:
            found = self._path.stat()
        except OSError as error:
            raise ModelError(f'{self._path}: cannot be read ({error})') from None
        return found.st_ino, found.st_mtime_ns, found.st_size


def _part(data: bytes, outputs: set[str]) -> bytes:
    model = list(walk(data, (0, len(data))))
    graphs = [field for field in model if field.number == _MODEL_GRAPH]
    if len(graphs) != 1:
        raise BrokenError('it has no graph')
    kept = _kept(data, list(walk(data, span_of(graphs[0].value))), outputs)
    pieces = [memoryview(data)[slice(*field.whole)] for field in kept]
    head = bytes_field(_MODEL_GRAPH, sum(map(len, pieces)))
    others = [memoryview(data)[slice(*field.whole)] for field in model if field is not graphs[0]]
    return b''.join((*others, head, *pieces))


def _kept(data: bytes, graph: list[Field], outputs: set[str]) -> list[Field]:
    """Return the fields of the graph required by `outputs`."""
    needed = set(outputs)
    dead = set()
    # Nodes are sorted topologically: the producer of a value precedes its consumers.
    for field in reversed(graph):
        if field.number != _NODE:
            continue
        parts = list(fields_of(data, span_of(field.value)))
        if needed.isdisjoint(_texts(data, parts, _NODE_OUTPUT)):
            dead.add(field.whole)
        else:
            needed.update(_texts(data, parts, _NODE_INPUT))

    def is_kept(field: Field) -> bool:
        if field.number == _NODE:
            return field.whole not in dead
        if field.number not in _NAME:
            return True
        parts = list(fields_of(data, span_of(field.value)))
        names = outputs if field.number == _OUTPUT else needed
        return not names.isdisjoint(_texts(data, parts, _NAME[field.number]))

    return [field for field in graph if is_kept(field)]


def _texts(data: bytes, parts: list[tuple[int, int | Span]], number: int) -> list[str]:
    """Return the texts of the fields with this number."""
    return [text_of(data, value) for key, value in parts
            if key == number and isinstance(value, tuple)]
