"""Options of a training run, in groups; their defaults are those of the command line."""

from __future__ import annotations

from dataclasses import dataclass, field
import math

from mtl_perception.errors import ConfigError

DEFAULT_ASSIGNMENT = 'auto'
"""The first assignment that the detection loss of the architecture offers."""

REFERENCE_RATE, REFERENCE_IMAGES = 1e-3, 16
"""Peak learning rate for a step of 16 images; other batch sizes scale it."""


@dataclass(frozen=True)
class BatchOptions:
    """What the batch of each step holds, and how it is prepared."""

    detection_images: int = 8
    """Images of each step drawn for their boxes."""
    segmentation_images: int = 8
    """Images of each step drawn for their masks."""
    crop_size: int = 320
    """Side of the training crops in pixels, a multiple of 4."""
    accumulate: int = 1
    """
    Parts that a step's images are processed in, one after the other, where memory does not hold
    them all. Their gradients are averaged; batch norm sees one part at a time.
    """
    overfit: int = 0
    """
    Train on the first N images of each set, always the same crop of them, to test whether the
    network can memorise them; 0: on all.
    """
    drawn_labels_only: bool = False
    """
    An image that is drawn for its boxes has no mask, one that is drawn for its mask no boxes,
    so that networks for one task and for both see the same labels.
    """
    boxes_as_masks: bool = True
    """Derive labels of pixels from boxes where the manifest says how."""
    workers: int = 1
    """Processes that prepare batches; 0 prepares them in the training process."""
    cache_gib: float = 6.0
    """Memory for decoded images in GiB; those that do not fit are decoded when needed."""

    def __post_init__(self) -> None:
        _require_at_least(self, 1, 'accumulate')
        _require_at_least(
            self, 0, 'detection_images', 'segmentation_images', 'workers', 'overfit', 'cache_gib')
        if self.crop_size < 64 or self.crop_size % 4:
            raise ConfigError(f'crop_size {self.crop_size} is not a multiple of 4 from 64 on')

    @property
    def images(self) -> int:
        """Images of a step."""
        return self.detection_images + self.segmentation_images


@dataclass(frozen=True)
class OptimizerOptions:
    """How the weights follow the gradients (AdamW, arXiv:1711.05101)."""

    learning_rate: float = 0.0
    """
    Peak rate, reached after the warm-up; a cosine takes it to 1 % at the end. 0: 0.001 for 16
    images a step, and proportional to the square root of their number (arXiv:2205.10287).
    """
    backbone_rate: float = 0.5
    """The backbone's learning rate as a share of the heads'."""
    weight_decay: float = 0.02
    """Decoupled decay of the weights of convolutions; batch norm and biases have none."""
    warmup_steps: int = 100
    """Steps in which the learning rate rises linearly to its peak."""
    gradient_norm: float = 10.0
    """Largest norm of a step's gradient; a larger one is scaled down to it."""
    ema_decay: float = 0.998
    """Decay per step of the exponential moving average that is kept as the model."""
    freeze: tuple[str, ...] = ()
    """Modules of the network or of its backbone that keep their weights and statistics."""

    def __post_init__(self) -> None:
        _require_at_least(self, 0, 'warmup_steps')
        if not 0 <= self.learning_rate < 1:
            raise ConfigError(f'learning_rate {self.learning_rate} is not between 0 and 1')
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(f'ema_decay {self.ema_decay} is not in [0, 1)')

    def peak_rate(self, images: int) -> float:
        """Return the peak learning rate for `images` images a step."""
        return self.learning_rate or REFERENCE_RATE * (images / REFERENCE_IMAGES) ** 0.5


@dataclass(frozen=True)
class LossOptions:
    """What is minimised."""

    assignment: str = DEFAULT_ASSIGNMENT
    """Which cells are trained on which objects: 'auto' or a name that the loss offers."""
    weighting: str = 'fixed'
    """Loss weighting: how the tasks' gradients are combined (`loss_weighting`)."""
    segmentation_weight: float = 1.0
    """Weight of the segmentation loss; the detection loss has weight 1."""
    box_weight: float = 2.0
    """Weight of the box loss within the detection loss."""
    distillation_weight: float = 1.0
    """Weight of the losses of teachers, as a factor of those of labels."""

    def __post_init__(self) -> None:
        _require_at_least(self, 0, 'segmentation_weight', 'box_weight', 'distillation_weight')


@dataclass(frozen=True)
class TrainingOptions:
    """A run besides the model and the data."""

    steps: int = 3000
    """Optimiser steps."""
    minutes: float = 0.0
    """
    The run ends when it has trained for this long, if not all steps are taken before; 0: no limit.
    Steps count from the wait for their batch to their end, those before a run was resumed
    included; reading the data at the start, evaluations and saving do not count.
    """
    seed: int = 0
    """Seed of all random numbers."""
    precision: str = 'auto'
    """fp32, bf16, fp16 (CUDA only); auto: bf16 where a CUDA device supports it, else fp32."""
    save_every: int = 200
    """Steps between saved states."""
    evaluate_every: int = 0
    """Steps between evaluations on the val split, the best of which is kept; 0: none."""
    evaluate_images: int = 0
    """Most images of each set that are evaluated; 0: all."""
    patience: int = 0
    """The run ends after this many evaluations without a better score; 0: never."""
    batches: BatchOptions = field(default_factory=BatchOptions)
    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)
    losses: LossOptions = field(default_factory=LossOptions)

    def __post_init__(self) -> None:
        _require_at_least(self, 1, 'steps', 'save_every')
        _require_at_least(self, 0, 'seed', 'evaluate_every', 'evaluate_images', 'patience')
        if not 0 <= self.minutes < math.inf:
            raise ConfigError(f'minutes is {self.minutes}; it must be a time, or 0 for no limit')
        if self.patience and not self.evaluate_every:
            raise ConfigError('patience counts evaluations: give evaluate_every too')


def _require_at_least(options: object, least: int, *names: str) -> None:
    for name in names:
        value = getattr(options, name)
        if value < least:
            raise ConfigError(f'{name} is {value}; it must be at least {least}')
