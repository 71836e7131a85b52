"""The state of a run: network, moving average, optimiser and step, saved and resumed exactly."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mtl_perception.errors import ModelError
from mtl_perception.models.architecture import Architecture
from mtl_perception.models.checkpoint import save_atomically
from mtl_perception.spec import METADATA_KEY, ModelSpec
from mtl_perception.training.balance import build_balance
from mtl_perception.training.criteria import choose_criterion
from mtl_perception.training.options import TrainingOptions

FINAL_RATE = 0.01
"""Share of the peak learning rate at the end of the cosine."""


class MovingAverage:
    """Exponential moving average of a network's weights and statistics."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after step number `step` (from 1); early steps count more."""
        decay = min(self.decay, step / (step + 10))
        for mean, value in zip(
                self.network.state_dict().values(), network.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)


def learning_rate(step: int, options: TrainingOptions) -> float:
    """Return the heads' learning rate at `step` (from 0): linear warm-up, then a cosine."""
    peak = options.peak_rate(options.detection_images + options.segmentation_images)
    if step < options.warmup_steps:
        return peak * (step + 1) / options.warmup_steps
    progress = (step - options.warmup_steps) / max(1, options.steps - options.warmup_steps)
    cosine = (1 + math.cos(math.pi * min(progress, 1))) / 2
    return peak * (FINAL_RATE + (1 - FINAL_RATE) * cosine)


def freeze_modules(network: nn.Module, names: tuple[str, ...]) -> None:
    """
    Keep the modules `names` as they are: no gradients, fixed batch norm.

    They are names of the network's parts, such as `backbone` or `pyramid.smooth.1`, or of modules
    of the backbone, such as `features.0`. Call it again after `train()`, which switches batch norm
    back. Raises ModelError for a name that no module has.
    """
    modules = dict(network.backbone.named_modules()) | dict(network.named_modules())
    for name in names:
        if not name or name not in modules:
            raise ModelError(f'freeze: neither the network nor its backbone has a module {name!r}')
        modules[name].eval().requires_grad_(False)


def build_optimizer(network: nn.Module, balance: nn.Module,
                    options: TrainingOptions) -> torch.optim.Optimizer:
    """Return AdamW with decay on convolutions only and the backbone's own learning rate."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in (*network.named_parameters(), *balance.named_parameters()):
        if parameter.requires_grad:
            key = (name.startswith('backbone.'), parameter.dim() > 1)
            groups.setdefault(key, []).append(parameter)
    return torch.optim.AdamW([
        {'params': parameters, 'rate': options.backbone_rate if backbone else 1.0,
         'weight_decay': options.weight_decay if decays else 0.0}
        for (backbone, decays), parameters in groups.items()])


class TrainingState:
    """Everything that changes from step to step, and the criterion by which it does."""

    def __init__(self, network: Architecture, spec: ModelSpec, options: TrainingOptions) -> None:
        self.network = network.train()
        self.spec = spec
        self.options = options
        self.criterion = choose_criterion(network.CRITERION, options.assignment)
        freeze_modules(network, options.freeze)
        self.average = MovingAverage(network, options.ema_decay)
        self.balance = build_balance(options.balance)
        self.balance.to(next(network.parameters()).device)
        self.optimizer = build_optimizer(network, self.balance, options)
        self.scaler: dict[str, Any] = {}
        """State of the scaler of FP16 gradients; empty in other formats."""
        self.step = 0
        self.best_score, self.best_step = -1.0, 0
        """Best score of an evaluation so far, and the step that it was after."""

    def save(self, path: Path) -> None:
        """Write the state to `path`, all at once."""
        save_atomically({
            METADATA_KEY: self.spec.to_json(), 'step': self.step,
            'options': self.options.to_dict(), 'network': self.network.state_dict(),
            'average': self.average.network.state_dict(),
            'balance': self.balance.state_dict(), 'optimizer': self.optimizer.state_dict(),
            'scaler': self.scaler, 'best': [self.best_score, self.best_step],
            'random': torch.get_rng_state()}, path)

    def restore(self, path: Path) -> None:
        """Continue from the state in `path`; ModelError where it is of another run or broken."""
        try:
            content: dict[str, Any] = torch.load(path, map_location='cpu', weights_only=True)
            self.network.load_state_dict(content['network'])
            self.average.network.load_state_dict(content['average'])
            self.optimizer.load_state_dict(content['optimizer'])
            self.balance.load_state_dict(content['balance'])
            self.scaler = dict(content['scaler'])
            self.best_score, self.best_step = content['best']
            self.step = int(content['step'])
            torch.set_rng_state(content['random'])
        except Exception as error:  # torch.load raises what pickle, zip and the file system do
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise ModelError(f'{path}: the run cannot be resumed from it: {reason}') from None
