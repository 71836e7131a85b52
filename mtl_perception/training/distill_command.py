"""`mtl distill`: train a multitask network that single-task teachers teach besides the labels."""

from __future__ import annotations

import argparse
from pathlib import Path

from mtl_perception.training import train_command
from mtl_perception.training.distillation import TeacherPaths


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments: those of `mtl train`, and the teachers."""
    group = parser.add_argument_group('teachers')
    group.add_argument('--detection-teacher', type=Path, metavar='MODEL',
                       help='checkpoint (.pt) that `mtl train --tasks detection` wrote')
    group.add_argument('--segmentation-teacher', type=Path, metavar='MODEL',
                       help='checkpoint (.pt) that `mtl train --tasks segmentation` wrote')
    train_command.add_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Train as `args` say; raises MtlError for what the user can mend."""
    train_command.train(args, TeacherPaths(args.detection_teacher, args.segmentation_teacher))
