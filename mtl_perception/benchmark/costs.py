"""Runtime-independent costs of a model file: bytes, parameters and operations."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
import mmap
from pathlib import Path
from typing import Any

from mtl_perception.errors import ConfigError, ModelError
from mtl_perception.extras import missing_package
from mtl_perception.inference.onnx_file import read_onnx_header
from mtl_perception.inference.protobuf import BrokenError, fields_of, Span, span_of, varints
from mtl_perception.spec import ModelSpec

# Fields of ModelProto, GraphProto and TensorProto in onnx.proto, and data types of TensorProto.
_MODEL_GRAPH, _GRAPH_INITIALIZER = 7, 5
_TENSOR_DIMS, _TENSOR_DATA_TYPE = 1, 2
_BYTES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2,
          17: 1, 18: 1, 19: 1, 20: 1}
_WEIGHTS = (1, 2, 3, 10, 11, 16, 17, 18, 19, 20)
"""Data types of weights; integers of more than 8 bits are shapes and indices."""


@dataclass(frozen=True)
class FileCost:
    """Costs of a model file; values that need torch are None without it."""

    file: str
    file_bytes: int
    tasks: tuple[str, ...]
    input_size: tuple[int, int]
    parameters: int | None
    """Number of weights that a runtime loads; batch norms of an ONNX file are folded."""
    weights_bytes: int | None
    """Bytes of these and of the graph's other constants, in the number format of the file; for a
    checkpoint in FP32, as loaded by torch."""
    gmac: float | None
    """10^9 multiply-accumulate operations for one image."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {'file': self.file, 'file_bytes': self.file_bytes, 'tasks': list(self.tasks),
                'parameters': self.parameters, 'gmac': self.gmac}


def file_cost(path: Path) -> FileCost:
    """Return the costs of a model file; ModelError if it cannot be read."""
    parameters: int | None
    weights: int | None
    if path.suffix == '.onnx':
        spec = read_onnx_header(path).spec
        parameters, weights = onnx_weights(path)
    else:
        from mtl_perception.models.checkpoint import load_checkpoint
        spec, network = load_checkpoint(path)
        parameters = sum(item.numel() for item in network.parameters())
        weights = sum(item.numel() * item.element_size()
                      for item in (*network.parameters(), *network.buffers()))
    return FileCost(path.name, path.stat().st_size, spec.tasks, spec.input_size, parameters,
                    weights, _gmac(spec.to_json()))


def onnx_weights(path: Path) -> tuple[int, int]:
    """Return parameters and bytes of all initialisers; ModelError if it is not an ONNX file."""
    parameters = total = 0
    try:
        with path.open('rb') as file, mmap.mmap(
                file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for number, graph in fields_of(data, (0, len(data))):
                if number != _MODEL_GRAPH:
                    continue
                for part, value in fields_of(data, span_of(graph)):
                    if part == _GRAPH_INITIALIZER:
                        kind, count = _tensor(data, span_of(value))
                        total += count * _BYTES.get(kind, 0)
                        parameters += count if kind in _WEIGHTS else 0
    except (BrokenError, OSError, ValueError) as error:
        raise ModelError(f'{path}: cannot be read ({error})') from None
    return parameters, total


def _tensor(data: mmap.mmap, span: Span) -> tuple[int, int]:
    """Return data type and number of values of a TensorProto."""
    kind, count = 0, 1
    for number, value in fields_of(data, span):
        if number == _TENSOR_DIMS:
            for size in [value] if isinstance(value, int) else varints(data, value):
                count *= size
        elif number == _TENSOR_DATA_TYPE and isinstance(value, int):
            kind = value
    return kind, count


def _gmac(spec: str) -> float | None:
    """Return the operations of the network of a spec (JSON); None: no torch, or foreign."""
    try:
        return _counted_gmac(spec)
    except ImportError as error:
        if missing_package(error) is None:
            raise
        return None


@cache
def _counted_gmac(spec: str) -> float | None:
    from mtl_perception.models.cost import part_costs
    from mtl_perception.models.network import build_model
    found = ModelSpec.from_json(spec)
    try:
        network = build_model(found)
    except ConfigError:
        return None
    return sum(part.macs for part in part_costs(network, found.input_size)) / 1e9
