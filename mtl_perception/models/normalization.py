"""Normalisation of images for ImageNet backbones, which is part of the deployable graph."""

from __future__ import annotations

import torch
from torch import nn, Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Mean and deviation of RGB in [0, 1], as stated by torchvision for its ImageNet weights."""


class Normalize(nn.Module):
    """Map uint8 RGB [B, H, W, 3] to normalised float RGB [B, 3, H, W]."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        mean = torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1) * 255
        std = torch.tensor(IMAGENET_STD).view(1, 3, 1, 1) * 255
        self.register_buffer('mean', mean, persistent=False)
        self.register_buffer('std', std, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the network input."""
        # The cast comes first: TensorRT supports uint8 only for an input that is cast directly.
        return (images.to(self.mean.dtype).permute(0, 3, 1, 2) - self.mean) / self.std
