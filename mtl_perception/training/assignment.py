"""
Assignment: which cells are trained on which objects, where a cell has one default box.

Either the cells whose predictions agree best with an object (task-aligned, TOOD, arXiv:2108.07755)
or those whose default boxes overlap it significantly (ATSS, arXiv:1912.02424).
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torchvision.ops import box_iou

from mtl_perception.models.default_boxes import Cells

TOP_CELLS = 10
SCORE_POWER = 0.5
IOU_POWER = 6.0
"""Task-aligned: cells per object, and the exponents of score and IoU in the alignment (TOOD)."""

ATSS_CELLS = 9
"""ATSS: cells of each level, nearest to an object's centre, that are candidates."""


class Assignment(NamedTuple):
    """Which object each of the A cells of one image is responsible for."""

    objects: Tensor
    """int64 [A]: index of the object, -1 for background."""
    quality: Tensor
    """float32 [A]: target of the score of the object's class, in [0, 1]; 0 for background."""


class Assigner(Protocol):
    """The interface of an assignment."""

    def __call__(self, scores: Tensor, boxes: Tensor, cells: Cells, truth: Tensor,
                 classes: Tensor) -> Assignment:
        """
        Assign cells to the N objects of one image.

        `scores` [A, C] in [0, 1] and `boxes` [A, 4] are the network's, `truth` [N, 4] and
        `classes` int64 [N] the objects'; all coordinates in network pixels.
        """


@torch.no_grad()
def assign_task_aligned(scores: Tensor, boxes: Tensor, cells: Cells, truth: Tensor,
                        classes: Tensor) -> Assignment:
    """
    Assign cells by the network's outputs; see `Assigner`.

    An object takes the cells inside it with the highest alignment of score and IoU; a cell
    chosen by several objects goes to the one it overlaps most.
    """
    if len(truth) == 0:
        return _nothing(boxes)
    iou = box_iou(truth, boxes)
    alignment = scores[:, classes].T ** SCORE_POWER * iou ** IOU_POWER
    inside = _inside_or_nearest(cells.centers, truth)
    # The small constant orders cells of zero alignment behind all others, not behind outsiders.
    order = torch.where(inside, alignment + 1e-9, torch.zeros_like(alignment))
    top = order.topk(min(TOP_CELLS, len(boxes)), dim=1).indices
    chosen = torch.zeros_like(inside).scatter_(1, top, True) & inside
    owner = _settle(chosen, iou)
    won = chosen & (owner[None] == torch.arange(len(truth), device=owner.device)[:, None])
    alignment = alignment * won
    # Scale so that the target of an object's best cell is its IoU (normalised alignment, TOOD).
    peak = alignment.amax(dim=1, keepdim=True)
    best_iou = (iou * won).amax(dim=1, keepdim=True)
    quality = (alignment / (peak + 1e-12) * best_iou).amax(dim=0)
    return Assignment(owner, quality)


@torch.no_grad()
def assign_atss(scores: Tensor, boxes: Tensor, cells: Cells, truth: Tensor,
                classes: Tensor) -> Assignment:
    """
    Assign cells by their default boxes; see `Assigner`. Scores and classes are not used.

    Of the cells nearest to an object on each level, it takes those with their centre in it whose
    IoU is at least the mean plus the standard deviation of all candidates. Where no cell is left,
    as for tiny objects, it takes the one of highest IoU. The quality is the IoU of the
    network's box (as in generalised focal loss, arXiv:2006.04388).
    """
    if len(truth) == 0:
        return _nothing(boxes)
    overlap = box_iou(truth, cells.default_boxes)
    distance = torch.cdist((truth[:, :2] + truth[:, 2:]) / 2, cells.centers)
    near, first = [], 0
    for count in cells.strides.unique_consecutive(return_counts=True)[1].tolist():
        level = distance[:, first:first + count]
        near.append(level.topk(min(ATSS_CELLS, count), largest=False).indices + first)
        first += count
    candidates = torch.cat(near, dim=1)
    sample = overlap.gather(1, candidates)
    threshold = sample.mean(dim=1, keepdim=True) + sample.std(dim=1, keepdim=True)
    inside = _inside_or_nearest(cells.centers, truth)
    chosen = torch.zeros_like(inside).scatter_(1, candidates, True) & inside & (
        overlap >= threshold)
    left_out = ~chosen.any(dim=1)
    best = overlap.masked_fill(~inside, -1).argmax(dim=1)
    chosen[left_out, best[left_out]] = True
    owner = _settle(chosen, overlap)
    iou = box_iou(truth, boxes).gather(0, owner.clamp(min=0)[None])[0]
    return Assignment(owner, iou * (owner >= 0))


def _nothing(boxes: Tensor) -> Assignment:
    """Return an assignment of all cells to the background."""
    return Assignment(torch.full((len(boxes),), -1, device=boxes.device),
                      torch.zeros(len(boxes), device=boxes.device))


def _inside_or_nearest(centers: Tensor, truth: Tensor) -> Tensor:
    """
    Return bool [N, A]: the cells with their centre inside each object.

    An object too small to hold any centre gets the nearest one.
    """
    inside = torch.cat((centers[None] - truth[:, None, :2],
                        truth[:, None, 2:] - centers[None]), dim=-1).amin(dim=-1) > 0
    nearest = torch.cdist((truth[:, :2] + truth[:, 2:]) / 2, centers).argmin(dim=1)
    empty = ~inside.any(dim=1)
    inside[empty, nearest[empty]] = True
    return inside


def _settle(chosen: Tensor, iou: Tensor) -> Tensor:
    """Return int64 [A]: of the objects that have `chosen` [N, A] a cell that of highest IoU."""
    best, owner = iou.masked_fill(~chosen, -1).max(dim=0)
    return torch.where(best >= 0, owner, torch.full_like(owner, -1))
