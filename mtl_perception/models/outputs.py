"""The outputs of a network for a batch, in the form that training and deployment need."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor
from torch.nn import functional

from mtl_perception.models.default_boxes import Cells
from mtl_perception.models.ssd_boxes import decode_offsets


class Candidates(NamedTuple):
    """The K best boxes of each image, best first."""

    boxes: Tensor
    """[B, K, 4] x0, y0, x1, y1 in network pixels; they may extend beyond the image."""
    scores: Tensor
    """[B, K] in [0, 1]."""
    classes: Tensor
    """int64 [B, K]."""


class DetectionOutputs(Protocol):
    """Interface of detection outputs; the criterion of an architecture uses further fields."""

    def best(self, count: int) -> Candidates:
        """Return the `count` best boxes of each image, or all if there are fewer."""


class CellOutputs(NamedTuple):
    """Detection with one default box per cell and an independent score for each class."""

    class_logits: Tensor
    """[B, A, classes], one row for each of the A cells; the sigmoid gives scores."""
    boxes: Tensor
    """[B, A, 4] x0, y0, x1, y1 in network pixels."""
    cells: Cells
    """Centre and stride of the A cells."""

    def best(self, count: int) -> Candidates:
        """Return the best boxes; see `DetectionOutputs`."""
        best, classes = self.class_logits.max(dim=2)
        best, order = best.topk(min(count, best.shape[1]), dim=1)
        boxes = self.boxes.gather(1, order[..., None].expand(-1, -1, 4))
        return Candidates(boxes, best.sigmoid(), classes.gather(1, order))


class DefaultBoxOutputs(NamedTuple):
    """Detection with several default boxes per cell, each of one class or background (SSD)."""

    class_logits: Tensor
    """[B, A, 1 + classes] of the A default boxes, background first; the softmax gives scores."""
    offsets: Tensor
    """[B, A, 4] offsets from the default boxes, as of `encode_boxes`."""
    default_boxes: Tensor
    """[A, 4] centre x, y, width, height in network pixels."""

    def best(self, count: int) -> Candidates:
        """Return the best boxes; see `DetectionOutputs`. A default box has its best class only."""
        best, classes = self.class_logits.softmax(dim=2)[..., 1:].max(dim=2)
        best, order = best.topk(min(count, best.shape[1]), dim=1)
        offsets = self.offsets.gather(1, order[..., None].expand(-1, -1, 4))
        # Indexing by two dimensions would be exported with nodes that compute the batch size.
        boxes = decode_offsets(offsets, functional.embedding(order, self.default_boxes))
        return Candidates(boxes, best, classes.gather(1, order))


class NetworkOutputs(NamedTuple):
    """The outputs of a network for a batch; the field of a disabled task is None."""

    detection: DetectionOutputs | None
    label_logits: Tensor | None
    """[B, classes, h, w] over the whole image, at the architecture's stride."""
