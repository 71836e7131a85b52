"""Checkpoints: a model's spec and weights in one file, half precision, safe to load."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn, Tensor

from mtl_perception.errors import ModelError, MtlError
from mtl_perception.files import make_folder, replacing
from mtl_perception.models.network import build_model
from mtl_perception.spec import METADATA_KEY, ModelSpec

MAX_BYTES = 4 << 30


def save_atomically(content: dict, path: Path) -> None:
    """Write `content` to `path` atomically with torch.save; DataError if that fails."""
    make_folder(path.parent)
    with replacing(path) as temporary, temporary.open('wb') as file:
        torch.save(content, file)


def save_checkpoint(network: nn.Module, spec: ModelSpec, path: Path) -> None:
    """Write spec and weights to `path`, floating-point weights as FP16."""
    weights = {
        key: value.detach().cpu().half() if value.is_floating_point() else value.detach().cpu()
        for key, value in network.state_dict().items()}
    save_atomically({METADATA_KEY: spec.to_json(), 'weights': weights}, path)


def read_checkpoint(path: str | Path) -> tuple[ModelSpec, dict[str, Tensor]]:
    """Return spec and weights of a checkpoint; ModelError if the file is invalid."""
    path = Path(path)
    if not path.is_file():
        what = 'is a directory, not a checkpoint' if path.is_dir() else 'there is no such file'
        raise ModelError(f'{path}: {what}')
    if path.stat().st_size > MAX_BYTES:
        raise ModelError(f'{path}: file too large ({path.stat().st_size >> 20} MiB) to be a '
                         f'checkpoint')
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
    except Exception:  # torch.load raises errors of pickle, zip and the file system
        raise ModelError(f'{path}: not a checkpoint of mtl_perception, or broken') from None
    if not isinstance(content, dict) or not isinstance(content.get(METADATA_KEY), str) \
            or not isinstance(content.get('weights'), dict):
        raise ModelError(f'{path}: a torch file, but not a checkpoint of mtl_perception')
    try:
        return ModelSpec.from_json(content[METADATA_KEY]), content['weights']
    except MtlError as error:
        raise ModelError(f'{path}: {error}') from None


def load_checkpoint(path: str | Path) -> tuple[ModelSpec, nn.Module]:
    """Return spec and network (float32, evaluation mode) of a checkpoint, or raise ModelError."""
    spec, weights = read_checkpoint(path)
    network = build_model(spec)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ModelError(f'{path}: {str(error).splitlines()[-1].strip()}') from None
    return spec, network.eval()
