"""`mtl data`: look at the data sets of a manifest before training on them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
import sys

from tqdm import tqdm

from mtl_perception.data.check import check
from mtl_perception.data.manifest import load_manifest
from mtl_perception.data.readers import DataSet
from mtl_perception.errors import ConfigError, DataError
from mtl_perception.image_size import parse_size

PAGE, NUMBERS = 'check.html', 'check.json'
"""Files in the output folder."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    actions = parser.add_subparsers(dest='action', required=True)
    text = 'count what the sets hold, find everything that is broken, show samples'
    checking = actions.add_parser('check', help=text, description=text)
    checking.add_argument('manifest', type=Path, help='manifest of the data sets (YAML)')
    checking.add_argument('--data', type=Path, metavar='DIR', help='folder of the data sets '
                          '(default: $MTL_DATA, else `root` of the manifest)')
    checking.add_argument('--output', type=Path, metavar='DIR',
                          help=f'folder for {PAGE} and {NUMBERS}')
    checking.add_argument('--split', nargs='+', metavar='NAME', help='only these (default: all)')
    checking.add_argument('--sets', metavar='A,B', help='only these data sets (default: all)')
    checking.add_argument('--input-size', default='640x640', metavar='WxH',
                          help="the network's input, for box sizes in it (%(default)s)")
    checking.add_argument('--samples', type=int, default=4, metavar='N',
                          help='pictures of each split on the page (%(default)s)')
    checking.add_argument('--skip-bad', action='store_true',
                          help='broken pictures and annotations are no failure, only counted')


def run(args: argparse.Namespace) -> None:
    """Check the sets; DataError says how many things are broken, unless they are to be skipped."""
    size = parse_size(args.input_size, '--input-size')
    if 0 in size:
        raise ConfigError(f'--input-size {args.input_size} has no pixels')
    if not 0 <= args.samples <= 100:
        raise ConfigError(f'--samples {args.samples} is not in 0..100')
    manifest = load_manifest(args.manifest, args.data)
    sets = [name.strip() for name in args.sets.split(',')] if args.sets else None
    if args.output:
        try:
            args.output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f'{args.output}: cannot be made: {error.strerror}') from None
    with tqdm(unit='split', disable=None) as bar:
        def progress(data_set: DataSet, split: str) -> None:
            bar.set_description(f'{data_set.spec.name} {split}')
            bar.update()
        report = check(manifest, args.split, sets, size,
                       args.samples if args.output else 0, progress)
    print(report.table())
    for reason in report.reasons:
        print(f'broken: {reason}', file=sys.stderr)
    if args.output:
        from mtl_perception.data.check_page import render_page
        _write(args.output / PAGE, render_page(report))
        _write(args.output / NUMBERS, json.dumps(report.to_dict(), indent=2) + '\n')
        print(f'{args.output / PAGE}: samples and tables')
    count = len(report.reasons)
    if count and not args.skip_bad:
        raise DataError(f'{args.manifest}: {count} broken in its data sets, each in a line above; '
                        'correct them, or leave them out with --skip-bad')
    if count:
        print(f'{count} broken, left out')


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, 'utf-8')
    except OSError as error:
        raise DataError(f'{path}: cannot be written: {error.strerror}') from None
