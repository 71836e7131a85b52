"""The training loop: both tasks in every step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
from dataclasses import dataclass
import math
from pathlib import Path
import signal
import time
from types import FrameType

import torch
from torch import nn, Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from tqdm import tqdm

from mtl_perception.errors import ConfigError, ModelError
from mtl_perception.models.checkpoint import save_checkpoint
from mtl_perception.training.batches import Batch, Batches
from mtl_perception.training.distillation import Teachers
from mtl_perception.training.distributed import World
from mtl_perception.training.objective import by_task, loss_names, Objective
from mtl_perception.training.precision import Precision
from mtl_perception.training.run_log import RunLog
from mtl_perception.training.state import freeze_modules, learning_rate, TrainingState
from mtl_perception.training.validation import Validation

STATE_FILE = 'last.pt'
"""The run's whole state, for `--resume`."""
BEST_FILE = 'best.pt'
"""The model (moving average, FP16) of the evaluation with the best score."""

STOPPED = 'stopped'
"""Reason of a run that a signal ended."""


@dataclass(frozen=True)
class Finish:
    """How a run ended."""

    steps: int
    reason: str
    """'finished', 'stopped' (by a signal) or 'no better' (early stop)."""


@contextlib.contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether SIGINT or SIGTERM came; a second one stops at once."""
    stopped = False

    def request(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True
        for old in before:
            signal.signal(old, before[old])

    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore_signals(worker: int) -> None:
    # Ctrl-C reaches the whole process group; the training process decides when workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class Trainer:
    """
    A run: its state, what it sees and where it writes.

    All processes of a `world` do the same steps on their shares of the pictures; the first one
    evaluates, logs and saves.
    """

    def __init__(self, state: TrainingState, batches: Batches, output: Path,
                 device: torch.device, world: World | None = None,
                 teachers: Teachers | None = None, progress: bool = True) -> None:
        """Raise ConfigError where options do not go together."""
        self.state = state
        self.options = state.options
        self.batches = batches
        self.output = output
        self.device = device
        self.world = world or World()
        self.progress = progress and self.world.is_first
        self.precision = Precision(state.options.precision, device)
        if state.scaler:
            self.precision.scaler.load_state_dict(state.scaler)
        manifest = batches.pool.manifest
        self.losses = loss_names(state.spec.tasks, teachers is not None)
        self.objective = Objective(
            self._wrapped(state.network), state.criterion, state.options, manifest,
            batches.class_sets, self.precision, self.world, teachers)
        self.parameters = [p for p in state.network.parameters() if p.requires_grad]
        self.validation = Validation(
            manifest, state.spec, device.type, state.options.evaluate_images,
        ) if state.options.evaluate_every and self.world.is_first else None

    def _wrapped(self, network: nn.Module) -> Callable[[Tensor], object]:
        if self.world.size == 1:
            return network
        if not self.state.balance.one_graph:
            raise ConfigError(f'balance {self.options.balance} runs in one process; '
                              'take another one, or start without torchrun')
        cuda = self.device.type == 'cuda'
        if cuda:
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        # A process whose pictures hold no object sends no gradient through the boxes.
        return DistributedDataParallel(
            network, device_ids=[self.world.local_rank] if cuda else None,
            find_unused_parameters=True)

    def run(self) -> Finish:
        """
        Run the steps that are left, logging and saving into the output folder.

        Ends early, saved, on SIGINT or SIGTERM and where the score gets no better. Raises
        ModelError where a loss is not finite.
        """
        state, options = self.state, self.options
        state.network.train()
        freeze_modules(state.network, options.freeze)
        loader = DataLoader(
            self.batches, batch_size=None, sampler=range(state.step, options.steps),
            num_workers=options.workers, worker_init_fn=_ignore_signals,
            prefetch_factor=3 if options.workers else None)
        bar = tqdm(total=options.steps, initial=state.step, desc='training', unit='step',
                   disable=not self.progress, smoothing=0.05)
        reason = 'finished'
        with stop_requests() as stopped, bar, contextlib.ExitStack() as files:
            log = files.enter_context(RunLog(self.output, state.step, self.losses)
                                      ) if self.world.is_first else None
            began = time.perf_counter()
            for batch in loader:
                waited = time.perf_counter() - began
                rate = learning_rate(state.step, options)
                values = self._step(batch, rate)
                seconds = time.perf_counter() - began
                speed = len(batch.images) * self.world.size / seconds
                if log:
                    log.step(state.step, rate, speed, waited / seconds, values)
                    bar.set_postfix({**{k: f'{v:.3f}' for k, v in values.items()},
                                     'img/s': f'{speed:.1f}'}, refresh=False)
                    bar.update()
                stop = self.world.any(stopped(), self.device)
                better = self._evaluate(log, bar) if not stop else True
                if stop or state.step % options.save_every == 0:
                    self._save()
                if stop or not better:
                    reason = STOPPED if stop else 'no better'
                    break
                began = time.perf_counter()
        self._save()
        return Finish(state.step, reason if state.step < options.steps else 'finished')

    def _step(self, batch: Batch, rate: float) -> dict[str, float]:
        """Take one optimiser step and return its losses."""
        state, options = self.state, self.options
        for group in state.optimizer.param_groups:
            group['lr'] = rate * group['rate']
        state.optimizer.zero_grad(set_to_none=True)
        values = dict.fromkeys(self.losses, 0.0)
        for part in batch.parts(options.accumulate):
            losses = self.objective(part.to(self.device))
            found = self._values(losses)
            for name, value in found.items():
                values[name] += value / options.accumulate
            if not all(map(math.isfinite, found.values())):
                parts = ', '.join(f'{k} {v:g}' for k, v in found.items())
                raise ModelError(f'step {state.step}: the loss is not finite ({parts}); '
                                 'try a lower --learning-rate')
            state.balance.backward(by_task(losses), self.parameters,
                                   self.precision.scale / options.accumulate)
        for parameter in state.balance.parameters():
            if parameter.grad is not None:
                parameter.grad.copy_(self.world.sum(parameter.grad) / self.world.size)
        self.precision.step(state.optimizer, self.parameters, options.gradient_norm)
        state.step += 1
        state.average.update(state.network, state.step)
        return values

    def _values(self, losses: dict[str, Tensor]) -> dict[str, float]:
        """Return the losses of the whole batch, the same in all processes."""
        values = self.world.sum(torch.stack(list(losses.values()))) / self.world.size
        return dict(zip(losses, values.tolist(), strict=True))

    def _evaluate(self, log: RunLog | None, bar: tqdm) -> bool:
        """Evaluate where it is time to; return False where the run should end early."""
        state, options = self.state, self.options
        if not options.evaluate_every or (
                state.step % options.evaluate_every and state.step != options.steps):
            return True
        if self.validation is not None and log is not None:
            scores = self.validation(state.average.network)
            log.scores(state.step, scores.totals, scores.details, scores.pictures)
            said = ', '.join(f'{k} {v:.3f}' for k, v in scores.totals.items())
            bar.write(f'step {state.step}: {said}')
            if scores.score > state.best_score:
                state.best_score, state.best_step = scores.score, state.step
                save_checkpoint(state.average.network, state.spec, self.output / BEST_FILE)
        late = state.step - state.best_step >= options.patience * options.evaluate_every
        return not self.world.any(bool(
            options.patience and self.world.is_first and late), self.device)

    def _save(self) -> None:
        if self.world.is_first:
            self.state.scaler = self.precision.scaler.state_dict()
            self.state.save(self.output / STATE_FILE)
        self.world.wait()
