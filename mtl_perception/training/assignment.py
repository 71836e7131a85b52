"""Task-aligned assignment of cells to objects (TOOD, arXiv:2108.07755)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import box_iou

TOP_CELLS = 10
SCORE_POWER = 0.5
IOU_POWER = 6.0
"""Cells an object gets, and the exponents of score and IoU in the alignment."""


class Assignment(NamedTuple):
    """Which object each of the A cells of one picture is responsible for."""

    objects: Tensor
    """int64 [A]: index of the object, -1 for background."""
    quality: Tensor
    """float32 [A]: target of the score of the object's class, in [0, 1]; 0 for background."""


@torch.no_grad()
def assign(scores: Tensor, boxes: Tensor, centers: Tensor, truth: Tensor,
           classes: Tensor) -> Assignment:
    """
    Assign cells to the N objects of one picture.

    `scores` [A, C] in [0, 1] and `boxes` [A, 4] are the network's, `centers` [A, 2] the cells',
    `truth` [N, 4] and `classes` int64 [N] the objects'; all coordinates in network pixels. An
    object takes the cells inside it whose score and IoU agree best; a cell that several objects
    want goes to the one it overlaps most.
    """
    cells, objects = len(boxes), len(truth)
    if objects == 0:
        return Assignment(torch.full((cells,), -1, device=boxes.device),
                          torch.zeros(cells, device=boxes.device))
    iou = box_iou(truth, boxes)
    alignment = scores[:, classes].T ** SCORE_POWER * iou ** IOU_POWER
    inside = torch.cat((centers[None] - truth[:, None, :2],
                        truth[:, None, 2:] - centers[None]), dim=-1).amin(dim=-1) > 0
    # An object too small to hold any cell's centre gets the nearest one.
    nearest = torch.cdist((truth[:, :2] + truth[:, 2:]) / 2, centers).argmin(dim=1)
    empty = ~inside.any(dim=1)
    inside[empty, nearest[empty]] = True
    # The small constant orders cells of zero alignment behind all others, not behind outsiders.
    order = torch.where(inside, alignment + 1e-9, torch.zeros_like(alignment))
    top = order.topk(min(TOP_CELLS, cells), dim=1).indices
    chosen = torch.zeros_like(inside).scatter_(1, top, True) & inside
    contest = torch.where(chosen, iou + 1e-9, torch.zeros_like(iou))
    best, owner = contest.max(dim=0)
    owner = torch.where(best > 0, owner, torch.full_like(owner, -1))
    won = chosen & (owner[None] == torch.arange(objects, device=owner.device)[:, None])
    alignment = alignment * won
    # Scale so that an object's best cell is asked for its IoU (normalised alignment of TOOD).
    peak = alignment.amax(dim=1, keepdim=True)
    best_iou = (iou * won).amax(dim=1, keepdim=True)
    quality = (alignment / (peak + 1e-12) * best_iou).amax(dim=0)
    return Assignment(owner, quality)
