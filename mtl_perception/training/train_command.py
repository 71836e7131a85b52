"""`mtl train`: train a network on the sets of a manifest."""

from __future__ import annotations

import argparse
from dataclasses import fields, replace
import datetime
from pathlib import Path

import torch

import mtl_perception
from mtl_perception.data.manifest import load_manifest, Manifest
from mtl_perception.data.transforms import AugmentOptions
from mtl_perception.errors import ConfigError, DataError
from mtl_perception.image_size import parse_size
from mtl_perception.memory import keep_freed_memory
from mtl_perception.models.backbones import BACKBONES, load_backbone_weights, NO_WEIGHTS
from mtl_perception.models.checkpoint import read_checkpoint, save_checkpoint
from mtl_perception.models.network import ARCHITECTURES, build_model
from mtl_perception.models.transfer import transfer_weights
from mtl_perception.spec import FINE_TOWERS, ModelSpec, TOWERS
from mtl_perception.training.balance import BALANCES
from mtl_perception.training.batches import Batches, Pool
from mtl_perception.training.criteria import ASSIGNMENTS
from mtl_perception.training.distillation import TeacherPaths, Teachers
from mtl_perception.training.distributed import joined_world
from mtl_perception.training.loop import BEST_FILE, Finish, STATE_FILE, Trainer
from mtl_perception.training.options import TrainingOptions
from mtl_perception.training.precision import PRECISIONS
from mtl_perception.training.state import TrainingState

NETWORK_OPTIONS = (
    'architecture', 'backbone', 'input_size', 'finest_level', 'neck_channels', 'fine_channels',
    'fine_towers', 'towers', 'tower_channels', 'fcn_stride')
"""Arguments that are fields of the spec."""

CHOICES = {'assignment': ASSIGNMENTS, 'balance': tuple(BALANCES), 'precision': PRECISIONS}
"""What the training options that are names may be."""

MODEL_FILE = 'model.pt'
"""The trained model (moving average, FP16), for `mtl export`, `evaluate` and `predict`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument('--config', required=True, type=Path, help='manifest of the data (YAML)')
    parser.add_argument('--output', required=True, type=Path,
                        help='folder for checkpoints and log')
    parser.add_argument('--data', type=Path, help='folder of the data sets (default: $MTL_DATA, '
                        'else `root` of the manifest)')
    parser.add_argument('--skip-bad', action='store_true',
                        help='leave out broken pictures and annotations, and count them')
    parser.add_argument('--resume', action='store_true',
                        help=f'continue the run in --output from its {STATE_FILE}')
    parser.add_argument('--tasks', choices=('both', 'detection', 'segmentation'), default='both')
    start = parser.add_mutually_exclusive_group()
    start.add_argument('--from', type=Path, dest='start', metavar='MODEL',
                       help='start from the weights of this checkpoint (.pt), as far as they fit; '
                       'the options of the network are then its own unless given')
    start.add_argument('--weights', default=NO_WEIGHTS, metavar='FILE|NAME',
                       help='of the backbone at the start: state dict of the torchvision model, '
                       "torchvision's name of its weights, like IMAGENET1K_V1 or DEFAULT, or "
                       f'{NO_WEIGHTS} for random numbers (%(default)s)')
    parser.add_argument('--architecture', choices=sorted(ARCHITECTURES),
                        help=f'(default: {ModelSpec.architecture})')
    parser.add_argument('--backbone', help=f'one of {", ".join(BACKBONES)} (default: '
                        + _defaults('BACKBONE') + ')')
    parser.add_argument('--input-size', metavar='WxH', help='input of the deployed network in '
                        'pixels (default: ' + _defaults('INPUT_SIZE') + ')')
    parser.add_argument('--finest-level', type=int, choices=(2, 3),
                        help='2 adds boxes at stride 4 for small objects '
                        f'(default: {ModelSpec.finest_level})')
    parser.add_argument('--neck-channels', type=int,
                        help='channels of the pyramid (default: from the backbone)')
    parser.add_argument('--fine-channels', type=int, metavar='N',
                        help='channels of the level of stride 4 (default: as the other levels)')
    parser.add_argument('--fine-towers', choices=FINE_TOWERS,
                        help='at stride 4, a tower each for classes and boxes, or one for both '
                        f'(default: {ModelSpec.fine_towers})')
    parser.add_argument('--towers', choices=TOWERS,
                        help='3x3 convolutions of the other towers; separable ones take less time '
                        f'(default: {ModelSpec.towers})')
    parser.add_argument('--tower-channels', type=int, metavar='N',
                        help='channels of the other towers (default: as the pyramid)')
    parser.add_argument('--fcn-stride', type=int, choices=(8, 16, 32),
                        help='FCN-8s, -16s or -32s of the architecture thesis (default: 16)')
    parser.add_argument('--device', default='auto', help='cpu, cuda or auto (%(default)s)')
    group = parser.add_argument_group('training')
    for option in fields(TrainingOptions):
        name = '--' + option.name.replace('_', '-')
        if option.name == 'freeze':
            group.add_argument(name, nargs='+', default=(), metavar='MODULE',
                               help='modules of the network (pyramid.smooth.1) or of its backbone '
                               '(features.0) that keep their weights')
        else:
            group.add_argument(name, type=type(option.default), default=option.default,
                               choices=CHOICES.get(option.name),
                               help='(%(default)s)')


def _defaults(name: str) -> str:
    """Return what each architecture has under the class attribute `name`, for a help text."""
    values = {key: getattr(kind, name) for key, kind in sorted(ARCHITECTURES.items())}
    return ', '.join(f'{key} {value if isinstance(value, str) else "x".join(map(str, value))}'
                     for key, value in values.items())


def choose_device(name: str) -> torch.device:
    """Return the device `name`; `auto` is CUDA where there is one. ConfigError if impossible."""
    if name == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    if name == 'cuda' and not torch.cuda.is_available():
        raise ConfigError('--device cuda: torch finds no CUDA device; use --device cpu')
    if name not in ('cpu', 'cuda'):
        raise ConfigError(f'--device {name}: choose cpu, cuda or auto')
    return torch.device(name)


def run(args: argparse.Namespace) -> None:
    """Train as `args` say; raises MtlError for what the user can mend."""
    train(args)


def train(args: argparse.Namespace, teachers: TeacherPaths | None = None) -> None:
    """Train as `args` say, with `teachers` if there are some; raises MtlError."""
    manifest = _for_tasks(load_manifest(args.config, args.data), args.tasks)
    options = _options(args, manifest)
    spec = _spec(args, manifest)
    device = choose_device(args.device)
    state_path = args.output / STATE_FILE
    if state_path.exists() and not args.resume:
        raise ConfigError(f'{state_path} exists: --resume continues that run; '
                          'another --output begins a new one')
    if args.resume and not state_path.exists():
        raise ConfigError(f'{state_path}: there is no run to resume')
    args.output.mkdir(parents=True, exist_ok=True)

    keep_freed_memory(everything=True)
    with joined_world(device.type == 'cuda') as world:
        if device.type == 'cuda':
            device = torch.device('cuda', world.local_rank)
        say = print if world.is_first else _say_nothing
        torch.manual_seed(options.seed)
        network = build_model(spec)
        if args.start and not args.resume:
            say(f'starting from {args.start}: {transfer_weights(network, spec, args.start)}')
        elif not args.resume:
            load_backbone_weights(network.backbone, spec.backbone, args.weights)
        network.to(device, memory_format=torch.channels_last)
        taught = Teachers(spec, teachers.detection, teachers.segmentation, device
                          ) if teachers else None
        state = TrainingState(network, spec, options)
        if args.resume:
            state.restore(state_path)
            say(f'resuming at step {state.step} of {options.steps}')
        pool = Pool(manifest, 'train', int(options.cache_gib * 2 ** 30), world.is_first,
                    skip_bad=args.skip_bad, limit=options.overfit)
        batches = Batches(
            pool, options.steps, options.detection_images, options.segmentation_images,
            AugmentOptions(crop_size=options.crop_size), options.seed, world,
            same_crops=bool(options.overfit))
        state.spec = replace(spec, provenance=_provenance(args, options, pool, teachers))
        finish = Trainer(state, batches, args.output, device, world, taught).run()
        if world.is_first:
            _save_model(state, finish, args.output)


def _say_nothing(text: str) -> None:
    """Stand in for print where another process speaks."""


def _save_model(state: TrainingState, finish: Finish, output: Path) -> None:
    steps = f'{finish.steps} of {state.spec.provenance["steps"]}'
    spec = replace(state.spec, provenance={
        **state.spec.provenance, 'steps': steps, 'ended': finish.reason})
    save_checkpoint(state.average.network, spec, output / MODEL_FILE)
    after = {'finished': '', 'no better': '; the score got no better',
             'stopped': f'; stopped early, go on with --resume --output {output}'}[finish.reason]
    print(f'{output / MODEL_FILE}: the model after {finish.steps} steps{after}')
    if state.best_step:
        print(f'{output / BEST_FILE}: the best score, {state.best_score:.3f}, '
              f'after {state.best_step} steps')


def _options(args: argparse.Namespace, manifest: Manifest) -> TrainingOptions:
    """Return the options; a task that is switched off has no pictures drawn for it."""
    options = TrainingOptions(**{
        option.name: getattr(args, option.name) for option in fields(TrainingOptions)
        if option.name != 'freeze'}, freeze=tuple(args.freeze))
    return replace(
        options, detection_images=options.detection_images if manifest.detection else 0,
        segmentation_images=options.segmentation_images if manifest.segmentation else 0)


def _provenance(args: argparse.Namespace, options: TrainingOptions, pool: Pool,
                teachers: TeacherPaths | None) -> dict[str, str]:
    taught_by = [path.name for path in teachers or () if path]
    return {
        **({'from': args.start.name} if args.start else {}),
        **({'teachers': ', '.join(taught_by)} if taught_by else {}),
        'data': ', '.join(f'{data_set.spec.name} ({size})' for data_set, size
                          in zip(pool.sets, pool.sizes, strict=True)),
        'steps': f'{options.steps}, {options.detection_images} + '
                 f'{options.segmentation_images} crops of {options.crop_size} pixels each',
        'seed': str(options.seed),
        'date': datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        'mtl_perception': mtl_perception.__version__}


def _spec(args: argparse.Namespace, manifest: Manifest) -> ModelSpec:
    """Return the spec of the network: as the options say, else the model's to start from."""
    given = {name: getattr(args, name) for name in NETWORK_OPTIONS
             if getattr(args, name) is not None}
    if args.input_size is not None:
        given['input_size'] = parse_size(args.input_size, '--input-size')
    if args.start:
        start = read_checkpoint(args.start)[0]
        return replace(start, detection=manifest.detection, segmentation=manifest.segmentation,
                       provenance={}, **given)
    architecture = ARCHITECTURES[args.architecture or ModelSpec.architecture]
    return ModelSpec(**{
        'backbone': architecture.BACKBONE, 'input_size': architecture.INPUT_SIZE,
        'detection': manifest.detection, 'segmentation': manifest.segmentation, **given})


def _for_tasks(manifest: Manifest, tasks: str) -> Manifest:
    """Return the manifest without the label set and the sets of a task that is switched off."""
    if tasks == 'detection':
        manifest = replace(manifest, segmentation=None, sets=tuple(
            replace(spec, masks=None, segmentation_weight=0.0, box_class_pixels={})
            for spec in manifest.sets if spec.boxes))
    elif tasks == 'segmentation':
        manifest = replace(manifest, detection=None, sets=tuple(
            replace(spec, boxes=None, detection_weight=0.0, box_class_pixels={})
            for spec in manifest.sets if spec.masks))
    if manifest.detection is None and manifest.segmentation is None:
        raise DataError('the manifest names no classes for the tasks to train')
    return manifest
