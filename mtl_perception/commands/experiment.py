"""`mtl experiment`: train and compare the networks of an experiment."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from mtl_perception.commands.arguments import add_data_argument


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        'config', metavar='YAML', type=Path,
        help='networks to train and compare, such as config/experiment.yaml')
    parser.add_argument(
        '--output', required=True, metavar='DIR', type=Path,
        help='folder of the runs and evaluations, made if missing; completed ones are reused')
    add_data_argument(parser)
    parser.add_argument(
        '--jobs', type=int, default=1, metavar='N',
        help='train or evaluate N networks at a time, such as on a GPU that one does not use up; '
        'what they print is then in their folders (default: %(default)s)')


def run(args: argparse.Namespace) -> None:
    """Run the experiment; raises MtlError for errors that the user can correct."""
    from mtl_perception.training.experiment import ExperimentConfig, run_experiment

    # Flushed, so that it stands before the output of the process that is started next.
    result = run_experiment(
        ExperimentConfig(args.config, args.output, args.data, args.jobs),
        partial(print, flush=True))
    print(f'\n{result.tables}\n{result.path}')
