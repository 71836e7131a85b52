"""SSD's detection head (arXiv:1512.02325) on a residual network, as the thesis built it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn, Tensor
from torchvision.models.resnet import Bottleneck

from mtl_perception.models.layers import ConvBlock, GlobalPool
from mtl_perception.models.outputs import DefaultBoxOutputs
from mtl_perception.models.ssd_boxes import BOXES_PER_CELL, make_default_boxes

EXTRA_STAGES = 2
EXTRA_CHANNELS = 1024
"""Stages of two bottleneck blocks and stride 2 after C5, and their channels."""

NORM_SCALE = 20.0
"""Initial length to which features are scaled (ParseNet, arXiv:1506.04579)."""


class L2Norm(nn.Module):
    """Scaling of each cell's features to length 1, then by a learned factor for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((channels,), NORM_SCALE))

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same shape [B, C, h, w]."""
        # functional.normalize would be exported with an Expand to the batch size.
        lengths = torch.linalg.vector_norm(x, dim=1, keepdim=True).clamp(min=1e-12)
        return x / lengths * self.scale[:, None, None]


def extra_stage(inputs: int) -> nn.Sequential:
    """Return two bottleneck blocks from `inputs` to `EXTRA_CHANNELS` channels, stride 2."""
    width = EXTRA_CHANNELS // Bottleneck.expansion
    stage = nn.Sequential(
        Bottleneck(inputs, width, stride=2, downsample=ConvBlock(
            inputs, EXTRA_CHANNELS, kernel=1, stride=2, activation=False)),
        Bottleneck(EXTRA_CHANNELS, width))
    for module in stage.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')
    return stage


def predictor(inputs: int, outputs: int) -> nn.Conv2d:
    """Return a 3x3 convolution, initialised as SSD's."""
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1)
    nn.init.xavier_uniform_(convolution.weight)
    nn.init.zeros_(convolution.bias)
    return convolution


class SsdHead(nn.Module):
    """
    Predictors on C3 to C5 (L2 norm), two extra stages and their global pool.

    Rows of a class predictor's weights are ordered by background and classes, then by the boxes of
    a cell.
    """

    def __init__(self, stage_channels: Sequence[int], classes: int, input_side: int) -> None:
        """
        Create a head for the stages C3, C4 and C5 of `stage_channels` channels.

        `input_side` is the shorter side of the network's input in pixels; the default boxes are
        proportional to it.
        """
        super().__init__()
        self.input_side = input_side
        self.norms = nn.ModuleList(L2Norm(channels) for channels in stage_channels)
        self.extra = nn.ModuleList(
            extra_stage(EXTRA_CHANNELS if i else stage_channels[-1]) for i in range(EXTRA_STAGES))
        self.pool = GlobalPool()
        channels = [*stage_channels, *[EXTRA_CHANNELS] * (EXTRA_STAGES + 1)]
        counts = list(zip(channels, BOXES_PER_CELL, strict=True))
        self.classes = nn.ModuleList(
            predictor(inputs, (1 + classes) * boxes) for inputs, boxes in counts)
        self.offsets = nn.ModuleList(predictor(inputs, 4 * boxes) for inputs, boxes in counts)

    def forward(self, stages: Sequence[Tensor], image_size: tuple[int, int]) -> DefaultBoxOutputs:
        """Return the outputs for C3, C4, C5 of images of (height, width) `image_size`."""
        maps = [norm(x) for norm, x in zip(self.norms, stages, strict=True)]
        last = stages[-1]
        for stage in self.extra:
            last = stage(last)
            maps.append(last)
        maps.append(self.pool(last))
        logits = _predict(self.classes, maps)
        offsets = _predict(self.offsets, maps).float()
        sizes = [(x.shape[-2], x.shape[-1]) for x in maps]
        return DefaultBoxOutputs(
            logits, offsets, make_default_boxes(sizes, image_size, self.input_side, offsets))


def _predict(predictors: nn.ModuleList, maps: Sequence[Tensor]) -> Tensor:
    """Return predictions [B, A, values] for the default boxes of all maps."""
    found = []
    for convolution, x, boxes in zip(predictors, maps, BOXES_PER_CELL, strict=True):
        values = convolution(x).unflatten(1, (-1, boxes)).flatten(3)
        found.append(values.permute(0, 3, 2, 1).flatten(1, 2))
    return torch.cat(found, dim=1)
