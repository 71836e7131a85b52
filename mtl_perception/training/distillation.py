"""
Distillation: single-task teachers provide soft targets for a multitask student.

An image of a partly labelled set has no labels for the other task. A network that was trained for
that task alone has outputs for every image: its probabilities are soft targets (Hinton and others,
arXiv:1503.02531), alone where there are no labels and beside them where there are.

Teacher and student have the same grid of cells, so the target of a cell of the student is the
teacher's output for that cell.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn, Tensor
from torch.nn import functional
from torchvision.ops import generalized_box_iou_loss

from mtl_perception.errors import ConfigError
from mtl_perception.labels import LabelSet
from mtl_perception.models.checkpoint import load_checkpoint
from mtl_perception.models.outputs import CellOutputs, NetworkOutputs
from mtl_perception.spec import ModelSpec
from mtl_perception.training.config import TeacherPaths
from mtl_perception.training.losses import DetectionTruth, FOCAL_POWER, LossTerm

SURE_OBJECT = 0.3
SURE_BACKGROUND = 0.05
"""
Between these scores a teacher is unsure of a cell: the student's score has no loss there.

Scores of the quality focal loss are estimates of IoU; 0.3 is the node's default threshold.
"""

LABELLED_WEIGHT = 0.5
"""Weight of soft targets where an image has labels of its own; it is 1 elsewhere."""

LOSSES = ('soft_classes', 'soft_boxes', 'soft_pixels')


class TeacherOutputs(NamedTuple):
    """Outputs of the teachers for a batch, FP32, without a graph; None: no such teacher."""

    detection: CellOutputs | None
    """Classes in the student's order."""
    label_logits: Tensor | None
    """[B, classes, h, w] in the student's order."""


class Teachers:
    """One teacher for each task, or for one of them."""

    def __init__(self, student: ModelSpec, paths: TeacherPaths, device: torch.device) -> None:
        """
        Load the teachers' checkpoints.

        Raises ModelError for a broken file, ConfigError where a teacher does not have its task,
        has other classes than the student or another grid of cells.
        """
        self.detection, self.detection_order = self._open(
            paths.detection, student, 'detection', device)
        self.segmentation, self.segmentation_order = self._open(
            paths.segmentation, student, 'segmentation', device)

    @staticmethod
    def _open(path: Path | None, student: ModelSpec, task: str, device: torch.device
              ) -> tuple[nn.Module | None, list[int]]:
        if path is None:
            return None, []
        spec, network = load_checkpoint(path)
        ours: LabelSet | None = getattr(student, task)
        theirs: LabelSet | None = getattr(spec, task)
        if ours is None:
            raise ConfigError(f'{path}: the student has no task {task} for this teacher')
        if theirs is None:
            raise ConfigError(f'{path}: this teacher has no task {task}')
        if set(ours.names) != set(theirs.names):
            raise ConfigError(f'{path}: this teacher has the {task} classes '
                              f'{", ".join(theirs.names)}; the student has '
                              f'{", ".join(ours.names)}')
        if task == 'detection':
            for what in ('architecture', 'finest_level'):
                if getattr(spec, what) != getattr(student, what):
                    raise ConfigError(
                        f'{path}: this teacher has {what} {getattr(spec, what)}, the student '
                        f'{getattr(student, what)}: their cells differ')
            if student.architecture != 'lean':
                raise ConfigError('distillation of detection is not supported for the '
                                  f'architecture {student.architecture}, only for lean')
        network = network.to(device, memory_format=torch.channels_last)
        return network.requires_grad_(False), [theirs.index(name) for name in ours.names]

    @torch.no_grad()
    def __call__(self, images: Tensor) -> TeacherOutputs:
        """Return the teachers' outputs for normalised `images` [B, 3, H, W]."""
        detection = label_logits = None
        if self.detection is not None:
            found: CellOutputs = self.detection(images).detection
            detection = found._replace(
                class_logits=found.class_logits[..., self.detection_order].float(),
                boxes=found.boxes.float())
        if self.segmentation is not None:
            label_logits = self.segmentation(images).label_logits
            label_logits = label_logits[:, self.segmentation_order].float()
        return TeacherOutputs(detection, label_logits)


def soft_losses(outputs: NetworkOutputs, targets: TeacherOutputs, truths: list[DetectionTruth],
                pixels_labelled: Tensor) -> dict[str, LossTerm]:
    """
    Return the losses of `LOSSES` that there is a teacher for.

    `outputs` are the student's; `truths` tell which classes each image is labelled for, and
    `pixels_labelled` bool [B] which images have a mask.
    """
    terms: dict[str, LossTerm] = {}
    if targets.detection is not None and outputs.detection is not None:
        student = outputs.detection
        assert isinstance(student, CellOutputs)
        labelled = torch.stack([truth.labelled for truth in truths])
        terms['soft_classes'] = soft_class_loss(
            student.class_logits, targets.detection.class_logits, labelled)
        terms['soft_boxes'] = soft_box_loss(student.boxes, targets.detection, labelled)
    if targets.label_logits is not None and outputs.label_logits is not None:
        weights = torch.where(pixels_labelled, LABELLED_WEIGHT, 1.0)
        terms['soft_pixels'] = soft_pixel_loss(
            outputs.label_logits, targets.label_logits, weights)
    return terms


def soft_class_loss(logits: Tensor, teacher: Tensor, labelled: Tensor) -> LossTerm:
    """
    Return the quality focal loss towards the teacher's scores, where it is sure.

    `logits` and `teacher` [B, A, C]; `labelled` bool [B, C]: classes with labels of their own.
    """
    target = teacher.sigmoid()
    weight = torch.where(labelled, LABELLED_WEIGHT, 1.0)[:, None]
    sure = (target >= SURE_OBJECT) | (target <= SURE_BACKGROUND)
    loss = (logits.sigmoid() - target).abs() ** FOCAL_POWER * (
        functional.binary_cross_entropy_with_logits(logits, target, reduction='none'))
    count = (target * (target >= SURE_OBJECT) * weight).sum()
    return LossTerm((loss * sure * weight).sum(), count)


def soft_box_loss(boxes: Tensor, teacher: CellOutputs, labelled: Tensor) -> LossTerm:
    """
    Return GIoU (arXiv:1902.09630) to the teacher's boxes in cells where it detects an object.

    `boxes` [B, A, 4] in network pixels; `labelled` bool [B, C].
    """
    scores, classes = teacher.class_logits.sigmoid().max(dim=2)
    seen = scores >= SURE_OBJECT
    weight = scores * torch.where(labelled.gather(1, classes), LABELLED_WEIGHT, 1.0)
    giou = generalized_box_iou_loss(boxes[seen], teacher.boxes[seen])
    return LossTerm((giou * weight[seen]).sum() + boxes.sum() * 0, weight[seen].sum())


def soft_pixel_loss(logits: Tensor, teacher: Tensor, weights: Tensor) -> LossTerm:
    """
    Return the Kullback-Leibler divergence of the student's from the teacher's probabilities.

    `logits` and `teacher` [B, C, h, w]; `weights` [B] of the images.
    """
    divergence = functional.kl_div(
        logits.log_softmax(dim=1), teacher.log_softmax(dim=1), reduction='none',
        log_target=True).sum(dim=1)
    area = float(divergence[0].numel())
    return LossTerm((divergence * weights[:, None, None]).sum(), weights.sum() * area)
