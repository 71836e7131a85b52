"""`mtl build-engine`: build the TensorRT engine of a model before it is needed."""

from __future__ import annotations

import argparse
from pathlib import Path
import re

from mtl_perception.commands.arguments import say
from mtl_perception.deployment.engines import build_engines, EngineConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument('model', type=Path, help='ONNX file of `mtl export`')
    parser.add_argument('-o', '--output', metavar='DIR', type=Path,
                        help='folder to write to; give it as --cache where the model is run '
                             '(default: ~/.cache/mtl_perception)')
    parser.add_argument('--each-task', action='store_true',
                        help='also build the engine of each task alone, which a node runs while '
                             'only one task is subscribed to (default: no)')
    parser.add_argument('--compute-capability', metavar='X.Y', type=_capability, nargs='+',
                        help='GPUs to build for, such as 8.6; TensorRT for RTX builds for any '
                             '(default: the GPU of this machine)')


def run(args: argparse.Namespace) -> None:
    """Build, and print each engine's path; MtlError for an unsuitable model or machine."""
    capabilities = tuple(args.compute_capability) if args.compute_capability else None
    config = EngineConfig(args.model, args.output, args.each_task, capabilities)
    for engine in build_engines(config, say):
        if engine.is_new:
            print(f'{engine.path}: {engine.path.stat().st_size / 1e6:.1f} MB')
        else:
            print(f'{engine.path}: exists already')


def _capability(text: str) -> tuple[int, int]:
    """Return (8, 6) for '8.6'."""
    if not re.fullmatch(r'[0-9]+\.[0-9]', text):
        raise argparse.ArgumentTypeError(f'{text!r} is not a compute capability such as 8.6')
    major, minor = text.split('.')
    return int(major), int(minor)
