"""
The deployable graph: from uint8 pictures to candidates and label maps, the same in all runtimes.

Input `images` uint8 [B, H, W, 3] RGB. Outputs `boxes` float32 [B, K, 4] (x0, y0, x1, y1 in
network pixels, inside the picture), `scores` float32 [B, K], `classes` int32 [B, K], best first,
and `label_map` uint8 [B, H / label_stride, W / label_stride]; a task that is switched off has
none. NMS stays outside: its data-dependent shapes are slow in TensorRT and forbid CUDA graphs.
"""

from __future__ import annotations

import torch
from torch import nn, Tensor
from torch.nn import functional

from mtl_perception.models.normalization import Normalize
from mtl_perception.spec import ModelSpec

DETECTION_OUTPUTS = ('boxes', 'scores', 'classes')
SEGMENTATION_OUTPUTS = ('label_map',)


def output_names(spec: ModelSpec) -> tuple[str, ...]:
    """Return the names of the graph's outputs in their order."""
    return (DETECTION_OUTPUTS if spec.detection else ()) + (
        SEGMENTATION_OUTPUTS if spec.segmentation else ())


class DeployableGraph(nn.Module):
    """A network with normalisation before it, and decoding, top-k and arg max after it."""

    def __init__(self, network: nn.Module, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.normalize = Normalize()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs named by `output_names` for uint8 `images` [B, H, W, 3] RGB."""
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
