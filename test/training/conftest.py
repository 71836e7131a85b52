"""Fixtures of the tests of training: a manifest of drawn images, and runs that tests share."""

from collections.abc import Callable, Iterator
import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

MANIFEST = """
detection: {names: [car, large_vehicle]}
segmentation: {names: [building, road, vegetation, water, ground, vehicle]}
sets:
  synthetic:
    reader: synthetic
    splits:
      train: {first_seed: 3, flights: 1, frames: 3}
      val: {first_seed: 4, flights: 1, frames: 1}
    options: {width: 320, height: 240}
    boxes: {classes: {car: car, large_vehicle: large_vehicle}, complete: [car, large_vehicle]}
    masks: {building: building, road: road, vegetation: vegetation, water: water, ground: ground,
            vehicle: vehicle}
"""

SMALL = {'detection_images': 2, 'segmentation_images': 2, 'crop_size': 128, 'workers': 0}


@pytest.fixture(scope='package', autouse=True)
def one_thread() -> Iterator[None]:
    """Run torch in one thread: results are repeatable, and do not wait for a busy core."""
    try:
        import torch
    except ImportError:  # Some tests do without.
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope='session')
def manifest_path(tmp_path_factory) -> Path:
    """Return a manifest of three drawn images that are labelled for both tasks."""
    path = tmp_path_factory.mktemp('manifest') / 'town.yaml'
    path.write_text(MANIFEST)
    return path


@pytest.fixture(scope='session')
def small_config(manifest_path) -> Callable[..., Any]:
    """Return a function that makes the `TrainConfig` of a short run on small crops."""
    pytest.importorskip('torch')
    from mtl_perception.training.config import NetworkOptions, TrainConfig
    from mtl_perception.training.options import (
        BatchOptions,
        LossOptions,
        OptimizerOptions,
        TrainingOptions,
    )

    def make(output: Path, *, batches=None, optimizer=None, losses=None, training=None,
             network=None, **others) -> TrainConfig:
        options = TrainingOptions(**{
            'steps': 2, 'batches': BatchOptions(**{**SMALL, **(batches or {})}),
            'optimizer': OptimizerOptions(**{'warmup_steps': 2, **(optimizer or {})}),
            'losses': LossOptions(**(losses or {})), **(training or {})})
        return TrainConfig(manifest=manifest_path, output=output, training=options,
                           network=NetworkOptions(**{'input_size': (128, 128), **(network or {})}),
                           **others)

    return make


@pytest.fixture(scope='session')
def trained(small_config, tmp_path_factory) -> Callable[..., Path]:
    """Return a function that trains as `small_config` describes, once for equal arguments."""
    from mtl_perception.training.train import train

    outputs: dict[str, Path] = {}

    def run(**options) -> Path:
        key = repr(sorted(options.items()))
        if key not in outputs:
            output = tmp_path_factory.mktemp('run')
            train(small_config(output, **options))
            outputs[key] = output
        return outputs[key]

    return run


@pytest.fixture(scope='session')
def read_losses() -> Callable[[Path], dict[str, np.ndarray]]:
    """Return a function that reads the losses of each step from a run's log."""
    def read(output: Path) -> dict[str, np.ndarray]:
        with (output / 'log.csv').open() as file:
            rows = list(csv.DictReader(file))
        assert [int(row['step']) for row in rows] == list(range(1, len(rows) + 1))
        return {name: np.array([float(row[name]) for row in rows])
                for name in ('classes', 'boxes', 'pixels') if name in rows[0]}

    return read
