"""Options of a training run; their defaults are those of the command line."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from mtl_perception.errors import ConfigError

DEFAULT_ASSIGNMENT = 'auto'
"""The first assignment that the detection loss of the architecture offers."""

REFERENCE_RATE, REFERENCE_IMAGES = 1e-3, 16
"""Learning rate that suits a step of so many pictures."""


@dataclass(frozen=True)
class TrainingOptions:
    """What a run does besides the model and the data."""

    steps: int = 3000
    """Optimiser steps."""
    detection_images: int = 8
    segmentation_images: int = 8
    """Pictures of each step drawn for their boxes and for their masks."""
    crop_size: int = 320
    """Side of the training crops in pixels."""
    learning_rate: float = 0.0
    """
    Peak rate of AdamW, reached after the warm-up; a cosine takes it to 1 % at the end. 0: 0.001
    for 16 pictures a step, and as the root of their number for more or fewer (arXiv:2205.10287).
    """
    backbone_rate: float = 0.5
    """The backbone's learning rate as a share of the heads'."""
    accumulate: int = 1
    """
    Parts that a step's pictures are run in, one after the other, where memory does not hold them
    all. The parts' losses are averaged, and batch norm sees one part at a time.
    """
    precision: str = 'auto'
    """fp32, bf16, fp16 (CUDA only); auto: bf16 where a CUDA device has it, else fp32."""
    balance: str = 'fixed'
    """How the tasks' gradients become one: fixed, uncertainty, pcgrad."""
    weight_decay: float = 0.02
    """Decoupled decay of the weights of convolutions; batch norm and biases have none."""
    warmup_steps: int = 100
    assignment: str = DEFAULT_ASSIGNMENT
    """Which cells learn which objects; an architecture's detection loss says what it offers."""
    segmentation_weight: float = 1.0
    """Weight of the segmentation loss; the detection loss has weight 1."""
    box_weight: float = 2.0
    """Weight of the box loss within the detection loss."""
    distillation_weight: float = 1.0
    """Weight of the losses of teachers, as a factor of those of labels."""
    gradient_norm: float = 10.0
    """Gradients are clipped to this norm."""
    ema_decay: float = 0.998
    """Decay per step of the exponential moving average that is kept as the model."""
    freeze: tuple[str, ...] = ()
    """Modules of the network or of its backbone that keep their weights and statistics."""
    seed: int = 0
    save_every: int = 200
    """Steps between checkpoints."""
    evaluate_every: int = 0
    """Steps between evaluations on the val split, the best of which is kept; 0: none."""
    evaluate_images: int = 0
    """Most pictures of each set that an evaluation looks at; 0: all."""
    patience: int = 0
    """The run ends early after so many evaluations without a better score; 0: never."""
    overfit: int = 0
    """
    Train on the first so many pictures of each set, always the same crop of them, to see whether
    the network can learn them by heart; 0: on all.
    """
    workers: int = 1
    """Processes that prepare batches; 0 prepares them in the training process."""
    cache_gib: float = 6.0
    """Memory for decoded pictures; what does not fit is decoded when it is needed."""

    def __post_init__(self) -> None:
        for name in ('steps', 'save_every', 'accumulate'):
            if getattr(self, name) < 1:
                raise ConfigError(f'{name} is {getattr(self, name)}; it must be at least 1')
        for name in ('detection_images', 'segmentation_images', 'warmup_steps', 'workers',
                     'evaluate_every', 'evaluate_images', 'patience', 'overfit',
                     'distillation_weight'):
            if getattr(self, name) < 0:
                raise ConfigError(f'{name} is {getattr(self, name)}; it must not be negative')
        if self.crop_size < 64 or self.crop_size % 4:
            raise ConfigError(f'crop_size {self.crop_size} is not a multiple of 4 from 64 on')
        if not 0 <= self.learning_rate < 1:
            raise ConfigError(f'learning_rate {self.learning_rate} is not between 0 and 1')
        if self.patience and not self.evaluate_every:
            raise ConfigError('patience counts evaluations: give evaluate_every too')
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(f'ema_decay {self.ema_decay} is not in [0, 1)')

    def peak_rate(self, images: int) -> float:
        """Return the peak learning rate for `images` pictures a step."""
        return self.learning_rate or REFERENCE_RATE * (images / REFERENCE_IMAGES) ** 0.5

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a checkpoint."""
        return {**asdict(self), 'freeze': list(self.freeze)}
