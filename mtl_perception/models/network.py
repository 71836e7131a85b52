"""The network `lean`: one shared backbone and pyramid, a detection and a segmentation head."""

from __future__ import annotations

from typing import NamedTuple

from torch import nn, Tensor

from mtl_perception.errors import ConfigError
from mtl_perception.models.backbones import build_backbone, stage_channels
from mtl_perception.models.default_boxes import cell_centers, decode_boxes
from mtl_perception.models.detection_head import DetectionHead
from mtl_perception.models.pyramid import Pyramid
from mtl_perception.models.segmentation_head import SegmentationHead
from mtl_perception.spec import ModelSpec

WIDE_BACKBONE = 1024
"""From this many channels of C5 on, the neck has 128 channels; below, 64."""


class NetworkOutputs(NamedTuple):
    """What the network says of a batch; the fields of a task that is switched off are None."""

    class_logits: Tensor | None
    """[B, A, classes], one row for each of the A cells."""
    boxes: Tensor | None
    """[B, A, 4] x0, y0, x1, y1 in network pixels."""
    centers: Tensor | None
    """[A, 2] x, y of the cells in network pixels."""
    strides: Tensor | None
    """[A] stride of the cells in network pixels."""
    label_logits: Tensor | None
    """[B, classes, H / 4, W / 4]."""


class LeanNetwork(nn.Module):
    """Multitask network of `spec`; a task without a label set has no head and costs nothing."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.backbone = build_backbone(spec.backbone)
        stages = stage_channels(self.backbone)
        channels = spec.neck_channels or (128 if stages[-1] >= WIDE_BACKBONE else 64)
        finest = spec.finest_level if spec.detection else 3
        self.pyramid = Pyramid(stages, channels, finest)
        self.detection = DetectionHead(
            channels, len(spec.detection), self.pyramid.levels) if spec.detection else None
        self.segmentation = SegmentationHead(
            channels, stages[0], channels // 2, len(spec.segmentation)
        ) if spec.segmentation else None

    @property
    def class_parameters(self) -> dict[str, tuple[str, ...]]:
        """By task, prefixes of the parameters whose first dimension is the task's classes."""
        return {
            'detection': ('detection.classes.predictor.', 'detection.classes.fine_predictor.'),
            'segmentation': ('segmentation.score.',)}

    def forward(self, images: Tensor) -> NetworkOutputs:
        """Return the outputs for normalised RGB images [B, 3, H, W] of any size from 32x32."""
        features = self.backbone(images)
        pyramid = self.pyramid(features)
        class_logits = boxes = centers = strides = label_logits = None
        if self.detection is not None:
            class_logits, offsets = self.detection(pyramid)
            sizes = [(x.shape[-2], x.shape[-1]) for x in pyramid]
            centers, strides = cell_centers(sizes, self.detection.strides, offsets.float())
            boxes = decode_boxes(offsets.float(), centers, strides)
        if self.segmentation is not None:
            p3 = self.pyramid.levels.index(3)
            label_logits = self.segmentation(pyramid[p3:p3 + 3], features['c2'])
        return NetworkOutputs(class_logits, boxes, centers, strides, label_logits)


ARCHITECTURES: dict[str, type[nn.Module]] = {'lean': LeanNetwork}


def build_model(spec: ModelSpec) -> nn.Module:
    """Return the network that `spec` names, randomly initialised; ConfigError if unknown."""
    if spec.architecture not in ARCHITECTURES:
        raise ConfigError(
            f'no architecture {spec.architecture!r}; there are {", ".join(sorted(ARCHITECTURES))}')
    return ARCHITECTURES[spec.architecture](spec)
