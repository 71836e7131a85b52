"""The report of a benchmark: a self-contained page without scripts, and a figure."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtl_perception.benchmark import figure
from mtl_perception.files import make_folder, write_bytes, write_text
from mtl_perception.inference.runtime import not_installed

PAGE, FIGURE = 'benchmark.html', 'benchmark.png'

_TEMPLATES = Path(__file__).parent / 'templates'

RATIO_TITLES = {
    'single_sequential_over_multitask': 'Time of two networks in turn, relative to one',
    'single_parallel_over_multitask': 'Time of two networks at once, relative to one',
    'weights_memory': 'Weights in memory of two networks, relative to one',
    'peak_memory': 'Peak memory of two networks in one process, relative to one',
    'peak_memory_parallel': 'Peak memory of two networks in two processes, relative to one',
    'torch_eager_over_best_runtime': 'Time in torch eager, relative to the fastest runtime',
    'peers_over_multitask': 'Time of the public pair, relative to our network',
}


def write_report(result: Mapping[str, Any], folder: Path) -> list[Path]:
    """
    Write page and figure of a benchmark into `folder` and return their paths.

    `result` is the content of the JSON file; parts without values are omitted and listed. Raises
    StartError if jinja2 or matplotlib is missing, DataError if the folder is not writable.
    """
    try:
        page, png = report_page(result), figure.overview_png(result)
    except ModuleNotFoundError as error:
        raise not_installed(error) from None
    paths = [folder / PAGE, folder / FIGURE]
    make_folder(folder)
    write_text(paths[0], page)
    write_bytes(paths[1], png)
    return paths


def report_page(result: Mapping[str, Any]) -> str:
    """
    Return the page as HTML.

    Names of files, classes and machines are untrusted: all text is escaped, and the page's
    security policy forbids scripts and requests.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(ms=_ms, mib=_mib, ratio=_ratio, count=_count)
    return environment.get_template('benchmark.html.j2').render(
        result=result, headline=figure.headline(result), subtitle=figure.subtitle(result),
        footnote=figure.footnote(result), figures=_figures(result), absent=_absent(result),
        ratio_titles=RATIO_TITLES, limits=figure.limit_rows(result),
        machine=list(_flat(result.get('machine') or {}))).lstrip()


def _figures(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return title and data URI of each figure with values."""
    times, memory = figure.time_rows(result), figure.memory_rows(result)
    peers, limits, parts = (
        figure.peer_rows(result), figure.limit_rows(result), figure.part_rows(result))
    panels = (
        ('Time', figure.draw_times, sum(len(items) for _, items in times)),
        ('Memory', figure.draw_memory, sum(len(items) for _, items in memory)),
        ('Memory limit', figure.draw_limits, 3 * len(limits)),
        ('Parts', figure.draw_parts, 2 * len(parts)),
        ('Public pairs', figure.draw_peers, len(peers)))
    found = [(title, figure.panel_svg(draw, result, rows)) for title, draw, rows in panels if rows]
    if result.get('sweep'):
        found.append(('Scaling', figure.sweep_svg(result)))
    return [(title, 'data:image/svg+xml;base64,' + base64.b64encode(text.encode()).decode())
            for title, text in found]


def _absent(result: Mapping[str, Any]) -> list[str]:
    """Return a line for each part that was not measured."""
    checks = (
        ('no time of one network compared with two', figure.time_rows(result)),
        ('no public pairs (--peers)', figure.peer_rows(result)),
        ('no time per part of the network (--parts)', result.get('parts')),
        ('no smallest memory limit (--memory-limit)', figure.limit_rows(result)),
        ('no scaling (--sweep)', result.get('sweep')))
    return [line for line, values in checks if not values]


def _flat(values: Mapping[str, Any], prefix: str = '') -> list[tuple[str, str]]:
    """Return nested facts as lines of name and text."""
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        title = f'{prefix}{name}'.replace('_', ' ')
        if isinstance(value, Mapping):
            rows += _flat(value, f'{title}: ')
        elif isinstance(value, (list, tuple)):
            rows.append((title, ', '.join(map(str, value))))
        elif value is not None:
            rows.append((title, str(value)))
    return rows


def _ms(value: float | None) -> str:
    return '–' if value is None else f'{value:.1f}'


def _mib(value: float | None) -> str:
    return '–' if value is None else f'{value / 2**20:.0f}' if value >= 1e8 else (
        f'{value / 2**20:.1f}')


def _ratio(value: Mapping[str, float] | None) -> str:
    if not value:
        return '–'
    text = f'{value["median"]:.2f}'
    if value['low'] == value['high']:
        return text
    return f'{text} ({value["low"]:.2f} … {value["high"]:.2f})'


def _count(value: float | None) -> str:
    """Return a count in millions."""
    return '–' if value is None else f'{value / 1e6:.2f}'
