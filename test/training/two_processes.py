"""
What one or two processes compute from the same images, written to `<output>/<name>.pt`.

Start it alone or with torchrun: `two_processes.py MANIFEST OUTPUT`.
"""

from datetime import timedelta
from pathlib import Path
import sys
import time

import torch

from mtl_perception.data import training_set
from mtl_perception.data.manifest import load_manifest
from mtl_perception.data.training_set import TrainingSamples
from mtl_perception.errors import DataError
from mtl_perception.models.network import build_model
from mtl_perception.spec import ModelSpec
from mtl_perception.training.batches import Batches
from mtl_perception.training.config import TrainConfig
from mtl_perception.training.engine import launched
from mtl_perception.training.loop import Trainer
from mtl_perception.training.objective import by_task
from mtl_perception.training.options import BatchOptions, LossOptions, TrainingOptions
from mtl_perception.training.process_group import ProcessGroup
from mtl_perception.training.state import TrainingState
from mtl_perception.training.train import read_samples
from mtl_perception.training.validation import Scores

TIME_OUT = timedelta(seconds=4)
"""Limit of the wait for another process."""

VALIDATION_SECONDS = 5.5
"""Longer than the limit."""


def trainer(fabric, manifest_path: str, output: Path, detection_images: int,
            segmentation_images: int, accumulate: int = 1, **options) -> Trainer:
    group = ProcessGroup(fabric.global_rank, fabric.world_size)
    manifest = load_manifest(Path(manifest_path))
    batches = BatchOptions(detection_images, segmentation_images, crop_size=96, workers=0,
                           accumulate=accumulate)
    options = TrainingOptions(
        batches=batches, losses=LossOptions(weighting='uncertainty'), **options)
    spec = ModelSpec(detection=manifest.detection, segmentation=manifest.segmentation)
    torch.manual_seed(0)
    state = TrainingState(build_model(spec), spec, options)
    samples = TrainingSamples(manifest, 'train', 1 << 28)
    return Trainer(fabric, state, Batches(samples, options.steps, batches, 0, group), output)


def gradients(fabric, manifest_path: str, output: Path) -> dict:
    """Return losses and gradients of one step of seven images."""
    made = trainer(fabric, manifest_path, output, 4, 3, steps=1)
    # Batch norm's statistics of a process are those of its own images: keep it out.
    made.state.network.eval()
    batch = made.batches[0]
    losses = made.objective(batch)
    made.state.weighting.backward(by_task(losses), made.parameters, fabric.backward)
    values = torch.stack(list(losses.values()))
    return {'images': len(batch.images),
            'losses': (made.group.sum(values) / made.group.size).tolist(),
            'gradients': {name: parameter.grad for name, parameter
                          in made.state.network.named_parameters()}}


def unequal_shares(fabric, manifest_path: str, output: Path) -> dict:
    """Return how a run ends whose steps are of three images, in two parts."""
    made = trainer(fabric, manifest_path, output / 'unequal', 2, 1, accumulate=2, steps=2)
    (output / 'unequal').mkdir(exist_ok=True)
    return {'steps': made.run().steps}


def long_validation(fabric, manifest_path: str, output: Path) -> dict:
    """Return how a run ends that is evaluated for longer than another process may wait."""
    made = trainer(fabric, manifest_path, output / 'long', 2, 2, steps=1, evaluate_every=1)
    (output / 'long').mkdir(exist_ok=True)

    def validation(network) -> Scores:
        time.sleep(VALIDATION_SECONDS)
        return Scores({'score': 0.25}, {}, {})

    if made.validation is not None:
        made.validation = validation
    return {'steps': made.run().steps, 'best': made.state.best_score}


def skipped_entries(fabric, manifest_path: str, output: Path) -> dict:
    """Return the entries that are used where only the second process cannot read one of them."""
    class Unreadable:
        def __init__(self, data_set):
            self.spec, self.stems, self._set = data_set.spec, data_set.stems, data_set

        def read(self, split, index):
            if index == 1 and fabric.global_rank == 1:
                raise DataError('the network drive is gone')
            return self._set.read(split, index)

    opened = training_set.open_set
    training_set.open_set = lambda *arguments: Unreadable(opened(*arguments))
    config = TrainConfig(Path(manifest_path), output, skip_bad=True)
    lines: list[str] = []
    samples = read_samples(config, load_manifest(config.manifest), fabric, lines.append)
    training_set.open_set = opened
    return {'indices': samples.indices, 'lines': lines}


def main(manifest_path: str, output: Path) -> None:
    torch.set_num_threads(1)
    with launched('cpu', 'fp32', TIME_OUT) as fabric:
        for scenario in (gradients, unequal_shares, long_validation, skipped_entries):
            found = scenario(fabric, manifest_path, output)
            torch.save(found, output / f'{scenario.__name__}{fabric.global_rank}.pt')


if __name__ == '__main__':
    main(sys.argv[1], Path(sys.argv[2]))
