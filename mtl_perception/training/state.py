"""The state of a run: network, moving average, optimiser and step, saved and resumed exactly."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
import math
from pathlib import Path
from typing import Any

import torch
from torch import nn, Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from mtl_perception.errors import ConfigError, ModelError
from mtl_perception.models.architecture import Architecture
from mtl_perception.models.checkpoint import save_atomically
from mtl_perception.spec import METADATA_KEY, ModelSpec
from mtl_perception.training.criteria import choose_criterion
from mtl_perception.training.loss_weighting import build_loss_weighting
from mtl_perception.training.options import OptimizerOptions, TrainingOptions

FINAL_RATE = 0.01
"""Share of the peak learning rate at the end of the cosine."""

STATE_FORMAT = 2
"""Version of the file of a state; files of others are rejected."""


def moving_average(network: nn.Module, decay: float) -> AveragedModel:
    """
    Return an exponential moving average of `network`'s weights and statistics, to be updated.

    Early updates count more: at update n the decay is n / (n + 10) until that reaches `decay`.
    """
    average = AveragedModel(network, multi_avg_fn=partial(_average, decay), use_buffers=True)
    # It starts from the initial weights instead of copying those of the first update.
    average.n_averaged.fill_(1)
    return average.eval().requires_grad_(False)


def _average(decay: float, means: list[Tensor], values: list[Tensor], count: Tensor) -> None:
    """Update `means` by `values`, both of one dtype; counters are copied."""
    if means[0].is_floating_point():
        updates = int(count)
        get_ema_multi_avg_fn(min(decay, updates / (updates + 10)))(means, values, count)
    else:
        for mean, value in zip(means, values, strict=True):
            mean.copy_(value)


def learning_rate(step: int, options: TrainingOptions, seconds: float = 0.0) -> float:
    """
    Return the heads' learning rate at `step` (from 0): linear warm-up, then a cosine.

    Where the minutes of training are limited, the cosine follows the larger share: of the steps
    after the warm-up, or of the minutes, of which `seconds` are used. So it is at its end
    whichever limit ends the run.
    """
    peak = options.optimizer.peak_rate(options.batches.images)
    warmup = options.optimizer.warmup_steps
    progress = max(0.0, (step - warmup) / max(1, options.steps - warmup))
    if options.minutes:
        progress = max(progress, seconds / (60 * options.minutes))
    cosine = (1 + math.cos(math.pi * min(progress, 1))) / 2
    rate = peak * (FINAL_RATE + (1 - FINAL_RATE) * cosine)
    return min(rate, peak * (step + 1) / warmup) if step < warmup else rate


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


def build_optimizer(network: nn.Module, weighting: nn.Module,
                    options: OptimizerOptions) -> torch.optim.Optimizer:
    """
    Return AdamW with decay on convolutions only and the backbone's own learning rate.

    Raises ConfigError where everything is frozen.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in (*network.named_parameters(), *weighting.named_parameters()):
        if parameter.requires_grad:
            key = (name.startswith('backbone.'), parameter.dim() > 1)
            groups.setdefault(key, []).append(parameter)
    if not groups:
        raise ConfigError('freeze: all weights are frozen, so nothing is left to train')
    return torch.optim.AdamW([
        {'params': parameters, 'rate': options.backbone_rate if backbone else 1.0,
         'weight_decay': options.weight_decay if decays else 0.0}
        for (backbone, decays), parameters in groups.items()])


class TrainingState:
    """Everything that changes from step to step, and the criterion that changes it."""

    def __init__(self, network: Architecture, spec: ModelSpec, options: TrainingOptions) -> None:
        self.network = network.train()
        self.spec = spec
        self.options = options
        self.criterion = choose_criterion(network.CRITERION, options.losses.assignment)
        freeze_modules(network, options.optimizer.freeze)
        self.average = moving_average(network, options.optimizer.ema_decay)
        self.weighting = build_loss_weighting(options.losses.weighting)
        self.weighting.to(next(network.parameters()).device)
        self.optimizer = build_optimizer(network, self.weighting, options.optimizer)
        self.precision: dict[str, Any] = {}
        """State of the engine's precision: the scale of FP16 gradients; empty in others."""
        self.step = 0
        self.seconds = 0.0
        """Time that was spent on the steps; see `TrainingOptions.minutes`."""
        self.best_score, self.best_step = -1.0, 0
        """Best score of an evaluation so far, and the step that it was after."""

    def is_out_of_time(self) -> bool:
        """Return whether the minutes of the options are used."""
        return 0 < 60 * self.options.minutes <= self.seconds

    def save(self, path: Path) -> None:
        """Write the state to `path`, all at once."""
        save_atomically({
            METADATA_KEY: self.spec.to_json(), 'format': STATE_FORMAT, 'step': self.step,
            'seconds': self.seconds, 'options': asdict(self.options),
            'network': self.network.state_dict(), 'average': self.average.state_dict(),
            'weighting': self.weighting.state_dict(),
            'optimizer': self.optimizer.state_dict(), 'precision': self.precision,
            'best': [self.best_score, self.best_step], 'random': torch.get_rng_state()}, path)

    def restore(self, path: Path) -> None:
        """Continue from the state in `path`; ModelError where it is of another run or broken."""
        try:
            content: dict[str, Any] = torch.load(path, map_location='cpu', weights_only=True)
            found = content.get('format')
        except Exception as error:  # torch.load raises what pickle, zip and the file system do
            raise _not_resumable(path, error) from None
        if found != STATE_FORMAT:
            raise ModelError(
                f'{path}: another version of mtl_perception wrote this state, which cannot be '
                f'resumed (format {found or 1}, not {STATE_FORMAT}); start a new run with --from '
                'and a model of the old one')
        try:
            self.network.load_state_dict(content['network'])
            self.average.load_state_dict(content['average'])
            self.optimizer.load_state_dict(content['optimizer'])
            self.weighting.load_state_dict(content['weighting'])
            self.precision = dict(content['precision'])
            self.best_score, self.best_step = content['best']
            self.step = int(content['step'])
            # States of before there was a limit of time have none.
            self.seconds = float(content.get('seconds', 0))
            torch.set_rng_state(content['random'])
        except Exception as error:  # load_state_dict raises what the content leads to
            raise _not_resumable(path, error) from None


def _not_resumable(path: Path, error: Exception) -> ModelError:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return ModelError(f'{path}: the run cannot be resumed from it: {reason}')
