"""Options of a training run; their defaults are those of the command line."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from mtl_perception.errors import ConfigError

DEFAULT_ASSIGNMENT = 'auto'
"""The first assignment that the detection loss of the architecture offers."""


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
    learning_rate: float = 1e-3
    """Peak rate of AdamW, reached after the warm-up; a cosine takes it to 1 % at the end."""
    backbone_rate: float = 0.5
    """The backbone's learning rate as a share of the heads'."""
    weight_decay: float = 0.02
    """Decoupled decay of the weights of convolutions; batch norm and biases have none."""
    warmup_steps: int = 100
    assignment: str = DEFAULT_ASSIGNMENT
    """Which cells learn which objects; an architecture's detection loss says what it offers."""
    segmentation_weight: float = 1.0
    """Weight of the segmentation loss; the detection loss has weight 1."""
    box_weight: float = 2.0
    """Weight of the box loss within the detection loss."""
    gradient_norm: float = 10.0
    """Gradients are clipped to this norm."""
    ema_decay: float = 0.998
    """Decay per step of the exponential moving average that is kept as the model."""
    freeze: tuple[str, ...] = ()
    """Prefixes of backbone modules that keep their weights and statistics."""
    seed: int = 0
    save_every: int = 200
    """Steps between checkpoints."""
    workers: int = 1
    """Processes that prepare batches; 0 prepares them in the training process."""
    cache_gib: float = 6.0
    """Memory for decoded pictures; what does not fit is decoded when it is needed."""

    def __post_init__(self) -> None:
        for name in ('steps', 'save_every'):
            if getattr(self, name) < 1:
                raise ConfigError(f'{name} is {getattr(self, name)}; it must be at least 1')
        for name in ('detection_images', 'segmentation_images', 'warmup_steps', 'workers'):
            if getattr(self, name) < 0:
                raise ConfigError(f'{name} is {getattr(self, name)}; it must not be negative')
        if self.crop_size < 64 or self.crop_size % 4:
            raise ConfigError(f'crop_size {self.crop_size} is not a multiple of 4 from 64 on')
        if not 0 < self.learning_rate < 1:
            raise ConfigError(f'learning_rate {self.learning_rate} is not between 0 and 1')
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(f'ema_decay {self.ema_decay} is not in [0, 1)')

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a checkpoint."""
        return {**asdict(self), 'freeze': list(self.freeze)}
