"""Default boxes, one square per cell, and the decoding of the network's offsets to boxes."""

from __future__ import annotations

from collections.abc import Sequence
import math
from typing import NamedTuple

import torch
from torch import Tensor

DEFAULT_BOX_STRIDES = 4
"""Side of a default box in strides of its level (16, 32, ... 256 pixels for P2 to P6)."""

MAX_LOG_GROWTH = 4.0
"""Offsets are clipped to this: a side is at most e^4 = 55 times the default distance away."""


class Cells(NamedTuple):
    """The A cells of all levels of an image, finest level first."""

    centers: Tensor
    """[A, 2] x, y in network pixels."""
    strides: Tensor
    """[A] in network pixels."""

    @property
    def default_boxes(self) -> Tensor:
        """[A, 4] x0, y0, x1, y1 in network pixels."""
        half = self.strides[:, None] * (DEFAULT_BOX_STRIDES / 2)
        return torch.cat((self.centers - half, self.centers + half), dim=-1)


def cell_centers(sizes: Sequence[tuple[int, int]], strides: Sequence[int], like: Tensor) -> Cells:
    """
    Return every cell's centre and stride.

    `sizes` are (height, width) of the levels, finest first; cells are in row-major order, level
    after level. `like` gives dtype and device.
    """
    centers, all_strides = [], []
    for (height, width), stride in zip(sizes, strides, strict=True):
        y = (torch.arange(height, dtype=like.dtype, device=like.device) + 0.5) * stride
        x = (torch.arange(width, dtype=like.dtype, device=like.device) + 0.5) * stride
        grid_y, grid_x = torch.meshgrid(y, x, indexing='ij')
        centers.append(torch.stack((grid_x, grid_y), dim=-1).reshape(-1, 2))
        all_strides.append(torch.full_like(centers[-1][:, 0], stride))
    return Cells(torch.cat(centers), torch.cat(all_strides))


def decode_boxes(offsets: Tensor, centers: Tensor, strides: Tensor) -> Tensor:
    """
    Return boxes [B, A, 4] (x0, y0, x1, y1 in network pixels) from offsets [B, A, 4].

    The four sides of the default box move outwards or inwards: a side's distance from the cell's
    centre is the default one times the exponential of its offset, so zero offsets give the default
    box and no box is inverted (FCOS, arXiv:1904.01355).
    """
    distances = offsets.clamp(max=MAX_LOG_GROWTH).exp() * (
        strides[:, None] * (DEFAULT_BOX_STRIDES / 2))
    return torch.cat((centers - distances[..., :2], centers + distances[..., 2:]), dim=-1)


def prior_bias(probability: float) -> float:
    """Return the logit of `probability`, the initial bias of a class score (arXiv:1708.02002)."""
    return math.log(probability / (1 - probability))
