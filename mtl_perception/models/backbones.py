"""
Backbones: torchvision classifiers cut at strides 4, 8, 16 and 32.

A new backbone is an entry in `BACKBONES`: torchvision's name of the model and the four nodes whose
outputs are the stages C2 to C5.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchvision.models import get_model, get_model_weights
from torchvision.models.feature_extraction import create_feature_extractor

from mtl_perception.errors import ConfigError, ModelError
from mtl_perception.models.layers import GlobalPool

STAGES = ('c2', 'c3', 'c4', 'c5')
"""Names of the backbone's outputs, finest first; their strides are 4, 8, 16 and 32."""

BACKBONES: dict[str, tuple[str, str, str, str]] = {
    'efficientnet_b0': ('features.2', 'features.3', 'features.5', 'features.7'),
    'mobilenet_v2': ('features.3', 'features.6', 'features.13', 'features.17'),
    'mobilenet_v3_large': ('features.3', 'features.6', 'features.12', 'features.15'),
    'resnet18': ('layer1', 'layer2', 'layer3', 'layer4'),
    'resnet34': ('layer1', 'layer2', 'layer3', 'layer4'),
    'resnet50': ('layer1', 'layer2', 'layer3', 'layer4'),
    'resnet101': ('layer1', 'layer2', 'layer3', 'layer4'),
}

NO_WEIGHTS = 'none'
"""Value of the option for weights that keeps the random initialisation."""


def build_backbone(name: str) -> nn.Module:
    """
    Return the backbone `name`, randomly initialised.

    It maps normalised RGB [B, 3, H, W] to a dict of `STAGES`; its state dict has the keys of the
    torchvision model. Raises ConfigError for a name without an entry.
    """
    if name not in BACKBONES:
        raise ConfigError(
            f'no backbone {name!r}; the backbones are {", ".join(sorted(BACKBONES))}')
    model = get_model(name, weights=None)
    for block in list(model.modules()):
        for part, module in block.named_children():
            # Nodes of squeeze and excitation are inside stages.
            if isinstance(module, nn.AdaptiveAvgPool2d) and module.output_size in (1, (1, 1)):
                setattr(block, part, GlobalPool())
    return create_feature_extractor(model, dict(zip(BACKBONES[name], STAGES, strict=True)))


def stage_channels(backbone: nn.Module) -> tuple[int, ...]:
    """Return the channels of `STAGES`, measured on an empty image."""
    was_training = backbone.training
    backbone.eval()
    with torch.no_grad():
        features = backbone(torch.zeros(1, 3, 64, 64))
    backbone.train(was_training)
    return tuple(features[stage].shape[1] for stage in STAGES)


def load_backbone_weights(backbone: nn.Module, name: str, weights: str | Path) -> None:
    """
    Load the weights of a torchvision classifier, except its classifier, into the backbone `name`.

    `weights` is `NO_WEIGHTS`, which changes nothing, the path of a state dict, or torchvision's
    name of weights of this model, such as IMAGENET1K_V1, which it downloads once. Raises
    ModelError if they cannot be loaded, are not such a state dict or lack a layer of the backbone.
    """
    if str(weights) == NO_WEIGHTS:
        return
    if Path(weights).exists():
        state = _read_state(Path(weights))
    else:
        state = _download_state(name, str(weights))
    wanted = backbone.state_dict()
    missing = [key for key in wanted if not isinstance(state, dict) or key not in state]
    if missing:
        raise ModelError(
            f'{weights}: weights of {len(missing)} layers of {name} are missing, {missing[0]} '
            'among them; is it a state dict of the same torchvision model?')
    try:
        backbone.load_state_dict({key: state[key] for key in wanted})
    except RuntimeError as error:
        raise ModelError(f'{weights}: {str(error).splitlines()[-1].strip()}') from None


def _read_state(path: Path) -> Any:
    try:
        return torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # torch.load raises errors of pickle, zip and the file system
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f'{path}: weights cannot be read: {reason}') from None


def _download_state(name: str, weights: str) -> Any:
    known = get_model_weights(name)
    member = weights.removeprefix(f'{known.__name__}.')
    if member not in known.__members__:
        raise ModelError(
            f'{weights}: neither a file nor weights of torchvision for {name}; it has '
            f'{", ".join(known.__members__)}')
    entry = known[member]
    try:
        return entry.get_state_dict(progress=True, check_hash=True)
    except Exception as error:  # errors of the network, the cache folder and torch.load
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ModelError(
            f'{weights}: torchvision cannot download these weights of {name} from {entry.url} '
            f'({reason}); download them on a machine with network access and give the '
            f'file') from None
