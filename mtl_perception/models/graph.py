"""The deployable graph in torch; its inputs and outputs are defined in ``graph_contract``."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import nn, Tensor
from torch.nn import functional

from mtl_perception.models.normalization import Normalize
from mtl_perception.spec import ModelSpec


class DeployableGraph(nn.Module):
    """A network with normalisation before it, and decoding, top-k and arg max after it."""

    limits: Tensor

    def __init__(self, network: nn.Module, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.normalize = Normalize()
        self.network = network
        # Limits of x0, y0, x1, y1. Not created in `forward`: a copy to the GPU during the capture
        # of a CUDA graph aborts it.
        limits = torch.tensor(spec.input_size * 2, dtype=torch.float32)
        self.register_buffer('limits', limits, persistent=False)

    def forward(self, images: Tensor, tasks: Collection[str] | None = None,
                ) -> tuple[Tensor, ...]:
        """
        Return the outputs of the contract, in its order, for uint8 `images` [B, H, W, 3].

        If `tasks` is given, only their outputs are returned.
        """
        height, width = images.shape[1:3]
        outputs = self.network(self.normalize(images), tasks)
        results: tuple[Tensor, ...] = ()
        if outputs.detection is not None:
            boxes, scores, classes = outputs.detection.best(self.spec.candidates)
            boxes = torch.minimum(boxes.clamp(min=0), self.limits)
            results += boxes, scores.float(), classes.to(torch.int32)
        if outputs.label_logits is not None:
            logits = at_stride(outputs.label_logits, (height, width), self.spec.label_stride)
            results += (logits.argmax(dim=1).to(torch.uint8),)
        return results


def at_stride(logits: Tensor, image: tuple[int, int], stride: int) -> Tensor:
    """
    Resample `logits` [B, C, h, w] of an image of (height, width) `image` to another stride.

    The result has one value per `stride` pixels on each axis, interpolated between the centres of
    the given ones; partial cells at the border of the image are included.
    """
    own = -(-image[0] // logits.shape[-2])
    if own == stride:
        return logits
    height, width = (-(-side // stride) for side in image)
    if own < stride:
        count = stride // own
        ends = width * count - logits.shape[-1], height * count - logits.shape[-2]
        if any(ends):
            logits = functional.pad(logits, (0, ends[0], 0, ends[1]), mode='replicate')
    # By a factor rather than to a size, which an exported graph would compute at run time.
    logits = functional.interpolate(
        logits, scale_factor=own / stride, mode='bilinear', align_corners=False)
    return logits[..., :height, :width]
