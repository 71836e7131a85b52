"""The deployable graph in torch; what goes in and comes out is in ``graph_contract``."""

from __future__ import annotations

import torch
from torch import nn, Tensor
from torch.nn import functional

from mtl_perception.models.normalization import Normalize
from mtl_perception.spec import ModelSpec


class DeployableGraph(nn.Module):
    """A network with normalisation before it, and decoding, top-k and arg max after it."""

    def __init__(self, network: nn.Module, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.normalize = Normalize()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of the contract, in its order, for uint8 `images` [B, H, W, 3]."""
        height, width = images.shape[1:3]
        outputs = self.network(self.normalize(images))
        results: tuple[Tensor, ...] = ()
        if outputs.detection is not None:
            boxes, scores, classes = outputs.detection.best(self.spec.candidates)
            limits = torch.tensor(
                [width, height, width, height], dtype=boxes.dtype, device=boxes.device)
            boxes = torch.minimum(boxes.clamp(min=0), limits)
            results += boxes, scores.float(), classes.to(torch.int32)
        if outputs.label_logits is not None:
            logits = outputs.label_logits
            stride = self.spec.label_stride
            size = -(-height // stride), -(-width // stride)
            if logits.shape[-2:] != size:
                logits = functional.interpolate(
                    logits, size=size, mode='bilinear', align_corners=False)
            results += (logits.argmax(dim=1).to(torch.uint8),)
        return results
