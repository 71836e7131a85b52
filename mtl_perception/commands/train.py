"""`mtl train`: train a network on the sets of a manifest."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any, TYPE_CHECKING, TypeVar

from mtl_perception.commands.arguments import add_data_argument, pairs, say
from mtl_perception.image_size import parse_size
from mtl_perception.models.backbones import BACKBONES, NO_WEIGHTS
from mtl_perception.models.network import ARCHITECTURES
from mtl_perception.spec import FINE_TOWERS, ModelSpec, TOWERS
from mtl_perception.training.config import (
    BEST_FILE,
    MODEL_FILE,
    NetworkOptions,
    NO_BETTER,
    OUT_OF_TIME,
    STATE_FILE,
    STOPPED,
    TASKS,
    TeacherPaths,
    TrainConfig,
)
from mtl_perception.training.criteria import ASSIGNMENTS
from mtl_perception.training.engine import PRECISIONS
from mtl_perception.training.loss_weighting import LOSS_WEIGHTINGS
from mtl_perception.training.options import (
    BatchOptions,
    LossOptions,
    OptimizerOptions,
    TrainingOptions,
)

if TYPE_CHECKING:
    from mtl_perception.training.train import TrainResult

T = TypeVar('T')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        '--config', required=True, metavar='YAML', type=Path,
        help='manifest of the data sets, such as config/aerial.yaml')
    parser.add_argument(
        '--output', required=True, metavar='DIR', type=Path,
        help=f'folder for {MODEL_FILE}, {BEST_FILE}, {STATE_FILE} and the logs; made if missing')
    add_data_argument(parser)
    parser.add_argument(
        '--skip-bad', action='store_true',
        help='leave out broken images and annotations, and report each on stderr (default: the '
        'first one ends the command)')
    parser.add_argument(
        '--resume', action='store_true',
        help=f'continue the run in --output from its {STATE_FILE} (default: start a new run)')
    parser.add_argument(
        '--tasks', choices=TASKS, default=TrainConfig.tasks,
        help='tasks of the network (default: %(default)s)')
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        '--from', type=Path, dest='start', metavar='MODEL',
        help='start from the weights of this checkpoint (.pt), as far as they fit; the network '
        'options are then those of the checkpoint unless given (default: start from --weights)')
    parser.add_argument(
        '--like', metavar='NEW=OLD,...',
        help="with --from, start a class from another one's predictor, such as vehicle=car "
        '(default: from that of the same name, else random)')
    start.add_argument(
        '--weights', default=TrainConfig.weights, metavar='FILE|NAME',
        help="initial weights of the backbone: a state dict of torchvision's model, torchvision's "
        f'name of its weights, such as IMAGENET1K_V1 or DEFAULT, or {NO_WEIGHTS} for random '
        'numbers (default: %(default)s)')
    parser.add_argument(
        '--device', default=TrainConfig.device,
        help='cpu, cuda or auto, which is CUDA where there is a device (default: %(default)s)')
    _add_run(parser.add_argument_group('run'))
    _add_network(parser.add_argument_group('network'))
    _add_batches(parser.add_argument_group('batches'))
    _add_optimizer(parser.add_argument_group('optimizer'))
    _add_losses(parser.add_argument_group('losses'))


def _add_run(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        '--steps', type=int, default=TrainingOptions.steps, metavar='N',
        help='number of optimiser steps (default: %(default)s)')
    group.add_argument(
        '--minutes', type=float, default=TrainingOptions.minutes, metavar='N',
        help='end the run after N minutes of training, those before --resume included, if not all '
        'steps are taken before; reading the data and evaluations do not count; 0: no limit '
        '(default: %(default)s)')
    group.add_argument(
        '--seed', type=int, default=TrainingOptions.seed, metavar='N',
        help='seed of all random numbers: initial weights, draws of images, augmentation '
        '(default: %(default)s)')
    group.add_argument(
        '--precision', choices=('auto', *PRECISIONS), default=TrainingOptions.precision,
        help='number format that the network runs in; fp16 needs a CUDA device, auto is bf16 '
        'where a CUDA device supports it, else fp32 (default: %(default)s)')
    group.add_argument(
        '--save-every', type=int, default=TrainingOptions.save_every, metavar='N',
        help=f'write {STATE_FILE} after every N steps (default: %(default)s)')
    group.add_argument(
        '--evaluate-every', type=int, default=TrainingOptions.evaluate_every, metavar='N',
        help=f'evaluate on the split `val` after every N steps and keep the best as {BEST_FILE}; '
        '0: never (default: %(default)s)')
    group.add_argument(
        '--evaluate-images', type=int, default=TrainingOptions.evaluate_images, metavar='N',
        help='evaluate on N images of each set, evenly spread; 0: all (default: %(default)s)')
    group.add_argument(
        '--patience', type=int, default=TrainingOptions.patience, metavar='N',
        help='end the run after N evaluations in a row without a better score; 0: never '
        '(default: %(default)s)')


def _add_network(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        '--architecture', choices=sorted(ARCHITECTURES),
        help='network design: lean, or thesis for that of the thesis (SSD and FCN-16s) (default: '
        f'{ModelSpec.architecture})')
    group.add_argument(
        '--backbone',
        help=f'one of {", ".join(BACKBONES)} (default: {_by_architecture("BACKBONE")})')
    group.add_argument(
        '--input-size', metavar='WxH',
        help='width and height of the input of the deployed network in pixels (default: '
        f'{_by_architecture("INPUT_SIZE")})')
    group.add_argument(
        '--finest-level', type=int, choices=(2, 3),
        help='of lean, finest pyramid level with boxes: 3 is stride 8, 2 adds stride 4 for small '
        f'objects (default: {ModelSpec.finest_level})')
    group.add_argument(
        '--neck-channels', type=int, metavar='N',
        help="of lean, channels of the pyramid (default: from the backbone's width)")
    group.add_argument(
        '--fine-channels', type=int, metavar='N',
        help='of lean, channels of the level of stride 4 (default: the same as the other levels)')
    group.add_argument(
        '--fine-towers', choices=FINE_TOWERS,
        help='of lean, at stride 4: one tower each for classes and boxes, or one for both '
        f'(default: {ModelSpec.fine_towers})')
    group.add_argument(
        '--towers', choices=TOWERS,
        help='of lean, 3x3 convolutions of the other towers; separable ones are faster '
        f'(default: {ModelSpec.towers})')
    group.add_argument(
        '--tower-channels', type=int, metavar='N',
        help='of lean, channels of the other towers (default: the same as the pyramid)')
    group.add_argument(
        '--fcn-stride', type=int, choices=(8, 16, 32),
        help='of thesis, output stride in pixels: FCN-8s, -16s or -32s (default: 16)')


def _add_batches(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        '--detection-images', type=int, default=BatchOptions.detection_images, metavar='N',
        help='images of each step drawn for their boxes (default: %(default)s)')
    group.add_argument(
        '--segmentation-images', type=int, default=BatchOptions.segmentation_images, metavar='N',
        help='images of each step drawn for their masks (default: %(default)s)')
    group.add_argument(
        '--crop-size', type=int, default=BatchOptions.crop_size, metavar='PIXELS',
        help='side of the square training crops in pixels, a multiple of 4 (default: %(default)s)')
    group.add_argument(
        '--accumulate', type=int, default=BatchOptions.accumulate, metavar='N',
        help="process each step's images in at most N parts, one after the other, and average "
        'their gradients: takes less memory (default: %(default)s)')
    group.add_argument(
        '--overfit', type=int, default=BatchOptions.overfit, metavar='N',
        help='train on the first N images of each set only, always the same crop of them, to test '
        'whether the network can memorise them; 0: on all (default: %(default)s)')
    group.add_argument(
        '--drawn-labels-only', action='store_true',
        help='images drawn for their boxes come without masks, images drawn for their masks '
        'without boxes: networks for one task and for both then see the same labels (default: '
        'all labels of each image)')
    group.add_argument(
        '--no-boxes-as-masks', action='store_false', dest='boxes_as_masks',
        help='derive no labels of pixels from boxes (default: where the manifest has '
        '`boxes_as_masks`)')
    group.add_argument(
        '--workers', type=int, default=BatchOptions.workers, metavar='N',
        help='processes that prepare batches; 0: the training process itself '
        '(default: %(default)s)')
    group.add_argument(
        '--cache-gib', type=float, default=BatchOptions.cache_gib, metavar='GIB',
        help='memory for decoded images in GiB; those that do not fit are decoded again when '
        'needed (default: %(default)s)')


def _add_optimizer(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        '--learning-rate', type=float, default=OptimizerOptions.learning_rate, metavar='RATE',
        help='peak learning rate of AdamW, after the warm-up; a cosine takes it to 1 %% at the '
        'end. 0: 0.001 for 16 images a step, proportional to the square root of their number '
        '(default: %(default)s)')
    group.add_argument(
        '--backbone-rate', type=float, default=OptimizerOptions.backbone_rate, metavar='SHARE',
        help="the backbone's learning rate as a share of the heads' (default: %(default)s)")
    group.add_argument(
        '--weight-decay', type=float, default=OptimizerOptions.weight_decay, metavar='DECAY',
        help='decoupled weight decay of convolutions; batch norm and biases have none '
        '(default: %(default)s)')
    group.add_argument(
        '--warmup-steps', type=int, default=OptimizerOptions.warmup_steps, metavar='N',
        help='steps in which the learning rate rises linearly to its peak (default: %(default)s)')
    group.add_argument(
        '--gradient-norm', type=float, default=OptimizerOptions.gradient_norm, metavar='NORM',
        help="largest norm of a step's gradient; a larger one is scaled down to it "
        '(default: %(default)s)')
    group.add_argument(
        '--ema-decay', type=float, default=OptimizerOptions.ema_decay, metavar='DECAY',
        help='decay per step of the exponential moving average of the weights, which is the '
        'trained model (default: %(default)s)')
    group.add_argument(
        '--freeze', nargs='+', default=OptimizerOptions.freeze, metavar='MODULE',
        help='modules of the network (pyramid.smooth.1) or of its backbone (features.0) that keep '
        'their weights and statistics (default: none)')


def _add_losses(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        '--assignment', choices=ASSIGNMENTS, default=LossOptions.assignment,
        help='which cells are trained on which objects: tal or atss for lean, multibox for '
        'thesis; auto is the first of the architecture (default: %(default)s)')
    group.add_argument(
        '--balance', choices=tuple(LOSS_WEIGHTINGS), dest='weighting',
        default=LossOptions.weighting,
        help="loss weighting: fixed sums the tasks' losses, uncertainty learns their weights, "
        'pcgrad removes conflicting gradients, normalized gives them the same norm in shared '
        'layers (default: %(default)s)')
    group.add_argument(
        '--segmentation-weight', type=float, default=LossOptions.segmentation_weight,
        metavar='WEIGHT',
        help='weight of the segmentation loss; the detection loss has weight 1 '
        '(default: %(default)s)')
    group.add_argument(
        '--box-weight', type=float, default=LossOptions.box_weight, metavar='WEIGHT',
        help='weight of the box loss within the detection loss (default: %(default)s)')
    group.add_argument(
        '--distillation-weight', type=float, default=LossOptions.distillation_weight,
        metavar='WEIGHT',
        help='weight of the losses of teachers as a factor of those of labels; used by '
        '`mtl distill` (default: %(default)s)')


def _by_architecture(name: str) -> str:
    """Return the class attribute `name` of each architecture, for a help text."""
    values = {key: getattr(kind, name) for key, kind in sorted(ARCHITECTURES.items())}
    return ', '.join(f'{key} {value if isinstance(value, str) else "x".join(map(str, value))}'
                     for key, value in values.items())


def config_of(args: argparse.Namespace, teachers: TeacherPaths | None = None) -> TrainConfig:
    """Return the configuration that `args` describe; ConfigError for unsupported values."""
    size = parse_size(args.input_size, '--input-size') if args.input_size is not None else None
    return TrainConfig(
        manifest=args.config, output=args.output, data=args.data, skip_bad=args.skip_bad,
        resume=args.resume, tasks=args.tasks, start=args.start,
        like=pairs(args.like, '--like') if args.like is not None else {}, weights=args.weights,
        network=_options(NetworkOptions, args, input_size=size), device=args.device,
        training=_options(
            TrainingOptions, args, batches=_options(BatchOptions, args),
            optimizer=_options(OptimizerOptions, args, freeze=tuple(args.freeze)),
            losses=_options(LossOptions, args)),
        teachers=teachers or TeacherPaths())


def _options(kind: type[T], args: argparse.Namespace, **others: Any) -> T:
    """Return `kind` with its fields from `args`, except `others`."""
    names = [field.name for field in fields(kind) if field.name not in others]  # type: ignore
    return kind(**{name: getattr(args, name) for name in names}, **others)


def run(args: argparse.Namespace) -> None:
    """Train; raises MtlError for errors that the user can correct."""
    # Not at the top: --help needs neither the engine nor the evaluation.
    from mtl_perception.training.train import train

    print_result(train(config_of(args), print, say, progress=True), args.output)


def print_result(result: TrainResult | None, output: Path) -> None:
    """Print how a run in `output` ended; `result` is None in processes that do not report."""
    if result is None:
        return
    after = {NO_BETTER: '; the score did not improve',
             OUT_OF_TIME: '; the minutes of training are used',
             STOPPED: f'; stopped early, continue with --resume --output {output}'}
    print(f'{result.model}: the model after {result.steps} steps{after.get(result.reason, "")}')
    if result.best_step:
        print(f'{output / BEST_FILE}: the best score, {result.best_score:.3f}, '
              f'after {result.best_step} steps')
