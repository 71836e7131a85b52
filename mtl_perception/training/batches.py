"""
Batches: which images each step sees, decoded, augmented and stacked.

The schedule of the whole run and the random numbers of every crop follow from the seed and the
step alone, so a run that is resumed at a step sees exactly what it would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mtl_perception.data.set_spec import SetSpec
from mtl_perception.data.training_set import TrainingSamples
from mtl_perception.data.transforms import augment, AugmentOptions, Crop
from mtl_perception.errors import ConfigError
from mtl_perception.labels import IGNORE_LABEL
from mtl_perception.training.class_sets import ClassSets
from mtl_perception.training.losses import DetectionTruth
from mtl_perception.training.options import BatchOptions
from mtl_perception.training.process_group import ALONE, ProcessGroup


@dataclass(frozen=True)
class Batch:
    """Images of one step; an image whose set lacks a kind of label is present without it."""

    images: Tensor
    """uint8 [B, S, S, 3] RGB."""
    truths: list[DetectionTruth]
    """Of each image; `labelled` is all False where its set has no boxes."""
    labels: Tensor
    """uint8 [B, S, S]: class set numbers, IGNORE_LABEL where nothing is known."""

    def to(self, device: torch.device) -> Batch:
        """Return the batch with its tensors on `device`."""
        return Batch(
            self.images.to(device),
            [DetectionTruth(*(part.to(device) for part in truth)) for truth in self.truths],
            self.labels.to(device))

    def split(self, count: int) -> list[Batch]:
        """Return `count` batches that share the images; there must be at least `count`."""
        return [Batch(self.images[k::count], self.truths[k::count], self.labels[k::count])
                for k in range(count)]


def draw_schedule(weights: Sequence[float], sizes: Sequence[int], draws: int,
                  random: np.random.Generator) -> np.ndarray:
    """
    Return int64 [draws, 2]: set number and index within the set of each draw.

    Sets are drawn by weight; a set's images come in shuffled passes, each once a pass.
    """
    shares = np.asarray(weights, float) * (np.asarray(sizes) > 0)
    if shares.sum() <= 0:
        raise ConfigError('no set of the manifest has training images with labels of the task')
    # Sets that are never drawn do not change the draws: a network for one task sees the same ones.
    drawn = np.flatnonzero(shares)
    numbers = drawn[random.choice(len(drawn), size=draws, p=shares[drawn] / shares.sum())]
    schedule = np.stack((numbers, np.zeros_like(numbers)), axis=1)
    for number in drawn.tolist():
        places = np.flatnonzero(numbers == number)
        size = sizes[number]
        passes = [random.permutation(size) for _ in range(-(-len(places) // size))]
        if passes:
            schedule[places, 1] = np.concatenate(passes)[:len(places)]
    return schedule


class Batches(Dataset[Batch]):
    """The batch of every step; item `step` is reproducible from the seed."""

    def __init__(self, samples: TrainingSamples, steps: int, options: BatchOptions, seed: int,
                 group: ProcessGroup = ALONE) -> None:
        """
        Draw the images of every step, of which this process of `group` prepares its share.

        Raises ConfigError where no image has labels of a task, and where a step has fewer images
        than there are processes.
        """
        self.samples = samples
        self.steps = steps
        self.seed = seed
        self.group = group
        self.same_crops = bool(options.overfit)
        self.drawn_labels_only = options.drawn_labels_only
        self.augmentation = AugmentOptions(crop_size=options.crop_size)
        self.class_sets = ClassSets(
            samples.manifest) if samples.manifest.segmentation else None
        specs = samples.manifest.sets
        halves = []
        for task, (images, weights) in enumerate((
                (options.detection_images, [spec.detection_weight for spec in specs]),
                (options.segmentation_images, [spec.segmentation_weight for spec in specs]))):
            if images:
                random = np.random.default_rng((seed, task))
                schedule = draw_schedule(weights, samples.sizes, steps * images, random)
                halves.append(schedule.reshape(steps, images, 2))
        if not halves:
            raise ConfigError('a step needs at least one image')
        self.schedule = np.concatenate(halves, axis=1)
        self.slots = [(task, slot) for task, images in enumerate(
            (options.detection_images, options.segmentation_images)) for slot in range(images)]
        """Of each image of a step: whether it is drawn for its mask (1), and its number there."""
        self.images = self.schedule.shape[1]
        """Images of a step, over all processes."""
        smallest = group.smallest_share(self.images)
        if not smallest:
            raise ConfigError(f'a step has fewer images than there are processes '
                              f'({group.size}); raise --detection-images')
        self.parts = min(options.accumulate, smallest)
        """Parts of a step: the same number in all processes, none of which may be empty."""
        self.smallest_part = smallest // self.parts
        """Number of images in the smallest part of any process."""

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Batch:
        images, truths, labels = [], [], []
        for (task, slot), (number, index) in self.group.share(list(zip(
                self.slots, self.schedule[step].tolist(), strict=True))):
            spec = self.samples.sets[number].spec
            random = np.random.default_rng((self.seed, 3, number, index) if self.same_crops
                                           else (self.seed, 2, step, task, slot))
            sample = self.samples.pasted(number, index, random)
            if self.drawn_labels_only:
                sample = replace(sample, boxes=None) if task else replace(sample, mask=None)
            crop = augment(sample, spec.scale, self.augmentation, random)
            images.append(torch.from_numpy(np.ascontiguousarray(crop.image)))
            truths.append(self._truth(spec, crop))
            labels.append(torch.from_numpy(self._labels(spec, crop)))
        return Batch(torch.stack(images), truths, torch.stack(labels))

    def _truth(self, spec: SetSpec, crop: Crop) -> DetectionTruth:
        classes = len(self.samples.manifest.detection or ())
        labelled = torch.zeros(classes, dtype=torch.bool)
        if crop.boxes is None or not spec.complete:
            none = torch.zeros((0, 4))
            return DetectionTruth(none, torch.zeros(0, dtype=torch.long), none, labelled)
        labelled[list(spec.complete)] = True
        return DetectionTruth(
            torch.from_numpy(crop.boxes.boxes), torch.from_numpy(crop.boxes.classes).long(),
            torch.from_numpy(crop.boxes.ignore), labelled)

    def _labels(self, spec: SetSpec, crop: Crop) -> np.ndarray:
        size = self.augmentation.crop_size
        if self.class_sets is not None:
            if crop.mask is not None and spec.masks is not None:
                return self.class_sets.from_mask(spec, crop.mask)
            if crop.boxes is not None and self.class_sets.has_pixels_of_boxes(spec):
                return self.class_sets.from_boxes(spec, crop.boxes, size)
        return np.full((size, size), IGNORE_LABEL, np.uint8)
