"""`mtl experiment`: train and compare the networks of an experiment."""

from __future__ import annotations

import argparse
from pathlib import Path

from mtl_perception.training.experiment import collect, load_experiment, Runner, table

TABLE_FILE = 'experiment.md'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument('config', type=Path, help='experiment (YAML), like config/experiment.yaml')
    parser.add_argument('--output', required=True, type=Path,
                        help='folder of the runs and evaluations; what is done there is not done '
                        'again')
    parser.add_argument('--data', type=Path, help='folder of the data sets (default: $MTL_DATA, '
                        'else as in the manifest)')


def run(args: argparse.Namespace) -> None:
    """Run the experiment; raises MtlError for what the user can mend."""
    runner = Runner(load_experiment(args.config), args.output, args.data)
    runner.train()
    runner.evaluate()
    text = table(list(collect(runner)))
    (args.output / TABLE_FILE).write_text(text, 'utf-8')
    print(f'\n{text}\n{args.output / TABLE_FILE}')
