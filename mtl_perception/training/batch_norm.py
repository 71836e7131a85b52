"""Whether batch norm has values to take statistics of."""

from __future__ import annotations

import copy

import torch
from torch import nn

from mtl_perception.errors import ConfigError


def check_single_images(network: nn.Module, crop_size: int) -> None:
    """
    Raise ConfigError where `network` cannot be trained on a single crop at a time.

    A layer whose map has a single cell then has one value in a channel, and no variance. The
    network is run as in training, but without data ('meta' tensors).
    """
    shadow = copy.deepcopy(network).to('meta')
    try:
        with torch.no_grad():
            shadow(torch.empty(1, 3, crop_size, crop_size, device='meta'))
    except ValueError:  # of torch.nn.functional.batch_norm
        raise ConfigError(
            f'crop_size {crop_size} leaves batch norm one value in a channel where a single image '
            'is processed at a time; use a larger crop_size, more images a step or a smaller '
            'accumulate') from None
