"""The network `lean`: one shared backbone and pyramid, a detection and a segmentation head."""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor

from mtl_perception.models.architecture import Architecture, ClassRows
from mtl_perception.models.backbones import build_backbone, stage_channels
from mtl_perception.models.default_boxes import cell_centers, decode_boxes
from mtl_perception.models.detection_head import DetectionHead, TowerDesign
from mtl_perception.models.outputs import CellOutputs, NetworkOutputs
from mtl_perception.models.pyramid import Pyramid
from mtl_perception.models.segmentation_head import SegmentationHead
from mtl_perception.spec import ModelSpec

WIDE_BACKBONE = 1024
"""With at least this many channels in C5 the neck has 128 channels, otherwise 64."""


class LeanNetwork(Architecture):
    """SSD and FCN heads on a feature pyramid; label logits have stride 4."""

    BACKBONE = 'mobilenet_v2'
    INPUT_SIZE = (640, 640)
    OPTIONS = ('neck_channels', 'finest_level', 'fine_channels', 'fine_towers', 'towers',
               'tower_channels')
    CRITERION = 'quality_focal'

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.backbone = build_backbone(spec.backbone)
        stages = stage_channels(self.backbone)
        channels = spec.neck_channels or (128 if stages[-1] >= WIDE_BACKBONE else 64)
        finest = spec.finest_level if spec.detection else 3
        design = TowerDesign(
            spec.tower_channels or channels, spec.towers == 'separable',
            spec.fine_channels or channels, spec.fine_towers == 'one')
        self.pyramid = Pyramid(stages, channels, finest, design.fine_channels)
        self.detection = DetectionHead(
            channels, len(spec.detection), self.pyramid.levels, design
        ) if spec.detection else None
        self.segmentation = SegmentationHead(
            channels, stages[0], channels // 2, len(spec.segmentation)
        ) if spec.segmentation else None

    def forward(self, images: Tensor, tasks: Collection[str] | None = None) -> NetworkOutputs:
        """Return the outputs; see ``Architecture.forward``."""
        features = self.backbone(images)
        pyramid = self.pyramid(features)
        detection = label_logits = None
        if self.detection is not None and (tasks is None or 'detection' in tasks):
            class_logits, offsets = self.detection(pyramid)
            sizes = [(x.shape[-2], x.shape[-1]) for x in pyramid]
            cells = cell_centers(sizes, self.detection.strides, offsets.float())
            boxes = decode_boxes(offsets.float(), cells.centers, cells.strides)
            detection = CellOutputs(class_logits, boxes, cells)
        if self.segmentation is not None and (tasks is None or 'segmentation' in tasks):
            p3 = self.pyramid.levels.index(3)
            label_logits = self.segmentation(pyramid[p3:p3 + 3], features['c2'])
        return NetworkOutputs(detection, label_logits)

    @property
    def class_parameters(self) -> dict[str, tuple[ClassRows, ...]]:
        """The per-class parameters of each enabled task."""
        found: dict[str, tuple[ClassRows, ...]] = {}
        if self.detection is not None:
            fine = self.detection.classes.fine_predictor is not None
            found['detection'] = (
                ClassRows('detection.classes.predictor.'),
                *([ClassRows('detection.classes.fine_predictor.')] if fine else []))
        if self.segmentation is not None:
            found['segmentation'] = (ClassRows('segmentation.score.'),)
        return found
