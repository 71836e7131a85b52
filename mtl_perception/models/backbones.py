"""
Backbones: torchvision classifiers cut at strides 4, 8, 16 and 32.

A new backbone is one more entry in `BACKBONES`: torchvision's name of the model and the four
nodes after which the stages C2 to C5 are taken.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torchvision.models import get_model
from torchvision.models.feature_extraction import create_feature_extractor

from mtl_perception.errors import ConfigError, ModelError

STAGES = ('c2', 'c3', 'c4', 'c5')
"""Names of the backbone's outputs, finest first; their strides are 4, 8, 16 and 32."""

BACKBONES: dict[str, tuple[str, str, str, str]] = {
    'mobilenet_v2': ('features.3', 'features.6', 'features.13', 'features.17'),
    'resnet50': ('layer1', 'layer2', 'layer3', 'layer4'),
}


def build_backbone(name: str) -> nn.Module:
    """
    Return the backbone `name`, randomly initialised.

    It maps normalised RGB [B, 3, H, W] to a dict of `STAGES`; its state dict has the keys of the
    torchvision model. Raises ConfigError for a name without an entry.
    """
    if name not in BACKBONES:
        raise ConfigError(f'no backbone {name!r}; there are {", ".join(sorted(BACKBONES))}')
    model = get_model(name, weights=None)
    return create_feature_extractor(model, dict(zip(BACKBONES[name], STAGES, strict=True)))


def stage_channels(backbone: nn.Module) -> tuple[int, ...]:
    """Return the channels of `STAGES`, measured on an empty picture."""
    was_training = backbone.training
    backbone.eval()
    with torch.no_grad():
        features = backbone(torch.zeros(1, 3, 64, 64))
    backbone.train(was_training)
    return tuple(features[stage].shape[1] for stage in STAGES)


def load_backbone_weights(backbone: nn.Module, path: str | Path) -> None:
    """
    Load a state dict of the whole torchvision classifier from `path`; its classifier is left out.

    Raises ModelError where the file is not such a state dict or a layer of the backbone is not
    in it.
    """
    try:
        state = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # torch.load raises what pickle, zip and the file system do
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f'{path}: no weights could be read from it: {reason}') from None
    wanted = backbone.state_dict()
    missing = [key for key in wanted if not isinstance(state, dict) or key not in state]
    if missing:
        raise ModelError(
            f'{path}: weights of {len(missing)} layers are missing, {missing[0]} among them; '
            'is it a state dict of the same torchvision model?')
    try:
        backbone.load_state_dict({key: state[key] for key in wanted})
    except RuntimeError as error:
        raise ModelError(f'{path}: {str(error).splitlines()[-1].strip()}') from None
