"""
Derivation of the two single-task models that a multitask model replaces.

Each has the weights of the multitask model, without the layers that only the other task needs,
like two separately trained networks of this architecture.
"""

from __future__ import annotations

from pathlib import Path

from mtl_perception.errors import ModelError
from mtl_perception.files import write_bytes
from mtl_perception.graph_contract import output_names
from mtl_perception.inference.onnx_file import read_onnx_header
from mtl_perception.inference.onnx_part import OnnxParts
from mtl_perception.inference.protobuf import (
    BrokenError,
    bytes_field,
    fields_of,
    span_of,
    text_of,
    walk,
)
from mtl_perception.spec import METADATA_KEY, ModelSpec

TASKS = ('detection', 'segmentation')

# Fields of ModelProto and of StringStringEntryProto in onnx.proto.
_MODEL_METADATA = 14
_ENTRY_KEY, _ENTRY_VALUE = 1, 2


def write_single_task(model: Path, task: str, folder: Path) -> Path:
    """
    Write the single-task model of `task` into `folder`, and return its path.

    `model` is an ONNX file, or a checkpoint (.pt), which needs torch. Raises ModelError if it is
    not a model or has no such task, DataError if the file cannot be written.
    """
    path = folder / f'{model.stem}_{task}{model.suffix}'
    if model.suffix == '.onnx':
        spec = _only(model, read_onnx_header(model).spec, task)
        write_bytes(path, _onnx(model, spec))
        read_onnx_header(path)
    else:
        _write_checkpoint(model, task, path)
    return path


def _only(model: Path, spec: ModelSpec, task: str) -> ModelSpec:
    if task not in spec.tasks:
        raise ModelError(f'{model}: has no {task}; give a model of both tasks')
    return spec.only([task])


def _onnx(model: Path, spec: ModelSpec) -> bytes:
    """Return the part of the ONNX file with the outputs of `spec`, and `spec` as its metadata."""
    data = OnnxParts(model).part(output_names(spec))
    try:
        kept = [data[slice(*item.whole)] for item in walk(data, (0, len(data)))
                if not (item.number == _MODEL_METADATA
                        and _key(data, span_of(item.value)) == METADATA_KEY)]
    except BrokenError as error:
        raise ModelError(f'{model}: cannot be read ({error})') from None
    return b''.join((*kept, _message(_MODEL_METADATA, b''.join((
        _message(_ENTRY_KEY, METADATA_KEY.encode()),
        _message(_ENTRY_VALUE, spec.to_json().encode()))))))


def _key(data: bytes, entry: tuple[int, int]) -> str:
    return text_of(data, dict(fields_of(data, entry)).get(_ENTRY_KEY, (0, 0)))


def _message(number: int, content: bytes) -> bytes:
    return bytes_field(number, len(content)) + content


def _write_checkpoint(model: Path, task: str, path: Path) -> None:
    import torch

    from mtl_perception.models.checkpoint import load_checkpoint, save_checkpoint
    from mtl_perception.models.network import build_model

    whole, network = load_checkpoint(model)
    spec = _only(model, whole, task)
    single = build_model(spec)
    weights = network.state_dict()
    # The levels of both pyramids are counted from the finest one.
    shift = _finest(single) - _finest(network)
    with torch.no_grad():
        for key, value in single.state_dict().items():
            found = weights.get(_shifted(key, shift))
            if found is None or found.shape != value.shape:
                raise ModelError(f'{model}: no weights for {key} of a network for {task} only; '
                                 f'give its single-task models (--detection, --segmentation)')
            value.copy_(found)
    save_checkpoint(single, spec, path)


def _finest(network: object) -> int:
    levels = getattr(getattr(network, 'pyramid', None), 'levels', (0,))
    return int(levels[0])


def _shifted(key: str, shift: int) -> str:
    """Return the name of a tensor in a network whose pyramid starts `shift` levels finer."""
    head, part, rest = (*key.split('.', 2), '', '')[:3]
    if head == 'pyramid' and part in ('lateral', 'smooth'):
        index, _, tail = rest.partition('.')
        return f'{head}.{part}.{int(index) + shift}.{tail}'
    return key
