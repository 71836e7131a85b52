"""The training loop: both tasks in every step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
import csv
from pathlib import Path
import signal
import time
from types import FrameType

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader
from tqdm import tqdm

from mtl_perception.data.manifest import Manifest
from mtl_perception.errors import ModelError
from mtl_perception.models.normalization import Normalize
from mtl_perception.training.batches import Batch, Batches
from mtl_perception.training.class_sets import ClassSets
from mtl_perception.training.losses import set_loss
from mtl_perception.training.state import freeze_modules, learning_rate, TrainingState

STATE_FILE = 'last.pt'
"""The run's whole state, for `--resume`."""
LOG_FILE = 'log.csv'
LOSSES = ('classes', 'boxes', 'pixels')
LABEL_LOSS_STRIDE = 2
"""Network pixels per pixel at which label logits and labels are compared."""


def set_weights(class_sets: ClassSets, manifest: Manifest) -> Tensor:
    """
    Return the loss weight of a pixel of each class set, float32 [sets].

    A single class has the manifest's weight. A set of several of a mask weighs 1: were its pixels
    worth less than those of the source's single classes, the network would see these too often.
    What boxes alone say, that a class is *not* there, is of many pixels and says little of each:
    it weighs the share of information that n of C classes carry, 1 - log n / log C.
    """
    count = class_sets.table().sum(axis=1)
    information = 1 - np.log(count) / max(np.log(class_sets.classes), 1e-9)
    weights = np.where(class_sets.of_masks(), 1.0, information).astype(np.float32)
    weights[:class_sets.classes] = manifest.pixel_weights
    return torch.from_numpy(weights)


class Objective:
    """The sum of the losses of a batch, and each of them."""

    def __init__(self, state: TrainingState, batches: Batches, device: torch.device) -> None:
        self.network = state.network
        self.criterion = state.criterion
        self.options = state.options
        self.normalize = Normalize().to(device)
        if batches.class_sets is not None:
            self.table = torch.from_numpy(batches.class_sets.table()).to(device)
            self.weights = set_weights(batches.class_sets, batches.pool.manifest).to(device)

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of `LOSSES` that the network has, weighted as they are summed."""
        images = self.normalize(batch.images).contiguous(memory_format=torch.channels_last)
        outputs = self.network(images)
        losses: dict[str, Tensor] = {}
        if outputs.detection is not None:
            found = self.criterion(outputs.detection, batch.truths)
            losses['classes'] = found.classes
            losses['boxes'] = found.boxes * self.options.box_weight
        if outputs.label_logits is not None:
            labels = batch.labels[:, ::LABEL_LOSS_STRIDE, ::LABEL_LOSS_STRIDE]
            logits = functional.interpolate(
                outputs.label_logits, size=labels.shape[1:], mode='bilinear', align_corners=False)
            losses['pixels'] = self.options.segmentation_weight * set_loss(
                logits, labels, self.table, self.weights)
        return losses


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


def train(state: TrainingState, batches: Batches, output: Path, device: torch.device,
          progress: bool = True) -> bool:
    """
    Run the steps that are left, logging and saving into `output`; return whether all were run.

    Ends early, saved, on SIGINT or SIGTERM. Raises ModelError where a loss is not finite.
    """
    options = state.options
    objective = Objective(state, batches, device)
    state.network.train()
    freeze_modules(state.network, options.freeze)
    loader = DataLoader(
        batches, batch_size=None, sampler=range(state.step, options.steps),
        num_workers=options.workers, worker_init_fn=_ignore_signals,
        prefetch_factor=3 if options.workers else None)
    bar = tqdm(total=options.steps, initial=state.step, desc='training', unit='step',
               disable=not progress, smoothing=0.05)
    with stop_requests() as stopped, bar, _Log(output / LOG_FILE, state.step) as log:
        for batch in loader:
            began = time.perf_counter()
            rate = learning_rate(state.step, options)
            for group in state.optimizer.param_groups:
                group['lr'] = rate * group['rate']
            losses = objective(batch.to(device))
            total = sum(losses.values(), torch.zeros((), device=device))
            if not torch.isfinite(total):
                parts = ', '.join(f'{k} {float(v):g}' for k, v in losses.items())
                raise ModelError(f'step {state.step}: the loss is not finite ({parts}); '
                                 'try a lower --learning-rate')
            state.optimizer.zero_grad(set_to_none=True)
            total.backward()
            torch.nn.utils.clip_grad_norm_(state.network.parameters(), options.gradient_norm)
            state.optimizer.step()
            state.step += 1
            state.average.update(state.network, state.step)
            speed = len(batch.images) / (time.perf_counter() - began)
            values = {name: float(loss.detach()) for name, loss in losses.items()}
            log.write(state.step, rate, speed, values)
            bar.set_postfix({**{k: f'{v:.3f}' for k, v in values.items()},
                             'img/s': f'{speed:.1f}'}, refresh=False)
            bar.update()
            if stopped() or state.step % options.save_every == 0:
                state.save(output / STATE_FILE)
            if stopped():
                break
    state.save(output / STATE_FILE)
    return state.step >= options.steps


class _Log:
    """CSV of the losses, one row a step; rows after the step resumed from are dropped."""

    def __init__(self, path: Path, first_step: int) -> None:
        self.path = path
        self.first_step = first_step

    def __enter__(self) -> _Log:
        kept: list[list[str]] = []
        if self.first_step and self.path.is_file():
            with self.path.open(newline='') as file:
                kept = [row for row in list(csv.reader(file))[1:]
                        if int(row[0]) <= self.first_step]
        self.file = self.path.open('w', newline='', buffering=1)
        self.writer = csv.writer(self.file)
        self.writer.writerow(['step', 'learning_rate', 'images_per_second', *LOSSES])
        self.writer.writerows(kept)
        return self

    def write(self, step: int, rate: float, speed: float, losses: dict[str, float]) -> None:
        """Add the row of one step; a loss that the network does not have stays empty."""
        self.writer.writerow([step, f'{rate:.3g}', f'{speed:.2f}',
                              *(f'{losses[k]:.5f}' if k in losses else '' for k in LOSSES)])

    def __exit__(self, *error: object) -> None:
        self.file.close()
