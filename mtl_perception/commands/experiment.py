"""`mtl experiment`: train and compare the networks of an experiment."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        'config', type=Path, help='experiment (YAML), such as config/experiment.yaml; required')
    parser.add_argument(
        '--output', required=True, type=Path,
        help='folder of the runs and evaluations; completed ones in it are reused; required')
    parser.add_argument(
        '--data', type=Path,
        help='folder of the data sets (default: $MTL_DATA, else `root` of the manifest)')


def run(args: argparse.Namespace) -> None:
    """Run the experiment; raises MtlError for errors that the user can correct."""
    from mtl_perception.training.experiment import ExperimentConfig, run_experiment

    # Flushed, so that it stands before the output of the process that is started next.
    result = run_experiment(
        ExperimentConfig(args.config, args.output, args.data), partial(print, flush=True))
    print(f'\n{result.table}\n{result.path}')
