"""
Number formats of a training step.

The network runs in the chosen format, losses always in FP32; FP16 gradients are scaled so that
small ones do not vanish (arXiv:1710.03740).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn, Tensor

from mtl_perception.errors import ConfigError

PRECISIONS = ('auto', 'fp32', 'bf16', 'fp16')


class Precision:
    """The format of a run: how the network is run, and what scales its gradients."""

    def __init__(self, name: str, device: torch.device) -> None:
        """
        Choose a format: 'auto' is BF16 where a CUDA device has it, else FP32.

        Raises ConfigError for FP16 on a CPU, whose convolutions have no gradients in it.
        """
        if name not in PRECISIONS:
            raise ConfigError(f'precision {name!r} is none of {", ".join(PRECISIONS)}')
        if name == 'auto':
            fast = device.type == 'cuda' and torch.cuda.is_bf16_supported()
            name = 'bf16' if fast else 'fp32'
        if name == 'fp16' and device.type == 'cpu':
            raise ConfigError('precision fp16 needs a CUDA device; take bf16 or fp32 on a CPU')
        self.name = name
        self.device = device
        self.scaler = torch.amp.GradScaler(device.type, enabled=name == 'fp16')

    def run(self, network: Callable[[Tensor], Any], images: Tensor) -> Any:
        """Return the network's outputs, their floating-point tensors as FP32."""
        if self.name == 'fp32':
            return network(images)
        dtype = torch.bfloat16 if self.name == 'bf16' else torch.float16
        with torch.autocast(self.device.type, dtype=dtype):
            outputs = network(images)
        return _as_float(outputs)

    def step(self, optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter],
             largest_norm: float) -> None:
        """Clip the gradients to `largest_norm` and take the optimiser's step."""
        self.scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(parameters, largest_norm)
        self.scaler.step(optimizer)
        self.scaler.update()

    @property
    def scale(self) -> float:
        """Factor of the loss of which the gradients are taken."""
        return float(self.scaler.get_scale())


def _as_float(value: Any) -> Any:
    """Return `value` with the floating-point tensors of its (named) tuples as FP32."""
    if isinstance(value, Tensor):
        return value.float() if value.is_floating_point() else value
    if isinstance(value, tuple):
        parts = [_as_float(part) for part in value]
        return type(value)(*parts) if hasattr(value, '_fields') else tuple(parts)
    return value
