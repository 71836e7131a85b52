"""`mtl calibrate`: shift the scores of a model so that one threshold fits all of its classes."""

from __future__ import annotations

import argparse
from pathlib import Path

from mtl_perception.deployment.calibrate import calibrate, CalibrateConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument('checkpoint', type=Path, help='checkpoint (.pt) of `mtl train`')
    parser.add_argument('--metrics', type=Path, required=True, metavar='JSON',
                        help='metrics.json that `mtl evaluate --output` wrote for this model')
    parser.add_argument('-o', '--output', type=Path, required=True, metavar='FILE',
                        help='checkpoint to write')
    parser.add_argument('--threshold', type=float, default=CalibrateConfig.threshold, metavar='T',
                        help='score at which each class is to have its best F1, 0..1 '
                        '(default: %(default)s)')


def run(args: argparse.Namespace) -> None:
    """Calibrate, and print what was shifted; MtlError for an invalid file or option."""
    config = CalibrateConfig(args.checkpoint, args.metrics, args.output, args.threshold)
    for item in calibrate(config):
        print(f'{item.name}: ' + (
            f'best F1 at {item.best:.3f} of {item.objects} objects, now at {config.threshold:g}'
            if item.best is not None else f'not shifted: {item.objects} objects'))
    print(config.output)
