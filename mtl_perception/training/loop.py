"""The training loop: both tasks in every step."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
import math
from pathlib import Path
import time
from typing import Any, TYPE_CHECKING

import torch
from torch import nn, Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from mtl_perception.errors import ConfigError, ModelError
from mtl_perception.models.checkpoint import save_checkpoint
from mtl_perception.training.batch_norm import check_single_images
from mtl_perception.training.batches import Batch, Batches
from mtl_perception.training.config import (
    BEST_FILE,
    FINISHED,
    NO_BETTER,
    OUT_OF_TIME,
    STATE_FILE,
    STOPPED,
)
from mtl_perception.training.distillation import Teachers
from mtl_perception.training.objective import by_task, loss_names, Objective
from mtl_perception.training.run_log import RunLog
from mtl_perception.training.state import freeze_modules, learning_rate, TrainingState
from mtl_perception.training.stop_requests import ignore_interrupts, stop_requests
from mtl_perception.training.validation import Validation

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class Finish:
    """How a run ended."""

    steps: int
    reason: str
    """`config.FINISHED`, `STOPPED`, `NO_BETTER` or `OUT_OF_TIME`."""


class Trainer:
    """
    A run: its state, its batches and its output folder.

    All processes of a group take the same steps on their shares of the images; the first one
    evaluates, logs and saves.
    """

    def __init__(self, fabric: Fabric, state: TrainingState, batches: Batches, output: Path,
                 teachers: Teachers | None = None, progress: bool = False) -> None:
        """
        Take a `fabric` whose device the state is on.

        Raises ConfigError where options do not go together.
        """
        self.fabric = fabric
        self.group = batches.group
        self.state = state
        self.options = state.options
        self.batches = batches
        self.output = output
        self.progress = progress and self.group.is_first
        self.network, self.optimizer = self._set_up()
        if state.precision:
            fabric.strategy.precision.load_state_dict(state.precision)
        manifest = batches.samples.manifest
        self.losses = loss_names(state.spec.tasks, teachers is not None)
        self.objective = Objective(
            fabric, self.group, self.network, state.criterion, state.options.losses, manifest,
            batches.class_sets, teachers)
        self.parameters = [p for p in state.network.parameters() if p.requires_grad]
        self.validation = Validation(
            manifest, state.spec, fabric.device.type, state.options.evaluate_images,
        ) if state.options.evaluate_every and self.group.is_first else None

    def _set_up(self) -> Any:
        network = self.state.network
        several = self.group.size > 1
        if several and not self.state.weighting.one_graph:
            raise ConfigError(f'loss weighting {self.options.losses.weighting} runs in one '
                              'process; choose another --balance, or start without torchrun')
        if several and self.fabric.device.type == 'cuda':
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        elif self.batches.smallest_part == 1:
            check_single_images(network, self.options.batches.crop_size)
        return self.fabric.setup(network, self.state.optimizer)

    def run(self) -> Finish:
        """
        Run the steps that are left, logging and saving into the output folder.

        Ends early, saved, on SIGINT or SIGTERM, where the score does not improve and where the
        minutes of the options are used. Raises ModelError where a loss is not finite.
        """
        state, options = self.state, self.options
        state.network.train()
        freeze_modules(state.network, options.optimizer.freeze)
        workers = options.batches.workers
        loader = DataLoader(
            self.batches, batch_size=None, sampler=self._steps_left(),
            num_workers=workers, worker_init_fn=ignore_interrupts,
            prefetch_factor=3 if workers else None)
        bar = tqdm(total=options.steps, initial=state.step, desc='training', unit='step',
                   disable=not self.progress, smoothing=0.05)
        reason = OUT_OF_TIME if state.is_out_of_time() else FINISHED
        with stop_requests() as stopped, bar, contextlib.ExitStack() as files:
            log = files.enter_context(RunLog(self.output, state.step, self.losses)
                                      ) if self.group.is_first else None
            began = time.perf_counter()
            for batch in loader:
                waited = time.perf_counter() - began
                rate = learning_rate(state.step, options, state.seconds)
                values = self._step(batch, rate)
                seconds = time.perf_counter() - began
                speed = self.batches.images / seconds
                if log:
                    log.step(state.step, rate, speed, waited / seconds, values)
                    bar.set_postfix({**{k: f'{v:.3f}' for k, v in values.items()},
                                     'images/s': f'{speed:.1f}'}, refresh=False)
                    bar.update()
                state.seconds += self._common(seconds)
                late = state.is_out_of_time()
                stop = self.group.any(stopped(), self.fabric.device)
                better = self._evaluate(log, bar, late) if not stop else True
                if state.step % options.save_every == 0:
                    self._save()
                if late or stop or not better:
                    reason = OUT_OF_TIME if late else STOPPED if stop else NO_BETTER
                    break
                began = time.perf_counter()
        self._save()
        return Finish(state.step, reason if state.step < options.steps else FINISHED)

    def _steps_left(self) -> range:
        return range(self.state.step, self.state.step if self.state.is_out_of_time()
                     else self.options.steps)

    def _common(self, seconds: float) -> float:
        """Return the mean of the processes' `seconds`, so that all have one learning rate."""
        if self.group.size == 1 or not self.options.minutes:
            return seconds
        value = torch.tensor(seconds, dtype=torch.float64, device=self.fabric.device)
        return float(self.group.sum(value)) / self.group.size

    def _step(self, batch: Batch, rate: float) -> dict[str, float]:
        """Take one optimiser step and return its losses."""
        state, optimizer = self.state, self.optimizer
        for group in optimizer.param_groups:
            group['lr'] = rate * group['rate']
        optimizer.zero_grad(set_to_none=True)
        values = dict.fromkeys(self.losses, 0.0)
        count = self.batches.parts
        for number, part in enumerate(batch.split(count), 1):
            with self.fabric.no_backward_sync(self.network, enabled=number < count):
                losses = self.objective(self.fabric.to_device(part))
                found = self._values(losses)
                for name, value in found.items():
                    values[name] += value / count
                if not all(map(math.isfinite, found.values())):
                    parts = ', '.join(f'{k} {v:g}' for k, v in found.items())
                    raise ModelError(f'step {state.step}: the loss is not finite ({parts}); '
                                     'try a lower --learning-rate')
                state.weighting.backward(
                    by_task(losses), self.parameters, self.fabric.backward, 1 / count)
        for parameter in state.weighting.parameters():
            if parameter.grad is not None:
                parameter.grad.copy_(self.group.sum(parameter.grad) / self.group.size)
        # FP16 gradients may overflow: the step is then left out and their scale is reduced.
        self.fabric.clip_gradients(
            self.network, optimizer, max_norm=self.options.optimizer.gradient_norm,
            error_if_nonfinite=False)
        optimizer.step()
        state.step += 1
        state.average.update_parameters(state.network)
        return values

    def _values(self, losses: dict[str, Tensor]) -> dict[str, float]:
        """Return the losses of the whole batch, the same in all processes."""
        values = self.group.sum(torch.stack(list(losses.values()))) / self.group.size
        return dict(zip(losses, values.tolist(), strict=True))

    def _evaluate(self, log: RunLog | None, bar: tqdm, late: bool) -> bool:
        """Evaluate where it is due; return False where the run should end early."""
        state, options = self.state, self.options
        last = late or state.step == options.steps
        if not options.evaluate_every or (state.step % options.evaluate_every and not last):
            return True
        # The others wait without a time limit: an evaluation may take longer than a collective.
        with self.fabric.rank_zero_first():
            if self.validation is not None and log is not None:
                scores = self.validation(state.average.module)
                log.scores(state.step, scores.totals, scores.details, scores.images)
                text = ', '.join(f'{k} {v:.3f}' for k, v in scores.totals.items())
                bar.write(f'step {state.step}: {text}')
                if scores.score > state.best_score:
                    state.best_score, state.best_step = scores.score, state.step
                    save_checkpoint(state.average.module, state.spec, self.output / BEST_FILE)
        worse = state.step - state.best_step >= options.patience * options.evaluate_every
        return not self.group.any(bool(
            options.patience and self.group.is_first and worse), self.fabric.device)

    def _save(self) -> None:
        with self.fabric.rank_zero_first():
            if self.group.is_first:
                self.state.precision = self.fabric.strategy.precision.state_dict()
                self.state.save(self.output / STATE_FILE)
