"""Training runs: `train` on labels, `distill` with single-task teachers as well."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
import datetime
from pathlib import Path
from typing import Any, TYPE_CHECKING

import torch

import mtl_perception
from mtl_perception.data.broken import Broken
from mtl_perception.data.manifest import load_manifest
from mtl_perception.data.set_spec import Manifest
from mtl_perception.data.training_set import TrainingSamples
from mtl_perception.errors import ConfigError, DataError
from mtl_perception.files import make_folder
from mtl_perception.memory import keep_freed_memory
from mtl_perception.models.backbones import load_backbone_weights
from mtl_perception.models.checkpoint import read_checkpoint, save_checkpoint
from mtl_perception.models.network import ARCHITECTURES, build_model
from mtl_perception.models.transfer import transfer_weights
from mtl_perception.spec import ModelSpec
from mtl_perception.training.batches import Batches
from mtl_perception.training.config import MODEL_FILE, Report, STATE_FILE, TrainConfig
from mtl_perception.training.distillation import Teachers
from mtl_perception.training.engine import launched
from mtl_perception.training.loop import Finish, Trainer
from mtl_perception.training.options import TrainingOptions
from mtl_perception.training.process_group import ProcessGroup
from mtl_perception.training.state import TrainingState

if TYPE_CHECKING:
    from lightning_fabric import Fabric

@dataclass(frozen=True)
class TrainResult:
    """How a run ended."""

    model: Path
    """The trained model."""
    steps: int
    """Optimiser steps that were taken."""
    reason: str
    """`config.FINISHED`, `STOPPED`, `NO_BETTER` or `OUT_OF_TIME`."""
    best_score: float
    best_step: int
    """The best score of an evaluation and the step after which it was; 0: no evaluation."""


def _silent(text: str) -> None:
    """Report nothing."""


def train(config: TrainConfig, announce: Report = _silent, warn: Report = _silent,
          progress: bool = False) -> TrainResult | None:
    """
    Train a network and write it into `config.output`.

    `announce` receives where the run starts, `warn` each entry of the data that is left out;
    `progress` shows bars on stderr. Where torchrun started several processes, only the first one
    reports and returns a result. Raises ConfigError, DataError or ModelError.
    """
    loaded = load_manifest(config.manifest, config.data)
    manifest = for_tasks(loaded, config.tasks, config.training.batches.boxes_as_masks)
    config = replace(config, training=_for_manifest(config.training, manifest))
    spec = _network_spec(config, manifest, _pixel_classes(loaded))
    state_path = config.output / STATE_FILE
    if state_path.exists() and not config.resume:
        raise ConfigError(f'{state_path} exists: --resume continues that run; '
                          'another --output begins a new one')
    if config.resume and not state_path.exists():
        raise ConfigError(f'{state_path}: there is no run to resume')
    make_folder(config.output)

    keep_freed_memory(everything=True)
    with launched(config.device, config.training.precision) as fabric:
        group = ProcessGroup(fabric.global_rank, fabric.world_size)
        if not group.is_first:
            announce = warn = _silent
            progress = False
        state, teachers = _start(config, spec, fabric, announce)
        samples = read_samples(config, manifest, fabric, warn, progress)
        batches = Batches(samples, config.training.steps, config.training.batches,
                          config.training.seed, group)
        state.spec = replace(spec, provenance=_provenance(config, samples))
        finish = Trainer(fabric, state, batches, config.output, teachers, progress).run()
        return _save_model(state, finish, config.output) if group.is_first else None


def distill(config: TrainConfig, announce: Report = _silent, warn: Report = _silent,
            progress: bool = False) -> TrainResult | None:
    """Train a network on labels and on its teachers' outputs; see `train`."""
    if not config.teachers.given():
        raise ConfigError('distillation needs a teacher: a detection or a segmentation model')
    return train(config, announce, warn, progress)


def _start(config: TrainConfig, spec: ModelSpec, fabric: Fabric,
           announce: Report) -> tuple[TrainingState, Teachers | None]:
    """Return the state that the run starts from, and the teachers, on the device."""
    torch.manual_seed(config.training.seed)
    network = build_model(spec)
    if config.start and not config.resume:
        transfer = transfer_weights(network, spec, config.start, config.like)
        announce(f'starting from {config.start}: {transfer}')
    elif not config.resume:
        load_backbone_weights(network.backbone, spec.backbone, config.weights)
    network.to(fabric.device, memory_format=torch.channels_last)
    teachers = Teachers(spec, config.teachers, fabric.device) if config.teachers.given() else None
    state = TrainingState(network, spec, config.training)
    if config.resume:
        state.restore(config.output / STATE_FILE)
        announce(f'resuming at step {state.step} of {config.training.steps}')
    return state, teachers


def read_samples(config: TrainConfig, manifest: Manifest, fabric: Fabric, warn: Report = _silent,
                 progress: bool = False) -> TrainingSamples:
    """
    Return the samples of `manifest` to train on, the same ones in all processes.

    Raises DataError for a broken entry unless `config.skip_bad`; `warn` then receives a line.
    """
    count = 0

    def skip(broken: Broken) -> None:
        nonlocal count
        count += 1
        warn(f'left out of {broken.set_name} ({count}): {broken.reason}')

    batches = config.training.batches
    samples = TrainingSamples(
        manifest, 'train', int(batches.cache_gib * 2 ** 30), limit=batches.overfit,
        skip=skip if config.skip_bad else None, progress=progress)
    if config.skip_bad:
        # Reading may take longer than a collective is allowed to.
        with fabric.rank_zero_first():
            pass
        # The first process decides what is broken: all must draw the same schedule.
        samples.restrict(fabric.broadcast(samples.indices))
    return samples


def _save_model(state: TrainingState, finish: Finish, output: Path) -> TrainResult:
    steps = f'{finish.steps} of {state.spec.provenance["steps"]}'
    limit = state.options.minutes
    spec = replace(state.spec, provenance={
        **state.spec.provenance, 'steps': steps,
        **({'minutes': f'{state.seconds / 60:.1f} of {limit:g}'} if limit else {}),
        'ended': finish.reason})
    save_checkpoint(state.average.module, spec, output / MODEL_FILE)
    return TrainResult(output / MODEL_FILE, finish.steps, finish.reason, state.best_score,
                       state.best_step)


def _pixel_classes(manifest: Manifest) -> dict[str, str]:
    """Return which detection classes have pixels of a class, where the sets agree on it."""
    if manifest.detection is None or manifest.segmentation is None:
        return {}
    found: dict[int, set[int]] = {}
    for spec in manifest.sets:
        for box, pixels in spec.box_class_pixels.items():
            found.setdefault(box, set()).add(pixels)
    return {manifest.detection.names[box]: manifest.segmentation.names[min(pixels)]
            for box, pixels in sorted(found.items()) if len(pixels) == 1}


def _for_manifest(options: TrainingOptions, manifest: Manifest) -> TrainingOptions:
    """Return the options, with no images drawn for a task that is switched off."""
    batches = options.batches
    return replace(options, batches=replace(
        batches, detection_images=batches.detection_images if manifest.detection else 0,
        segmentation_images=batches.segmentation_images if manifest.segmentation else 0))


def _provenance(config: TrainConfig, samples: TrainingSamples) -> dict[str, str]:
    batches = config.training.batches
    teachers = ', '.join(path.name for path in config.teachers.given())
    return {
        **({'from': config.start.name} if config.start else {}),
        **({'teachers': teachers} if teachers else {}),
        'data': ', '.join(f'{data_set.spec.name} ({size})' for data_set, size
                          in zip(samples.sets, samples.sizes, strict=True)),
        'steps': f'{config.training.steps}, {batches.detection_images} + '
                 f'{batches.segmentation_images} crops of {batches.crop_size} pixels each',
        'seed': str(config.training.seed),
        'date': datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        'mtl_perception': mtl_perception.__version__}


def _network_spec(config: TrainConfig, manifest: Manifest, pixel_classes: dict[str, str]
                  ) -> ModelSpec:
    """Return the spec of the network: from the options, else from the model to start from."""
    labels: dict[str, Any] = {
        'detection': manifest.detection, 'segmentation': manifest.segmentation,
        'pixel_classes': pixel_classes if manifest.detection and manifest.segmentation else {}}
    given = {name: value for name, value in asdict(config.network).items() if value is not None}
    if config.start:
        start = read_checkpoint(config.start)[0]
        return replace(start, **labels, provenance={}, **given)
    name = config.network.architecture or ModelSpec.architecture
    if name not in ARCHITECTURES:
        raise ConfigError(
            f'no architecture {name!r}; there are {", ".join(sorted(ARCHITECTURES))}')
    architecture = ARCHITECTURES[name]
    return ModelSpec(**{
        'backbone': architecture.BACKBONE, 'input_size': architecture.INPUT_SIZE,
        **labels, **given})


def for_tasks(manifest: Manifest, tasks: str, boxes_as_masks: bool = True) -> Manifest:
    """
    Return the manifest without the label set and the sets of a task that is switched off.

    Without `boxes_as_masks`, boxes tell nothing about pixels. Raises DataError where no task with
    classes is left.
    """
    if not boxes_as_masks:
        manifest = replace(manifest, sets=tuple(
            replace(spec, box_class_pixels={}) for spec in manifest.sets))
    if tasks == 'detection':
        manifest = replace(manifest, segmentation=None, sets=tuple(
            replace(spec, masks=spec.masks if spec.background else None,
                    segmentation_weight=0.0, box_class_pixels={})
            for spec in manifest.sets if spec.boxes or spec.background))
    elif tasks == 'segmentation':
        manifest = replace(manifest, detection=None, sets=tuple(
            replace(spec, boxes=None, detection_weight=0.0, box_class_pixels={}, background={})
            for spec in manifest.sets if spec.masks))
    if manifest.detection is None and manifest.segmentation is None:
        raise DataError('the manifest names no classes for the tasks to train')
    return manifest
