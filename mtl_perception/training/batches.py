"""
Batches: which pictures each step sees, decoded, augmented and stacked.

The draws of the whole run and the random numbers of every crop follow from the seed and the step
alone, so a run that is resumed at a step sees exactly what it would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import sys

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from mtl_perception.data.manifest import Manifest, SetSpec
from mtl_perception.data.readers import DataSet
from mtl_perception.data.samples import Sample
from mtl_perception.data.training_set import open_training_set
from mtl_perception.data.transforms import augment, AugmentOptions, Crop
from mtl_perception.errors import ConfigError
from mtl_perception.labels import IGNORE_LABEL
from mtl_perception.training.class_sets import ClassSets
from mtl_perception.training.distributed import World
from mtl_perception.training.losses import DetectionTruth


@dataclass(frozen=True)
class Batch:
    """One step's pictures; a picture whose set lacks a kind of label is present without it."""

    images: Tensor
    """uint8 [B, S, S, 3] RGB."""
    truths: list[DetectionTruth]
    """Of each picture; `labelled` is all False where its set has no boxes."""
    labels: Tensor
    """uint8 [B, S, S]: class set numbers, IGNORE_LABEL where nothing is known."""

    def to(self, device: torch.device) -> Batch:
        """Return the batch with its tensors on `device`."""
        return Batch(
            self.images.to(device),
            [DetectionTruth(*(part.to(device) for part in truth)) for truth in self.truths],
            self.labels.to(device))


    def parts(self, count: int) -> list[Batch]:
        """Return the batch dealt out to at most `count` batches, each with a picture."""
        return [Batch(self.images[k::count], self.truths[k::count], self.labels[k::count])
                for k in range(min(count, len(self.images)))]


class Pool:
    """The training samples of all sets, kept decoded in memory up to a limit."""

    def __init__(self, manifest: Manifest, split: str, cache_bytes: int,
                 progress: bool = True, skip_bad: bool = False, limit: int = 0) -> None:
        """
        Read the pictures of `split`, of each set the first `limit` if that is not 0.

        They are kept while `cache_bytes` last. `skip_bad` leaves broken ones out, which are a
        DataError otherwise.
        """
        self.manifest = manifest
        self.split = split
        self.sets: list[DataSet] = [
            open_training_set(spec, manifest, skip_bad) for spec in manifest.sets]
        self.sizes = [min(len(data_set.stems(split)), limit or sys.maxsize)
                      for data_set in self.sets]
        self._cache: dict[tuple[int, int], Sample] = {}
        total = sum(self.sizes)
        with tqdm(total=total, desc='reading', unit='img', disable=not progress) as bar:
            for number, size in enumerate(self.sizes):
                for index in range(size):
                    sample = self.sets[number].read(split, index)
                    cache_bytes -= sample.image.nbytes + (
                        sample.mask.nbytes if sample.mask is not None else 0)
                    if cache_bytes >= 0:
                        self._cache[number, index] = sample
                    bar.update()

    def read(self, number: int, index: int) -> Sample:
        """Return sample `index` of set `number`."""
        sample = self._cache.get((number, index))
        return sample if sample is not None else self.sets[number].read(self.split, index)


def draw_schedule(weights: Sequence[float], sizes: Sequence[int], draws: int,
                  random: np.random.Generator) -> np.ndarray:
    """
    Return int64 [draws, 2]: set number and index within the set of each draw.

    Sets are drawn by weight; a set's pictures come in shuffled passes, each once a pass.
    """
    shares = np.asarray(weights, float) * (np.asarray(sizes) > 0)
    if shares.sum() <= 0:
        raise ConfigError('no set of the manifest has training pictures with labels of the task')
    numbers = random.choice(len(shares), size=draws, p=shares / shares.sum())
    schedule = np.stack((numbers, np.zeros_like(numbers)), axis=1)
    for number, size in enumerate(sizes):
        places = np.flatnonzero(numbers == number)
        passes = [random.permutation(size) for _ in range(-(-len(places) // max(size, 1)))]
        if passes:
            schedule[places, 1] = np.concatenate(passes)[:len(places)]
    return schedule


class Batches(Dataset[Batch]):
    """The batch of every step; item `step` is reproducible from the seed."""

    def __init__(self, pool: Pool, steps: int, detection_images: int, segmentation_images: int,
                 augmentation: AugmentOptions, seed: int, world: World | None = None,
                 same_crops: bool = False) -> None:
        """
        Draw what every step sees.

        Of each step's pictures this process of `world` prepares its share. With `same_crops` a
        picture is cropped and coloured alike whenever it comes.
        """
        self.pool = pool
        self.steps = steps
        self.seed = seed
        self.world = world or World()
        self.same_crops = same_crops
        self.augmentation = augmentation
        self.class_sets = ClassSets(pool.manifest) if pool.manifest.segmentation else None
        specs = pool.manifest.sets
        halves = []
        for task, (images, weights) in enumerate((
                (detection_images, [spec.detection_weight for spec in specs]),
                (segmentation_images, [spec.segmentation_weight for spec in specs]))):
            if images:
                random = np.random.default_rng((seed, task))
                schedule = draw_schedule(weights, pool.sizes, steps * images, random)
                halves.append(schedule.reshape(steps, images, 2))
        if not halves:
            raise ConfigError('a step needs at least one picture')
        if sum(half.shape[1] for half in halves) < self.world.size:
            raise ConfigError(f'a step has fewer pictures than there are processes '
                              f'({self.world.size}); raise --detection-images')
        self.schedule = np.concatenate(halves, axis=1)

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Batch:
        images, truths, labels = [], [], []
        for slot, (number, index) in self.world.share(list(enumerate(
                self.schedule[step].tolist()))):
            spec = self.pool.sets[number].spec
            random = np.random.default_rng(
                (self.seed, 3, number, index) if self.same_crops else (self.seed, 2, step, slot))
            crop = augment(
                self.pool.read(number, index), spec.scale, self.augmentation, random)
            images.append(torch.from_numpy(np.ascontiguousarray(crop.image)))
            truths.append(self._truth(spec, crop))
            labels.append(torch.from_numpy(self._labels(spec, crop)))
        return Batch(torch.stack(images), truths, torch.stack(labels))

    def _truth(self, spec: SetSpec, crop: Crop) -> DetectionTruth:
        classes = len(self.pool.manifest.detection or ())
        labelled = torch.zeros(classes, dtype=torch.bool)
        if crop.boxes is None or spec.boxes is None:
            none = torch.zeros((0, 4))
            return DetectionTruth(none, torch.zeros(0, dtype=torch.long), none, labelled)
        labelled[list(spec.boxes.complete)] = True
        return DetectionTruth(
            torch.from_numpy(crop.boxes.boxes), torch.from_numpy(crop.boxes.classes).long(),
            torch.from_numpy(crop.boxes.ignore), labelled)

    def _labels(self, spec: SetSpec, crop: Crop) -> np.ndarray:
        size = self.augmentation.crop_size
        if self.class_sets is not None:
            if crop.mask is not None and spec.masks is not None:
                return self.class_sets.from_mask(spec, crop.mask)
            if crop.boxes is not None and self.class_sets.teaches_pixels(spec):
                return self.class_sets.from_boxes(spec, crop.boxes, size)
        return np.full((size, size), IGNORE_LABEL, np.uint8)
