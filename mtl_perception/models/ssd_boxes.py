"""
SSD's default boxes, several per cell, and the encoding of boxes as offsets from them.

As in Single Shot MultiBox Detector (arXiv:1512.02325) for 300x300 pixels: 8732 boxes on six maps.
"""

from __future__ import annotations

from collections.abc import Sequence
import math

import torch
from torch import Tensor

REFERENCE_SIDE = 300
"""Shorter side of the input for which `BOX_SIZES` are given, in pixels."""

BOX_SIZES = (30, 60, 111, 162, 213, 264, 315)
"""
Pixels: map k has a square of size k and one of the geometric mean of sizes k and k + 1.

10 % of the input on the first map and evenly spread from 20 % to 88 % on the others.
"""

ASPECT_RATIOS = ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,))
"""Aspect ratios of other boxes, in both orientations, with the area of the smaller square."""

BOXES_PER_CELL = tuple(2 + 2 * len(ratios) for ratios in ASPECT_RATIOS)

STRIDES = (8, 16, 32, 64)
"""Pixels; the cells of the coarser maps (3x3 and 1x1 at 300x300) divide the image evenly."""

CENTER_VARIANCE, SIDE_VARIANCE = 0.1, 0.2
"""Divisors of the offsets of centres and sides, which give all four losses the same scale."""

MAX_LOG_GROWTH = 4.0
"""A side grows or shrinks at most e^4 = 55 times, so that training cannot overflow."""


def box_shapes(level: int, side: float) -> list[tuple[float, float]]:
    """
    Return width and height, in pixels, of the default boxes of a cell of map `level`.

    `side` is the shorter side of the network's input, to which all sizes are proportional.
    """
    scale = side / REFERENCE_SIDE
    small, large = BOX_SIZES[level] * scale, BOX_SIZES[level + 1] * scale
    between = math.sqrt(small * large)
    shapes = [(small, small), (between, between)]
    for ratio in ASPECT_RATIOS[level]:
        longer, shorter = small * math.sqrt(ratio), small / math.sqrt(ratio)
        shapes += [(longer, shorter), (shorter, longer)]
    return shapes


def make_default_boxes(sizes: Sequence[tuple[int, int]], image_size: tuple[int, int], side: float,
                       like: Tensor) -> Tensor:
    """
    Return the default boxes [A, 4] (centre x, y, width, height in network pixels) of all maps.

    `sizes` are (height, width) of the six maps, finest first, `image_size` (height, width) of the
    image, `side` as in `box_shapes`. Cells are in row-major order, with the boxes of a cell
    adjacent. `like` gives dtype and device.
    """
    boxes = []
    for level, size in enumerate(sizes):
        step_y, step_x = ((STRIDES[level],) * 2 if level < len(STRIDES) else
                          (image_size[0] / size[0], image_size[1] / size[1]))
        y = (torch.arange(size[0], dtype=like.dtype, device=like.device) + 0.5) * step_y
        x = (torch.arange(size[1], dtype=like.dtype, device=like.device) + 0.5) * step_x
        grid_y, grid_x = torch.meshgrid(y, x, indexing='ij')
        # Filled on the device: a copy to it would abort the capture of a CUDA graph.
        boxes.append(torch.stack([
            torch.stack((grid_x, grid_y, torch.full_like(grid_x, width),
                         torch.full_like(grid_y, height)), dim=-1)
            for width, height in box_shapes(level, side)], dim=-2).reshape(-1, 4))
    return torch.cat(boxes)


def encode_boxes(boxes: Tensor, default_boxes: Tensor) -> Tensor:
    """
    Return the offsets [..., 4] from which `decode_offsets` computes `boxes` [..., 4].

    `boxes` are x0, y0, x1, y1, `default_boxes` centre x, y, width, height, all in pixels.
    """
    sides = (boxes[..., 2:] - boxes[..., :2]).clamp(min=1e-3)
    centers = (boxes[..., :2] + boxes[..., 2:]) / 2
    default_sides = default_boxes[..., 2:]
    return torch.cat(((centers - default_boxes[..., :2]) / default_sides / CENTER_VARIANCE,
                      (sides / default_sides).log() / SIDE_VARIANCE), dim=-1)


def decode_offsets(offsets: Tensor, default_boxes: Tensor) -> Tensor:
    """
    Return boxes [..., 4] (x0, y0, x1, y1 in pixels) from offsets [..., 4].

    Centres move by fractions of the default box's sides, and the sides grow exponentially.
    """
    default_sides = default_boxes[..., 2:]
    centers = default_boxes[..., :2] + offsets[..., :2] * CENTER_VARIANCE * default_sides
    growth = (offsets[..., 2:] * SIDE_VARIANCE).clamp(-MAX_LOG_GROWTH, MAX_LOG_GROWTH).exp()
    halves = default_sides * growth / 2
    return torch.cat((centers - halves, centers + halves), dim=-1)


def to_corners(default_boxes: Tensor) -> Tensor:
    """Return `default_boxes` [..., 4] as x0, y0, x1, y1."""
    halves = default_boxes[..., 2:] / 2
    return torch.cat((default_boxes[..., :2] - halves, default_boxes[..., :2] + halves), dim=-1)
