"""
Losses of both tasks; each counts only where its labels exist and is divided by its own count.

Detection: quality focal loss (arXiv:2006.04388) on class scores and GIoU (arXiv:1902.09630) on
boxes. Segmentation: minus the log of the summed probability of the classes that a pixel's label
allows, which is cross entropy where the label is a single class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import generalized_box_iou_loss

from mtl_perception.labels import IGNORE_LABEL
from mtl_perception.models.outputs import CellOutputs
from mtl_perception.training.assignment import assign_task_aligned, Assigner

FOCAL_POWER = 2.0


class DetectionTruth(NamedTuple):
    """Objects of one image, in network pixels."""

    boxes: Tensor
    """float32 [N, 4]."""
    classes: Tensor
    """int64 [N]."""
    ignore: Tensor
    """float32 [M, 4]: no loss for cells in here."""
    labelled: Tensor
    """bool [C]: classes for which the image's set is exhaustively labelled."""


class LossTerm(NamedTuple):
    """
    A loss before it is divided by its count.

    Kept apart because the counts of several processes are added up first.
    """

    total: Tensor
    """Sum over what is labelled, with its graph."""
    count: Tensor
    """Divisor of the sum, without a graph; 0 where nothing is labelled."""

    def mean(self) -> Tensor:
        """Return total over count; 0 where nothing is labelled."""
        return self.total / self.count.clamp(min=1)


class DetectionLoss(NamedTuple):
    """Losses of a batch."""

    classes: LossTerm
    boxes: LossTerm


def quality_focal_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the loss of each element for targets in [0, 1] (quality 0 is background)."""
    weight = (logits.sigmoid() - targets).abs() ** FOCAL_POWER
    return weight * functional.binary_cross_entropy_with_logits(logits, targets, reduction='none')


def detection_loss(outputs: CellOutputs, truths: Sequence[DetectionTruth],
                   assign: Assigner = assign_task_aligned) -> DetectionLoss:
    """
    Return the losses of a batch of B images.

    Cells are trained on the objects that `assign` gives them; an image without labelled classes
    contributes nothing.
    """
    class_logits, boxes, cells = outputs
    zero = class_logits.sum() * 0
    class_sum, box_sum, quality_sum = zero, boxes.sum() * 0, zero.detach()
    for logits, predicted, truth in zip(class_logits, boxes, truths, strict=True):
        if not truth.labelled.any():
            continue
        found = assign(
            logits.detach().sigmoid(), predicted.detach(), cells, truth.boxes, truth.classes)
        positive = found.objects >= 0
        owners = found.objects[positive]
        targets = torch.zeros_like(logits)
        targets[positive, truth.classes[owners]] = found.quality[positive]
        counted = truth.labelled.expand_as(logits)
        if len(truth.ignore):
            masked = inside_any(cells.centers, truth.ignore) & ~positive
            counted = counted & ~masked[:, None]
        class_sum = class_sum + (quality_focal_loss(logits, targets) * counted).sum()
        quality_sum = quality_sum + found.quality.sum()
        if len(owners):
            giou = generalized_box_iou_loss(predicted[positive], truth.boxes[owners])
            box_sum = box_sum + (giou * found.quality[positive]).sum()
    return DetectionLoss(LossTerm(class_sum, quality_sum), LossTerm(box_sum, quality_sum))


def inside_any(points: Tensor, regions: Tensor) -> Tensor:
    """Return bool [A]: which `points` [A, 2] lie in one of `regions` [M, 4]."""
    return ((points[:, None] >= regions[None, :, :2])
            & (points[:, None] < regions[None, :, 2:])).all(dim=-1).any(dim=-1)


def set_loss(logits: Tensor, labels: Tensor, table: Tensor, weights: Tensor) -> LossTerm:
    """
    Return the segmentation loss over the labelled pixels of a batch.

    `logits` [B, C, h, w]; `labels` uint8 [B, h, w], numbers of class sets, IGNORE_LABEL for no
    label; `table` bool [sets, C], the classes of each set; `weights` [sets], of a pixel's loss.
    """
    labelled = labels != IGNORE_LABEL
    if not labelled.any():
        zero = logits.sum() * 0
        return LossTerm(zero, zero.detach())
    pixel_logits = logits.permute(0, 2, 3, 1)[labelled]
    numbers = labels[labelled].long()
    allowed = pixel_logits.masked_fill(~table[numbers], -torch.inf)
    loss = pixel_logits.logsumexp(dim=1) - allowed.logsumexp(dim=1)
    weight = weights[numbers]
    return LossTerm((loss * weight).sum(), weight.sum())
