"""Options of the commands that run a model."""

from __future__ import annotations

import argparse
from pathlib import Path

from mtl_perception.inference.pipeline import PipelineOptions
from mtl_perception.inference.registry import runtime_names
from mtl_perception.inference.runtime import DEVICES, PRECISIONS, RuntimeOptions


def add_runtime_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that `runtime_options` reads."""
    group = parser.add_argument_group('how the model is run')
    group.add_argument('--runtime', choices=runtime_names(), default='auto',
                       help='inference runtime (default: %(default)s; see `mtl runtimes`)')
    group.add_argument('--device', choices=DEVICES, default='auto',
                       help='device to run on (default: CUDA if available, else the CPU)')
    group.add_argument('--precision', choices=PRECISIONS, default='auto',
                       help="number format (default: the model's, or BF16 if the CPU has it)")
    group.add_argument('--threads', metavar='N', type=int, default=0,
                       help='CPU threads (default: all cores that this process may use)')
    group.add_argument('--cache', metavar='DIR', type=Path,
                       help='folder for files that a runtime compiles for this machine '
                            '(default: ~/.cache/mtl_perception)')


def runtime_options(args: argparse.Namespace) -> RuntimeOptions:
    """Return the values of `add_runtime_arguments`; ConfigError where they are invalid."""
    return RuntimeOptions(args.runtime, args.device, args.precision, args.threads, args.cache)


def add_black_hot_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option `--black-hot`."""
    parser.add_argument('--black-hot', action='store_true',
                        help='make high values of grey images of more than 8 bits (thermal, '
                             'depth) black (default: white)')


def add_tiles_argument(parser: argparse.ArgumentParser, default: str = PipelineOptions.tiles
                       ) -> None:
    """Add the option `--tiles`."""
    parser.add_argument('--tiles', default=default,
                        help='tiles that a large image is cut into: off, auto or ROWSxCOLUMNS '
                             'such as 2x3 (default: %(default)s)')
