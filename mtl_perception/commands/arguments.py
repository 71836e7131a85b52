"""
Options that several commands share.

Imports nothing but the standard library: a command whose packages are missing reports the extra of
its own.
"""

from __future__ import annotations

import argparse
from pathlib import Path
import sys


def add_data_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option `--data`."""
    parser.add_argument('--data', metavar='DIR', type=Path,
                        help='folder of the data sets (default: $MTL_DATA, else `root` of the '
                             'manifest)')


def names(text: str | None) -> list[str] | None:
    """Return the names in a comma-separated list; None where the option is not given."""
    return [name.strip() for name in text.split(',')] if text else None


def say(line: str) -> None:
    """Print a line on stderr, beside the command's output."""
    print(f'mtl: {line}', file=sys.stderr, flush=True)
