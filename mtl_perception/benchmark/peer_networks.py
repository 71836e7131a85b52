"""Networks of torchvision with the outputs expected by the deployable graph (torch)."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import nn, Tensor
from torchvision.models import detection, segmentation
from torchvision.models.detection.image_list import ImageList

from mtl_perception.models.normalization import Normalize
from mtl_perception.models.outputs import DefaultBoxOutputs, NetworkOutputs

_SPREAD = {'cls_logits': 3.0, 'bbox_regression': 0.5}
"""Standard deviation to which the outputs of random weights are scaled: some classes have high
scores, and boxes stay near their default box."""


class PeerDetector(nn.Module):
    """An SSD of torchvision without its own resizing, decoding and NMS."""

    default_boxes: Tensor

    def __init__(self, name: str, classes: int, input_size: tuple[int, int]) -> None:
        """
        Create torchvision's detection model `name` for `classes` in addition to the background.

        `input_size` is (width, height) in pixels. The default boxes are those of torchvision's
        generator.
        """
        super().__init__()
        model = detection.__dict__[name](
            weights=None, weights_backbone=None, num_classes=classes + 1).eval()
        self.backbone = model.backbone
        self.head = model.head
        width, height = input_size
        images = torch.zeros(1, 3, height, width)
        with torch.no_grad():
            maps = list(self.backbone(images).values())
            corners, = model.anchor_generator(ImageList(images, [(height, width)]), maps)
        sides = corners[:, 2:] - corners[:, :2]
        centers = (corners[:, 2:] + corners[:, :2]) / 2
        self.register_buffer('default_boxes', torch.cat((centers, sides), dim=1))

    def forward(self, images: Tensor, tasks: Collection[str] | None = None) -> NetworkOutputs:
        """Return the outputs for normalised RGB images [B, 3, H, W]."""
        found = self.head(list(self.backbone(images).values()))
        # torchvision's BoxCoder has the weights (10, 10, 5, 5), the inverse of our variances.
        return NetworkOutputs(DefaultBoxOutputs(
            found['cls_logits'], found['bbox_regression'], self.default_boxes), None)

    def calibrate(self, images: Tensor, count: int, threshold: float) -> None:
        """
        Adjust biases so that about `count` boxes per image score above `threshold`, as in a
        trained network.

        `images` is uint8 [B, H, W, 3] RGB; `count` is the mean over them. The last convolutions of
        the heads are changed, in place.
        """
        with torch.no_grad():
            found = self.head(list(self.backbone(Normalize()(images)).values()))
            logits = found['cls_logits']
            factor = _SPREAD['cls_logits'] / logits.std()
            logits = logits.double() * factor
            # Of a box, e^best / (e^(background + shift) + others) is above the threshold where the
            # shift is below its limit.
            others = logits[..., 1:].logsumexp(dim=2)
            share = (logits[..., 1:].max(dim=2).values - others).exp()
            room = (share / threshold - 1).clamp(min=1e-30).log()
            limits = (others + room - logits[..., 0]).flatten()
            shift = limits.topk(min(count * len(images), len(limits))).values[-1]
            for last in _last_convolutions(self.head.classification_head):
                last.weight *= factor
                last.bias *= factor
                last.bias[::logits.shape[2]] += shift
            offsets = found['bbox_regression']
            for last in _last_convolutions(self.head.regression_head):
                last.weight *= _SPREAD['bbox_regression'] / offsets.std()


class PeerSegmenter(nn.Module):
    """
    An FCN or LR-ASPP of torchvision without its upsampling to the size of the image.

    The deployable graph resamples the scores to its label stride instead.
    """

    def __init__(self, name: str, classes: int) -> None:
        """Create torchvision's segmentation model `name` for `classes`, including background."""
        super().__init__()
        options = {'aux_loss': False} if name.startswith('fcn') else {}
        model = segmentation.__dict__[name](
            weights=None, weights_backbone=None, num_classes=classes, **options).eval()
        self.backbone = model.backbone
        self.classifier = model.classifier
        self._takes_all = not options

    def forward(self, images: Tensor, tasks: Collection[str] | None = None) -> NetworkOutputs:
        """Return the outputs for normalised RGB images [B, 3, H, W]."""
        maps = self.backbone(images)
        return NetworkOutputs(None, self.classifier(maps if self._takes_all else maps['out']))


def _last_convolutions(head: nn.Module) -> list[nn.Conv2d]:
    """Return the last convolution of the branch of each map."""
    return [[module for module in branch.modules() if isinstance(module, nn.Conv2d)][-1]
            for branch in head.module_list]
