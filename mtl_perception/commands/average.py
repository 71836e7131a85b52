"""`mtl average`: the mean of the weights of models with a common start."""

from __future__ import annotations

import argparse
from pathlib import Path

from mtl_perception.commands.arguments import names
from mtl_perception.deployment.average import average, AverageConfig
from mtl_perception.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument('checkpoints', type=Path, nargs='+', metavar='checkpoint',
                        help='checkpoints (.pt) of `mtl train`, of which one was trained from '
                        'the other, or all from the same')
    parser.add_argument('--shares', metavar='A,B,...',
                        help='share of each checkpoint, such as 0.25,0.75 (default: equal ones)')
    parser.add_argument('-o', '--output', type=Path, required=True, metavar='FILE',
                        help='checkpoint to write')


def run(args: argparse.Namespace) -> None:
    """Average, and print the shares; MtlError for an invalid file or option."""
    try:
        shares = tuple(float(share) for share in names(args.shares) or ())
    except ValueError:
        raise ConfigError(f'--shares {args.shares!r} is not A,B,... in numbers') from None
    checkpoints = tuple(args.checkpoints)
    found = average(AverageConfig(checkpoints, args.output, shares))
    for path, share in zip(checkpoints, found, strict=True):
        print(f'{share:.3g} {path}')
    print(args.output)
