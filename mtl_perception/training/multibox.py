"""SSD's loss (arXiv:1512.02325): matching by default boxes, hard negatives, softmax, smooth L1."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import box_iou

from mtl_perception.models.outputs import DefaultBoxOutputs
from mtl_perception.models.ssd_boxes import encode_boxes, to_corners
from mtl_perception.training.losses import (
    DetectionLoss,
    DetectionTruth,
    inside_any,
    LossTerm,
)

MATCH_IOU = 0.5
"""Above this IoU a default box matches an object, in addition to the object's best box."""

NEGATIVES_PER_POSITIVE = 3


def match_boxes(truth: Tensor, default_boxes: Tensor) -> Tensor:
    """
    Return int64 [A]: the object that each default box is matched to, -1 for background.

    `truth` [N, 4] and `default_boxes` [A, 4] are x0, y0, x1, y1. First every object gets a box of
    its own, the pairs of highest IoU first; then every other box goes to the object that it
    overlaps most, if by more than `MATCH_IOU`.
    """
    if len(truth) == 0:
        return torch.full((len(default_boxes),), -1, device=default_boxes.device)
    overlap = box_iou(truth, default_boxes)
    best, matched = overlap.max(dim=0)
    matched[best <= MATCH_IOU] = -1
    taken = torch.zeros_like(best, dtype=torch.bool)
    waiting, wanted = overlap.max(dim=1)
    for _ in range(min(overlap.shape)):
        while True:
            found = int(waiting.argmax())
            if waiting[found] <= 0:
                return matched
            if not taken[wanted[found]]:
                break
            waiting[found], wanted[found] = overlap[found].masked_fill(taken, 0).max(dim=0)
        matched[wanted[found]] = found
        taken[wanted[found]] = True
        waiting[found] = 0
    return matched


def hard_negatives(losses: Tensor, allowed: Tensor, positives: int) -> Tensor:
    """
    Return bool [A]: the default boxes that are trained as background.

    They are those of the largest `losses` [A] among the `allowed` [A] ones,
    `NEGATIVES_PER_POSITIVE` for each of the `positives`.
    """
    count = min(NEGATIVES_PER_POSITIVE * positives, int(allowed.sum()))
    hardest = losses.masked_fill(~allowed, -torch.inf).topk(count).indices
    return torch.zeros_like(allowed).index_fill_(0, hardest, True)


def multibox_loss(outputs: DefaultBoxOutputs, truths: Sequence[DetectionTruth]) -> DetectionLoss:
    """
    Return the losses of a batch of B images; their count is the number of matched default boxes.

    An image without objects or without labelled classes contributes nothing. A default box that
    is background may have the score of a class that the image is not labelled for. Default boxes
    whose centre lies in an ignore region are not negatives.
    """
    corners = to_corners(outputs.default_boxes)
    zero = outputs.class_logits.sum() * 0 + outputs.offsets.sum() * 0
    class_sum, box_sum, count = zero, zero, 0
    for logits, offsets, truth in zip(
            outputs.class_logits.float(), outputs.offsets, truths, strict=True):
        if not truth.labelled.any() or not len(truth.boxes):
            continue
        matched = match_boxes(truth.boxes, corners)
        positive = matched >= 0
        owners = matched[positive]
        total = logits.logsumexp(dim=1)
        background = functional.pad(~truth.labelled, (1, 0), value=True)
        negative_losses = total - logits[:, background].logsumexp(dim=1)
        allowed = ~positive
        if len(truth.ignore):
            allowed &= ~inside_any(outputs.default_boxes[:, :2], truth.ignore)
        negative = hard_negatives(negative_losses.detach(), allowed, len(owners))
        own = logits[positive, 1 + truth.classes[owners]]
        class_sum = class_sum + (total[positive] - own).sum() + negative_losses[negative].sum()
        targets = encode_boxes(truth.boxes[owners], outputs.default_boxes[positive])
        box_sum = box_sum + functional.smooth_l1_loss(
            offsets[positive], targets, reduction='sum')
        count += len(owners)
    counted = zero.detach() + count
    return DetectionLoss(LossTerm(class_sum, counted), LossTerm(box_sum, counted))
