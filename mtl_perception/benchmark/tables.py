"""The results of a benchmark as text for a terminal, 100 columns wide."""

from __future__ import annotations

from collections.abc import Sequence
import textwrap
from typing import Any

from mtl_perception.benchmark.subjects import (
    DETECTION,
    MULTITASK,
    PARALLEL,
    SEGMENTATION,
    SEQUENTIAL,
)

_COLUMNS = {MULTITASK: 'multitask', SEQUENTIAL: 'two in turn', PARALLEL: 'two at once',
            DETECTION: 'detection', SEGMENTATION: 'segmentation'}
"""Kind of subject -> heading: the multitask model, and the two single-task ones."""

UNKNOWN = '-'

WIDTH = 100
"""Width of the text in characters."""


def tables(values: dict[str, Any]) -> str:
    """Return all tables for the available values of a JSON file."""
    by_target: dict[str, dict[str, Any]] = {}
    peers = []
    for subject in values['subjects']:
        if subject['what'] in _COLUMNS:
            by_target.setdefault(subject['target'], {})[subject['what']] = subject
        else:
            peers.append(subject)
    parts = []
    if by_target:
        parts += [_times(by_target), _ratios(by_target, values), _files(by_target)]
    if values.get('across_runtimes'):
        parts.append(_across(values['across_runtimes']))
    if values.get('parts'):
        parts.append(_parts(values['parts']))
    if peers:
        parts.append(_peers(peers))
    limits = (values.get('memory_limit') or {}).get('runtimes')
    if limits:
        parts.append(_limits(limits, values['memory_limit']['kind']))
    if values.get('sweep'):
        parts.append(_sweep(values['sweep']))
    if values['left_out']:
        parts.append('\n'.join(_wrapped(f'not measured: {line}') for line in values['left_out']))
    if values['warnings']:
        parts.append('\n'.join(_wrapped(f'warning: {line}') for line in values['warnings']))
    return '\n\n'.join(parts)


def _wrapped(line: str) -> str:
    return textwrap.fill(line, WIDTH, subsequent_indent='  ', break_long_words=False,
                         break_on_hyphens=False)


def _times(by_target: dict[str, dict[str, Any]]) -> str:
    rows = [['ms: median (p95)', *_COLUMNS.values()]]
    rows += [[target, *(_time(found.get(what)) for what in _COLUMNS)]
             for target, found in by_target.items()]
    return columns(rows)


def _ratios(by_target: dict[str, dict[str, Any]], values: dict[str, Any]) -> str:
    rows = [['two to one', 'time, in turn', 'time, at once', 'weights', 'peak MB',
             'ours to bare']]
    for target in by_target:
        found = values['ratios_by_runtime'].get(target, {})
        rows.append([target, *(interval(found.get(name)) for name in (
            'single_sequential_over_multitask', 'single_parallel_over_multitask',
            'weights_memory', 'peak_memory')), interval(values['bare_loop'].get(target))])
    return columns(rows)


def _files(by_target: dict[str, dict[str, Any]]) -> str:
    rows = [['memory and size', 'peak MB', 'weights MB', 'start s', 'file MB', 'parameters',
             'GMAC']]
    for target, found in by_target.items():
        for what in _COLUMNS:
            if what not in found:
                continue
            subject = found[what]
            networks = subject['networks']
            rows.append([
                f'{target}: {_COLUMNS[what]}', _scaled(subject['peak_bytes'], 1e6, '.0f'),
                _scaled(subject['weights_bytes'], 1e6, '.1f'), f'{subject["start_seconds"]:.1f}',
                _scaled(_sum(networks, 'file_bytes'), 1e6, '.1f'),
                _scaled(_sum(networks, 'parameters'), 1, ',.0f'),
                _scaled(_sum(networks, 'gmac'), 1, '.2f')])
    return columns(rows)


def _across(found: dict[str, Any]) -> str:
    rows = [['multitask, interleaved', 'ms: median (p95)', 'ratio to the fastest']]
    rows += [[name, _time(item), interval(item['over_fastest'])] for name, item in found.items()]
    return columns(rows)


def _peers(peers: Sequence[dict[str, Any]]) -> str:
    rows = [['public pairs', 'ms: median (p95)', 'ratio to multitask', 'peak MB', 'GMAC']]
    pairs: dict[str, str] = {}
    for item in peers:
        networks, _, where = item['name'].partition(', ')
        pair = pairs.setdefault(networks, item['what'].removeprefix('peers '))
        rows.append([f'{pair}, {where}', _time(item), interval(item.get('over_multitask')),
                     _scaled(item['peak_bytes'], 1e6, '.0f'),
                     _scaled(_sum(item['networks'], 'gmac'), 1, '.2f')])
    return '\n'.join((columns(rows), *(f'{pair}: {names}' for names, pair in pairs.items())))


def _parts(found: Sequence[dict[str, Any]]) -> str:
    targets: dict[str, dict[str, float]] = {}
    for item in found:
        targets.setdefault(item['target'], {})[item['part']] = item['milliseconds']
    rows = [['ms of the network, as profiled', *targets]]
    rows += [[part, *(_scaled(times.get(part), 1, '.2f') for times in targets.values())]
             for part in dict.fromkeys(item['part'] for item in found)]
    return columns([*rows, ['together', *(
        f'{sum(times.values()):.2f}' for times in targets.values())]])


def _limits(found: dict[str, Any], kind: str) -> str:
    rows = [[f'least MiB ({kind})', 'multitask', 'two in a process', 'two processes',
             'one runs, two do not']]
    for name, item in found.items():
        shown = item.get('shown') or {}
        proven = shown.get('multitask') and not shown.get('single')
        rows.append([name, *(_scaled(item.get(key), 1, '.0f') for key in (
            'multitask_mib', 'one_process_mib', 'two_processes_mib')),
            f'at {shown["limit_mib"]}' if proven else UNKNOWN])
    return columns(rows)


def _sweep(found: Sequence[dict[str, Any]]) -> str:
    rows = [['multitask by', 'value', 'runtime', 'ms: median (p95)', 'peak MB', 'GMAC']]
    rows += [[item['axis'], str(item['value']), f'{item["runtime"]} {item["precision"]}',
              _time(item), _scaled(item['peak_bytes'], 1e6, '.0f'),
              _scaled(item['gmac'], 1, '.2f')] for item in found]
    return columns(rows)


def _time(subject: dict[str, Any] | None) -> str:
    if subject is None:
        return UNKNOWN
    found = subject['milliseconds']
    return f'{found["median"]:.1f} ({found["p95"]:.1f})'


def interval(found: dict[str, float] | None) -> str:
    """Return a ratio and its interval, or the ratio alone if it is exact."""
    if not found:
        return UNKNOWN
    if found['low'] == found['high']:
        return f'{found["median"]:.2f}'
    return f'{found["median"]:.2f} ({found["low"]:.2f}..{found["high"]:.2f})'


def _sum(networks: Sequence[dict[str, Any]], key: str) -> float | None:
    values = [network[key] for network in networks]
    return None if not values or None in values else sum(values)


def _scaled(value: float | None, unit: float, form: str) -> str:
    return UNKNOWN if value is None else format(value / unit, form)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of text in columns: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return '\n'.join('  '.join(
        cell.ljust(width) if index == 0 else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip()
        for row in rows)
