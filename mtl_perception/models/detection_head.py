"""Detection head: SSD's idea of predictors on every level, with towers shared over the levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn, Tensor

from mtl_perception.models.default_boxes import prior_bias
from mtl_perception.models.layers import SeparableBlock

PRIOR_PROBABILITY = 0.01
TOWER_DEPTH = 2


@dataclass(frozen=True)
class TowerDesign:
    """Channels and convolutions of the towers; see the fields of ``ModelSpec``."""

    channels: int
    separable: bool
    fine_channels: int
    one_fine_tower: bool


class SharedTower(nn.Module):
    """
    3x3 convolutions shared by all levels, with separate batch norms for each level.

    Activations of different levels have different statistics, which a shared running mean cannot
    represent (NAS-FPN, arXiv:1904.07392); folded for deployment it costs nothing.
    """

    def __init__(self, inputs: int, channels: int, levels: int, separable: bool) -> None:
        super().__init__()
        convolution = _separable if separable else _full
        widths = (inputs, *[channels] * TOWER_DEPTH)
        self.convolutions = nn.ModuleList(
            convolution(one, other) for one, other in pairwise(widths))
        self.norms = nn.ModuleList(
            nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(TOWER_DEPTH))
            for _ in range(levels))
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor, level: int) -> Tensor:
        """Return features of the same size; `level` counts from the finest shared one."""
        for convolution, norm in zip(self.convolutions, self.norms[level], strict=True):
            x = self.activation(norm(convolution(x)))
        return x


def _full(inputs: int, outputs: int) -> nn.Module:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)


def _separable(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False),
        nn.Conv2d(inputs, outputs, 1, bias=False))


def fine_tower(channels: int) -> nn.Sequential:
    """Return a tower for stride 4, where full convolutions would cost more than the backbone."""
    return nn.Sequential(*(SeparableBlock(channels, channels) for _ in range(TOWER_DEPTH)))


class Branch(nn.Module):
    """Tower and predictor of one quantity; those of stride 4, if used, are light."""

    def __init__(self, channels: int, outputs: int, levels: Sequence[int],
                 design: TowerDesign) -> None:
        super().__init__()
        has_fine = levels[0] == 2
        self.fine_tower = (
            fine_tower(design.fine_channels) if has_fine and not design.one_fine_tower else None)
        self.tower = SharedTower(
            channels, design.channels, len(levels) - has_fine, design.separable)
        self.predictor = nn.Conv2d(design.channels, outputs, 3, padding=1)
        self.fine_predictor = nn.Conv2d(design.fine_channels, outputs, 1) if has_fine else None
        for predictor in (self.predictor, self.fine_predictor):
            if predictor is not None:
                nn.init.normal_(predictor.weight, std=0.01)
                nn.init.zeros_(predictor.bias)

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """Return predictions [B, A, outputs] for the cells of all levels, finest first."""
        maps = []
        if self.fine_predictor is not None:
            fine = pyramid[0] if self.fine_tower is None else self.fine_tower(pyramid[0])
            maps.append(self.fine_predictor(fine))
            pyramid = pyramid[1:]
        maps += [self.predictor(self.tower(x, level)) for level, x in enumerate(pyramid)]
        return torch.cat([m.flatten(2).transpose(1, 2) for m in maps], dim=1)


class DetectionHead(nn.Module):
    """Class logits and box offsets for the one default box of every cell of every level."""

    def __init__(self, channels: int, classes: int, levels: Sequence[int],
                 design: TowerDesign) -> None:
        super().__init__()
        self.strides = tuple(2 ** level for level in levels)
        self.fine_tower = (
            fine_tower(design.fine_channels) if levels[0] == 2 and design.one_fine_tower else None)
        self.classes = Branch(channels, classes, levels, design)
        self.boxes = Branch(channels, 4, levels, design)
        for predictor in (self.classes.predictor, self.classes.fine_predictor):
            if predictor is not None:
                nn.init.constant_(predictor.bias, prior_bias(PRIOR_PROBABILITY))

    def forward(self, pyramid: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return class logits [B, A, classes] and box offsets [B, A, 4]."""
        if self.fine_tower is not None:
            pyramid = [self.fine_tower(pyramid[0]), *pyramid[1:]]
        return self.classes(pyramid), self.boxes(pyramid)
