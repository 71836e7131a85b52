"""Segmentation head: FCN's skip connections (arXiv:1411.4038) over the pyramid and C2."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn, Tensor

from mtl_perception.models.layers import ConvBlock, SeparableBlock, upsample_like


class SegmentationHead(nn.Module):
    """P3 to P5 reduced and summed at stride 8, combined with C2 at stride 4, scored by a 1x1."""

    def __init__(self, channels: int, c2_channels: int, width: int, classes: int) -> None:
        super().__init__()
        self.reduce = nn.ModuleList(ConvBlock(channels, width) for _ in range(3))
        self.skip = ConvBlock(c2_channels, width, kernel=1, activation=False)
        self.join = SeparableBlock(width, width)
        self.score = nn.Conv2d(width, classes, 1)

    def forward(self, pyramid: Sequence[Tensor], c2: Tensor) -> Tensor:
        """
        Return class logits [B, classes, H / 4, W / 4].

        `pyramid` is P3, P4, P5; `c2` the backbone's stage of stride 4.
        """
        reduced = [block(x) for block, x in zip(self.reduce, pyramid, strict=True)]
        summed = reduced[0]
        for coarser in reduced[1:]:
            summed = summed + upsample_like(coarser, summed)
        return self.score(self.join(upsample_like(summed, c2) + self.skip(c2)))
