"""
Options that several commands share.

Imports no third-party package: a command whose packages are missing reports the extra of its own.
"""

from __future__ import annotations

import argparse
from pathlib import Path
import sys

from mtl_perception.errors import ConfigError


def add_data_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option `--data`."""
    parser.add_argument('--data', metavar='DIR', type=Path,
                        help='folder of the data sets (default: $MTL_DATA, else `root` of the '
                             'manifest)')


def names(text: str | None) -> list[str] | None:
    """Return the names in a comma-separated list; None where the option is not given."""
    return [name.strip() for name in text.split(',')] if text else None


def pairs(text: str, option: str) -> dict[str, str]:
    """Return NAME=VALUE,... as a dictionary; ConfigError names the `option` for other text."""
    parts = [part.split('=') for part in text.split(',')]
    found = {part[0].strip(): part[-1].strip() for part in parts}
    if any(len(part) != 2 for part in parts) or not all((*found, *found.values())) \
            or len(found) < len(parts):
        raise ConfigError(f'{option} {text!r} is not NAME=VALUE,NAME=VALUE with different names')
    return found


def say(line: str) -> None:
    """Print a line on stderr, beside the command's output."""
    print(f'mtl: {line}', file=sys.stderr, flush=True)
