"""
The log of a run: a CSV row for every step and evaluation, and the same for TensorBoard.

`log.csv` has the losses of every step, `scores.csv` the scores of every evaluation. Files for
TensorBoard are in `tensorboard/` where that package is installed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import csv
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

LOG_FILE = 'log.csv'
SCORES_FILE = 'scores.csv'
TENSORBOARD_FOLDER = 'tensorboard'


class Table:
    """A CSV file with a column `step`; rows after the step that a run resumes from are dropped."""

    def __init__(self, path: Path, columns: Sequence[str], first_step: int) -> None:
        kept: list[dict[str, str]] = []
        if first_step and path.is_file():
            with path.open(newline='') as file:
                kept = [row for row in csv.DictReader(file) if int(row['step']) <= first_step]
        self._file = path.open('w', newline='', buffering=1)
        self._writer = csv.DictWriter(
            self._file, ['step', *columns], restval='', extrasaction='ignore')
        self._writer.writeheader()
        self._writer.writerows(kept)

    def write(self, step: int, values: Mapping[str, str]) -> None:
        """Add a row; a column without a value stays empty."""
        self._writer.writerow({'step': step, **values})

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class RunLog:
    """The log files of a run, as a context."""

    def __init__(self, output: Path, first_step: int, losses: Sequence[str]) -> None:
        self._steps = Table(
            output / LOG_FILE, ['learning_rate', 'images_per_second', 'wait_share', *losses],
            first_step)
        self._scores = Table(output / SCORES_FILE, ['score', 'AP50', 'mIoU'], first_step)
        self._board: Any = None
        if importlib.util.find_spec('tensorboard'):
            from torch.utils.tensorboard import SummaryWriter
            self._board = SummaryWriter(
                str(output / TENSORBOARD_FOLDER), purge_step=first_step or None)

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *error: object) -> None:
        self._steps.close()
        self._scores.close()
        if self._board:
            self._board.close()

    def step(self, step: int, rate: float, speed: float, wait_share: float,
             losses: Mapping[str, float]) -> None:
        """
        Write the row of one step.

        `rate` is the learning rate, `speed` in images per second, `wait_share` the share of the
        step's time that was spent waiting for its batch.
        """
        self._steps.write(step, {
            'learning_rate': f'{rate:.3g}', 'images_per_second': f'{speed:.2f}',
            'wait_share': f'{wait_share:.3f}', **{k: f'{v:.5f}' for k, v in losses.items()}})
        if self._board:
            self._board.add_scalar('learning_rate', rate, step)
            self._board.add_scalar('images_per_second', speed, step)
            for name, value in losses.items():
                self._board.add_scalar(f'loss/{name}', value, step)

    def scores(self, step: int, totals: Mapping[str, float], details: Mapping[str, float],
               images: Mapping[str, np.ndarray]) -> None:
        """
        Write the scores of an evaluation after `step`.

        `totals` has score, AP50 and mIoU as far as they exist; the keys of `details` are paths
        such as 'cars/AP50/vehicle'; `images` are uint8 [H, W, 3] RGB by name.
        """
        self._scores.write(step, {name: f'{value:.5f}' for name, value in totals.items()})
        if self._board:
            for name, value in (*totals.items(), *details.items()):
                self._board.add_scalar(f'val/{name}', value, step)
            for name, image in images.items():
                self._board.add_image(f'val/{name}', image, step, dataformats='HWC')
            self._board.flush()
