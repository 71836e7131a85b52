"""The options of a command that say how its model is run."""

from __future__ import annotations

import argparse
from pathlib import Path
import sys

from mtl_perception.inference.registry import RUNTIMES
from mtl_perception.inference.runtime import DEVICES, PRECISIONS, RuntimeOptions


def add_runtime_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that `runtime_options` reads."""
    group = parser.add_argument_group('how the model is run')
    group.add_argument('--runtime', choices=RUNTIMES, default='auto',
                       help='what runs it (default: %(default)s; see `mtl runtimes`)')
    group.add_argument('--device', choices=DEVICES, default='auto',
                       help='where it runs (default: CUDA where there is one)')
    group.add_argument('--precision', choices=PRECISIONS, default='auto',
                       help="number format (default: the model's, or BF16 where the CPU has it)")
    group.add_argument('--threads', metavar='N', type=int, default=0,
                       help='CPU threads (default: as many as this process may use)')
    group.add_argument('--cache', metavar='DIR', type=Path,
                       help='folder for what is compiled for this machine '
                            '(default: ~/.cache/mtl_perception)')


def runtime_options(args: argparse.Namespace) -> RuntimeOptions:
    """Return what the options of `add_runtime_arguments` say; ConfigError where impossible."""
    return RuntimeOptions(args.runtime, args.device, args.precision, args.threads, args.cache)


def say(line: str) -> None:
    """Print a line for the user beside the command's output."""
    print(f'mtl: {line}', file=sys.stderr, flush=True)
