"""What a step minimises: the losses of both tasks, from labels and from teachers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mtl_perception.data.set_spec import Manifest
from mtl_perception.labels import IGNORE_LABEL
from mtl_perception.models.normalization import Normalize
from mtl_perception.training import distillation
from mtl_perception.training.batches import Batch
from mtl_perception.training.class_sets import ClassSets
from mtl_perception.training.criteria import Criterion
from mtl_perception.training.distillation import soft_losses, Teachers
from mtl_perception.training.losses import LossTerm, set_loss
from mtl_perception.training.options import LossOptions
from mtl_perception.training.process_group import ProcessGroup

if TYPE_CHECKING:
    from lightning_fabric import Fabric

TASK_OF = {
    'classes': 'detection', 'boxes': 'detection', 'pixels': 'segmentation',
    'soft_classes': 'detection', 'soft_boxes': 'detection', 'soft_pixels': 'segmentation'}
"""Task of each loss; the names of the losses in their order."""

LABEL_LOSS_STRIDE = 2
"""Network pixels per pixel at which label logits and labels are compared."""


def loss_names(tasks: tuple[str, ...], with_teachers: bool) -> list[str]:
    """Return the names of the losses of a run on `tasks`."""
    return [name for name, task in TASK_OF.items() if task in tasks
            and (with_teachers or name not in distillation.LOSSES)]


def set_weights(class_sets: ClassSets, manifest: Manifest) -> Tensor:
    """
    Return the loss weight of a pixel of each class set, float32 [sets].

    A single class has the manifest's weight. A set of several classes that comes from a mask has
    weight 1: with less, the network would favour the source's single classes. That a class is
    *not* there, which boxes alone tell, holds for many pixels and tells little about each: the
    weight is the share of information that n of C classes carry, 1 - log n / log C.
    """
    count = class_sets.table().sum(axis=1)
    information = 1 - np.log(count) / max(np.log(class_sets.classes), 1e-9)
    weights = np.where(class_sets.of_masks(), 1.0, information).astype(np.float32)
    weights[:class_sets.classes] = manifest.pixel_weights
    return torch.from_numpy(weights)


class Objective:
    """The losses of a batch, by name, with the weights of the options."""

    def __init__(self, fabric: Fabric, group: ProcessGroup, network: Callable[[Tensor], Any],
                 criterion: Criterion, options: LossOptions, manifest: Manifest,
                 class_sets: ClassSets | None, teachers: Teachers | None = None) -> None:
        """Take a `network` that `fabric` has set up: its outputs are FP32."""
        self.fabric = fabric
        self.group = group
        self.network = network
        self.criterion = criterion
        self.options = options
        self.teachers = teachers
        self.normalize = Normalize().to(fabric.device)
        if class_sets is not None:
            self.table = torch.from_numpy(class_sets.table()).to(fabric.device)
            self.weights = set_weights(class_sets, manifest).to(fabric.device)

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """
        Return the losses of `batch`, which is on the device, with their graphs.

        In a group of several processes each is scaled so that the mean of the processes' gradients
        is that of the whole batch.
        """
        images = self.normalize(batch.images).contiguous(memory_format=torch.channels_last)
        outputs = self.network(images)
        terms: dict[str, LossTerm] = {}
        if outputs.detection is not None:
            found = self.criterion(outputs.detection, batch.truths)
            terms['classes'], terms['boxes'] = found.classes, found.boxes
        if outputs.label_logits is not None:
            labels = batch.labels[:, ::LABEL_LOSS_STRIDE, ::LABEL_LOSS_STRIDE]
            logits = functional.interpolate(
                outputs.label_logits, size=labels.shape[1:], mode='bilinear', align_corners=False)
            terms['pixels'] = set_loss(logits, labels, self.table, self.weights)
        if self.teachers is not None:
            with self.fabric.autocast():
                targets = self.teachers(images)
            masked = (batch.labels != IGNORE_LABEL).flatten(1).any(dim=1)
            terms.update(soft_losses(outputs, targets, batch.truths, masked))
        options = self.options
        weights = {
            'classes': 1.0, 'boxes': options.box_weight, 'pixels': options.segmentation_weight,
            'soft_classes': options.distillation_weight,
            'soft_boxes': options.distillation_weight * options.box_weight,
            'soft_pixels': options.distillation_weight * options.segmentation_weight}
        return {name: weights[name] * self._mean(term) for name, term in terms.items()}

    def _mean(self, term: LossTerm) -> Tensor:
        count = self.group.sum(term.count)
        return LossTerm(term.total, count).mean() * self.group.size


def by_task(losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the sum of each task's losses."""
    sums: dict[str, Tensor] = {}
    for name, loss in losses.items():
        task = TASK_OF[name]
        sums[task] = sums[task] + loss if task in sums else loss
    return sums
