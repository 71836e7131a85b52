"""Detection head: SSD's idea of predictors on every level, with towers shared over the levels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn, Tensor

from mtl_perception.models.default_boxes import prior_bias
from mtl_perception.models.layers import SeparableBlock

PRIOR_PROBABILITY = 0.01
TOWER_DEPTH = 2


class SharedTower(nn.Module):
    """
    3x3 convolutions shared by all levels; batch norm is a level's own.

    Activations of different levels have different statistics, which one running mean cannot hold
    (NAS-FPN, arXiv:1904.07392); folded for deployment it costs nothing.
    """

    def __init__(self, channels: int, levels: int, depth: int = TOWER_DEPTH) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(depth))
        self.norms = nn.ModuleList(
            nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(depth)) for _ in range(levels))
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor, level: int) -> Tensor:
        """Return features of the same shape; `level` counts from the finest shared one."""
        for convolution, norm in zip(self.convolutions, self.norms[level], strict=True):
            x = self.activation(norm(convolution(x)))
        return x


class Branch(nn.Module):
    """Tower and predictor of one quantity; stride 4, where it is used, has light ones."""

    def __init__(self, channels: int, outputs: int, levels: Sequence[int]) -> None:
        super().__init__()
        self.fine_tower = nn.Sequential(*(
            SeparableBlock(channels, channels) for _ in range(TOWER_DEPTH))
        ) if levels[0] == 2 else None
        shared = len(levels) - (self.fine_tower is not None)
        self.tower = SharedTower(channels, shared)
        self.predictor = nn.Conv2d(channels, outputs, 3, padding=1)
        self.fine_predictor = nn.Conv2d(channels, outputs, 1) if self.fine_tower else None
        for predictor in (self.predictor, self.fine_predictor):
            if predictor is not None:
                nn.init.normal_(predictor.weight, std=0.01)
                nn.init.zeros_(predictor.bias)

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """Return predictions [B, A, outputs] for the cells of all levels, finest first."""
        maps = []
        if self.fine_tower is not None and self.fine_predictor is not None:
            maps.append(self.fine_predictor(self.fine_tower(pyramid[0])))
            pyramid = pyramid[1:]
        maps += [self.predictor(self.tower(x, level)) for level, x in enumerate(pyramid)]
        return torch.cat([m.flatten(2).transpose(1, 2) for m in maps], dim=1)


class DetectionHead(nn.Module):
    """Class logits and box offsets for the one default box of every cell of every level."""

    def __init__(self, channels: int, classes: int, levels: Sequence[int]) -> None:
        super().__init__()
        self.strides = tuple(2 ** level for level in levels)
        self.classes = Branch(channels, classes, levels)
        self.boxes = Branch(channels, 4, levels)
        for predictor in (self.classes.predictor, self.classes.fine_predictor):
            if predictor is not None:
                nn.init.constant_(predictor.bias, prior_bias(PRIOR_PROBABILITY))

    def forward(self, pyramid: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return class logits [B, A, classes] and box offsets [B, A, 4]."""
        return self.classes(pyramid), self.boxes(pyramid)
