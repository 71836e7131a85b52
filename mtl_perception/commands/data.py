"""`mtl data`: check the data sets of a manifest before training on them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
import sys

from tqdm import tqdm

from mtl_perception.commands.arguments import add_data_argument, names
from mtl_perception.data.check import check
from mtl_perception.data.manifest import load_manifest
from mtl_perception.data.readers import DataSet
from mtl_perception.errors import ConfigError, DataError
from mtl_perception.files import make_folder, write_text
from mtl_perception.image_size import parse_size

PAGE, NUMBERS = 'check.html', 'check.json'
"""Files in the output folder."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    actions = parser.add_subparsers(dest='action', required=True)
    text = 'count what the sets hold, report everything that is broken, show samples'
    checking = actions.add_parser('check', help=text, description=text)
    checking.add_argument('manifest', type=Path, help='manifest of the data sets (YAML)')
    add_data_argument(checking)
    checking.add_argument('--output', type=Path, metavar='DIR',
                          help=f'folder for {PAGE} and {NUMBERS}; made if missing (default: none '
                          'is written)')
    checking.add_argument('--split', nargs='+', metavar='NAME',
                          help='splits to check (default: all)')
    checking.add_argument('--sets', metavar='A,B', help='data sets to check (default: all)')
    checking.add_argument('--input-size', default='640x640', metavar='WxH',
                          help="size of the network's input in pixels, for the sizes of boxes in "
                          'it (default: %(default)s)')
    checking.add_argument('--samples', type=int, default=4, metavar='N',
                          help='images of each split that the page shows (default: %(default)s)')
    checking.add_argument('--skip-bad', action='store_true',
                          help='count broken images and annotations, and exit with 0 (default: '
                          'exit with 1)')


def run(args: argparse.Namespace) -> None:
    """Check the sets; DataError with the number of broken entries, unless they are skipped."""
    size = parse_size(args.input_size, '--input-size')
    if 0 in size:
        raise ConfigError(f'--input-size {args.input_size} has no pixels')
    if not 0 <= args.samples <= 100:
        raise ConfigError(f'--samples {args.samples} is not in 0..100')
    manifest = load_manifest(args.manifest, args.data)
    if args.output:
        # Imported before hours are spent: what the page needs may not be installed.
        from mtl_perception.data.check_page import render_page
        make_folder(args.output)
    with tqdm(unit='split', disable=None) as bar:
        def progress(data_set: DataSet, split: str) -> None:
            bar.set_description(f'{data_set.spec.name} {split}')
            bar.update()
        report = check(manifest, args.split, names(args.sets), size,
                       args.samples if args.output else 0, progress)
    print(report.table())
    for reason in report.reasons:
        print(f'broken: {reason}', file=sys.stderr)
    if args.output:
        write_text(args.output / PAGE, render_page(report))
        write_text(args.output / NUMBERS, json.dumps(report.to_dict(), indent=2) + '\n')
        print(f'{args.output / PAGE}: samples and tables')
    count = len(report.reasons)
    if count and not args.skip_bad:
        raise DataError(f'{args.manifest}: {count} broken in its data sets, each in a line above; '
                        'correct them, or skip them with --skip-bad')
    if count:
        print(f'{count} broken, skipped')
