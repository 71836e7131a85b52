"""Segmentation head of the fully convolutional network with skip connections (arXiv:1411.4038)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn, Tensor

FCN_STRIDES = (8, 16, 32)
"""Stride of the scores before the last upsampling: FCN-8s, FCN-16s, FCN-32s."""


class BilinearUpsampling(nn.ConvTranspose2d):
    """
    Transposed convolution that upsamples each channel by bilinear interpolation.

    Its weights have no gradient: the thesis did not train them.
    """

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__(channels, channels, 2 * factor, stride=factor, padding=factor // 2,
                         groups=channels, bias=False)
        self.weight.requires_grad_(False)
        distance = (torch.arange(2 * factor) - (factor - 0.5)).abs() / factor
        with torch.no_grad():
            self.weight.copy_((1 - distance[:, None]) * (1 - distance))


class FcnHead(nn.Module):
    """1x1 scores of C5 and, down to `stride`, of C4 and C3, added and upsampled to the image."""

    def __init__(self, stage_channels: Sequence[int], classes: int, stride: int) -> None:
        """Create a head for the stages C3, C4 and C5; `stride` is one of `FCN_STRIDES`."""
        super().__init__()
        self.stages = len(FCN_STRIDES) - FCN_STRIDES.index(stride)
        used = list(reversed(stage_channels))[:self.stages]
        self.scores = nn.ModuleList(nn.Conv2d(channels, classes, 1) for channels in used)
        for score in self.scores:
            nn.init.kaiming_normal_(score.weight, nonlinearity='linear')
            nn.init.zeros_(score.bias)
        self.doublings = nn.ModuleList(
            BilinearUpsampling(classes, 2) for _ in range(self.stages - 1))
        self.magnify = BilinearUpsampling(classes, stride)

    def forward(self, stages: Sequence[Tensor], image_size: tuple[int, int]) -> Tensor:
        """Return class logits [B, classes, *image_size] for C3, C4, C5; `image_size` is (H, W)."""
        used = list(reversed(stages))[:self.stages]
        summed = self.scores[0](used[0])
        for score, double, stage in zip(self.scores[1:], self.doublings, used[1:], strict=True):
            summed = score(stage) + double(summed)[..., :stage.shape[-2], :stage.shape[-1]]
        return self.magnify(summed)[..., :image_size[0], :image_size[1]]
