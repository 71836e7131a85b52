"""`mtl runtimes`: what can run a model on this machine, and what `auto` takes."""

from __future__ import annotations

import argparse
from pathlib import Path

from mtl_perception.errors import StartError
from mtl_perception.inference.registry import ENTRIES, load, open_runtime
from mtl_perception.inference.runtime_arguments import add_runtime_arguments, runtime_options
from mtl_perception.resources import model_path

HEADINGS = ('runtime', 'version', 'reads', 'devices', 'precisions', 'missing')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument('model', nargs='?', type=Path,
                        help='model file (default: the one that comes with the package)')
    add_runtime_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Print the table, then start the model; MtlError where that cannot be done."""
    rows = [HEADINGS, *(row(name) for name in ENTRIES)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for cells in rows:
        print('  '.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)
                        ).rstrip())
    model = args.model or model_path()
    lines: list[str] = []
    runtime = open_runtime(model, runtime_options(args), lines.append)
    taken = f'runtime {runtime.name} on {runtime.device}, {runtime.precision}'
    print(f'\n{model}:\n{lines[-1] if args.runtime == "auto" else taken}')


def row(name: str) -> tuple[str, ...]:
    """Return what the table says of the runtime `name`, under `HEADINGS`."""
    suffix = ENTRIES[name].suffix
    try:
        facts = load(name).facts()
    except StartError as error:
        return name, '-', suffix, '-', '-', str(error)
    missing = '. '.join(f'{device}: {error}' for device, error in facts.missing.items())
    return (name, facts.version, suffix, ', '.join(facts.devices) or '-',
            ', '.join(facts.precisions) or '-', missing)
