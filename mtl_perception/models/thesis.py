"""
The network `thesis`: SSD and FCN heads on one shared residual network.

As in Multitask Deep Learning models for real-time deployment in embedded systems (Martí Rabadán,
KTH 2017); details of the heads are those of its author's network generator
(https://github.com/miquelmarti/pynetbuilder).
"""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor

from mtl_perception.models.architecture import Architecture, ClassRows
from mtl_perception.models.backbones import build_backbone, stage_channels, STAGES
from mtl_perception.models.fcn_head import FcnHead
from mtl_perception.models.outputs import NetworkOutputs
from mtl_perception.models.ssd_boxes import BOXES_PER_CELL
from mtl_perception.models.ssd_head import SsdHead
from mtl_perception.spec import ModelSpec

HEAD_STAGES = STAGES[1:]
DEFAULT_FCN_STRIDE = 16


class ThesisNetwork(Architecture):
    """SSD300 on C3 to C5 and three extra maps, and FCN-16s; label logits have full size."""

    BACKBONE = 'resnet50'
    INPUT_SIZE = (300, 300)
    OPTIONS = ('fcn_stride',)
    CRITERION = 'multibox'

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.backbone = build_backbone(spec.backbone)
        channels = stage_channels(self.backbone)[1:]
        self.detection = SsdHead(
            channels, len(spec.detection), min(spec.input_size)) if spec.detection else None
        self.segmentation = FcnHead(
            channels, len(spec.segmentation), spec.fcn_stride or DEFAULT_FCN_STRIDE
        ) if spec.segmentation else None

    def forward(self, images: Tensor, tasks: Collection[str] | None = None) -> NetworkOutputs:
        """Return the outputs; see ``Architecture.forward``."""
        features = self.backbone(images)
        stages = [features[stage] for stage in HEAD_STAGES]
        image_size = images.shape[-2], images.shape[-1]
        detection = label_logits = None
        if self.detection is not None and (tasks is None or 'detection' in tasks):
            detection = self.detection(stages, image_size)
        if self.segmentation is not None and (tasks is None or 'segmentation' in tasks):
            label_logits = self.segmentation(stages, image_size)
        return NetworkOutputs(detection, label_logits)

    @property
    def class_parameters(self) -> dict[str, tuple[ClassRows, ...]]:
        """The per-class parameters of each enabled task."""
        found: dict[str, tuple[ClassRows, ...]] = {}
        if self.detection is not None:
            found['detection'] = tuple(
                ClassRows(f'detection.classes.{level}.', before=boxes, each=boxes)
                for level, boxes in enumerate(BOXES_PER_CELL))
        if self.segmentation is not None:
            found['segmentation'] = (ClassRows('segmentation.'),)
        return found
