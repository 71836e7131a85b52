"""`mtl runtimes`: list the inference runtimes of this machine, and time them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mtl_perception.commands.arguments import say
from mtl_perception.commands.model_arguments import add_runtime_arguments, runtime_options
from mtl_perception.errors import ConfigError, StartError
from mtl_perception.inference.registry import ENTRIES, load, open_runtime
from mtl_perception.inference.timing import startable, time_side_by_side
from mtl_perception.resources import model_path

HEADINGS = ('runtime', 'version', 'reads', 'devices', 'precisions', 'missing')
TIME_HEADINGS = ('runtime', 'device', 'precision', 'median ms', 'p95 ms', 'times as fast')

MAX_RUNS = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument('model', nargs='*', type=Path,
                        help='model files (default: the shipped model)')
    parser.add_argument('--time', nargs='?', type=int, const=50, default=0, metavar='RUNS',
                        help='time each runtime that starts, in alternation, with a batch of one; '
                             'RUNS is the number of runs of each, 50 unless given (default: no '
                             'timing)')
    add_runtime_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Print the tables; MtlError where a model cannot be run."""
    options = runtime_options(args)
    if not 0 <= args.time <= MAX_RUNS:
        raise ConfigError(f'--time {args.time} is not in 1..{MAX_RUNS}')
    models = args.model or [model_path()]
    _print_table([HEADINGS, *(_row(name) for name in ENTRIES)])
    for model in models:
        lines: list[str] = []
        open_runtime(model, options, lines.append)
        print(f'\n{model}: {lines[-1]}', flush=True)
    if args.time:
        runtimes = [found for model in models for found in startable(model, options, say)]
        milliseconds = time_side_by_side(runtimes, args.time) * 1e3
        medians = np.median(milliseconds, axis=1)
        rows = [(found.name, found.device, found.precision, f'{median:.1f}',
                 f'{np.percentile(values, 95):.1f}', f'{medians.max() / median:.2f}')
                for found, median, values in zip(runtimes, medians, milliseconds, strict=True)]
        print()
        _print_table([TIME_HEADINGS, *rows])


def _row(name: str) -> tuple[str, ...]:
    """Return the table's row of the runtime `name`, under `HEADINGS`."""
    suffix = ENTRIES[name].suffix
    try:
        facts = load(name).facts()
    except StartError as error:
        return name, '-', suffix, '-', '-', str(error)
    missing = '. '.join(f'{device}: {error}' for device, error in facts.missing.items())
    return (name, facts.version, suffix, ', '.join(facts.devices) or '-',
            ', '.join(facts.precisions) or '-', missing)


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of text in columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for cells in rows:
        print('  '.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)
                        ).rstrip())
