"""`mtl distill`: train a network on labels and on the outputs of single-task teachers."""

from __future__ import annotations

import argparse
from pathlib import Path

from mtl_perception.commands import train
from mtl_perception.commands.arguments import say
from mtl_perception.training.config import TeacherPaths


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments: the teachers, and those of `mtl train`."""
    group = parser.add_argument_group('teachers')
    group.add_argument(
        '--detection-teacher', type=Path, metavar='MODEL',
        help='checkpoint (.pt) from `mtl train --tasks detection` (default: none)')
    group.add_argument(
        '--segmentation-teacher', type=Path, metavar='MODEL',
        help='checkpoint (.pt) from `mtl train --tasks segmentation` (default: none)')
    train.add_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Distil; raises MtlError for errors that the user can correct."""
    from mtl_perception.training.train import distill

    config = train.config_of(
        args, TeacherPaths(args.detection_teacher, args.segmentation_teacher))
    train.print_result(distill(config, print, say, progress=True), args.output)
