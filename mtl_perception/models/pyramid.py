"""Feature pyramid with a top-down path (FPN, arXiv:1612.03144), light enough for a UAV."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn, Tensor

from mtl_perception.models.backbones import STAGES
from mtl_perception.models.layers import ConvBlock, SeparableBlock, upsample_like

COARSEST_LEVEL = 6


class Pyramid(nn.Module):
    """
    Backbone stages to levels P`finest` to P6 of stride 2 ** level.

    All have `channels` channels except P2, which has `fine_channels`.

    1x1 laterals, nearest upsampling and addition from C5 down, a 3x3 convolution on each level
    (depthwise separable on P2, where a full one would cost more than the backbone), and P6 from
    P5 by a 3x3 convolution of stride 2.
    """

    def __init__(self, stage_channels: Sequence[int], channels: int, finest: int,
                 fine_channels: int) -> None:
        super().__init__()
        self.levels = tuple(range(finest, COARSEST_LEVEL + 1))
        self.stages = STAGES[finest - 2:]
        widths = [fine_channels if level == 2 else channels for level in self.levels[:-1]]
        self.lateral = nn.ModuleList(
            ConvBlock(inputs, width, kernel=1, activation=False)
            for inputs, width in zip(stage_channels[finest - 2:], widths, strict=True))
        self.narrow = (
            ConvBlock(channels, fine_channels, kernel=1, activation=False)
            if widths[0] != channels else None)
        self.smooth = nn.ModuleList(
            SeparableBlock(width, width) if level == 2 else ConvBlock(width, width)
            for level, width in zip(self.levels, widths, strict=False))
        self.coarsest = ConvBlock(channels, channels, stride=2)

    def forward(self, features: dict[str, Tensor]) -> list[Tensor]:
        """Return the levels, finest first, each [B, its channels, H / stride, W / stride]."""
        laterals = [
            block(features[stage]) for block, stage in zip(self.lateral, self.stages, strict=True)]
        for i in range(len(laterals) - 1, 0, -1):
            coarser = laterals[i]
            if self.narrow is not None and i == 1:
                coarser = self.narrow(coarser)
            laterals[i - 1] = laterals[i - 1] + upsample_like(coarser, laterals[i - 1])
        levels = [block(x) for block, x in zip(self.smooth, laterals, strict=True)]
        return [*levels, self.coarsest(levels[-1])]
