"""`mtl calibrate`: shift the scores of a model so that one threshold fits all of its classes."""

from __future__ import annotations

import argparse
from pathlib import Path

from mtl_perception.commands.arguments import pairs
from mtl_perception.deployment.calibrate import calibrate, CalibrateConfig
from mtl_perception.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument('checkpoint', type=Path, help='checkpoint (.pt) of `mtl train`')
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument('--metrics', type=Path, metavar='JSON',
                        help='metrics.json that `mtl evaluate --output` wrote for this model')
    source.add_argument('--best', metavar='CLASS=SCORE,...',
                        help='scores with the best F1 of some classes; the others are not shifted')
    parser.add_argument('-o', '--output', type=Path, required=True, metavar='FILE',
                        help='checkpoint to write')
    parser.add_argument('--threshold', type=float, default=CalibrateConfig.threshold, metavar='T',
                        help='score at which each class is to have its best F1, 0..1 '
                        '(default: %(default)s)')


def run(args: argparse.Namespace) -> None:
    """Calibrate, and print what was shifted; MtlError for an invalid file or option."""
    config = CalibrateConfig(
        args.checkpoint, args.metrics, args.output, args.threshold,
        best=_scores(args.best) if args.best is not None else {})
    for item in calibrate(config):
        objects = '' if item.objects is None else f' ({item.objects} objects)'
        print(f'{item.name}: ' + (
            f'best F1 at {item.best:.3f}{objects}, now at {config.threshold:g}'
            if item.best is not None else f'not shifted{objects}'))
    print(config.output)


def _scores(text: str) -> dict[str, float]:
    try:
        return {name: float(value) for name, value in pairs(text, '--best').items()}
    except ValueError:
        raise ConfigError(f'--best {text!r} has a score that is not a number') from None
