import importlib.util
from pathlib import Path

from mtl_perception.benchmark.tables import columns, interval, tables

_SPEC = importlib.util.spec_from_file_location(
    'example_result', Path(__file__).with_name('example_result.py'))
_MODULE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_MODULE)


def values(**changes):
    found = {**_MODULE.example_result(), 'left_out': [], 'across_runtimes': {}, **changes}
    for item in found['sweep'] or ():
        item['milliseconds'].setdefault('p95', 100.0)
    return found


def test_table_has_times_ratios_and_sizes_of_all_targets() -> None:
    text = tables(values())
    assert max(map(len, text.splitlines())) <= 100
    times, ratios, *_ = text.split('\n\n')
    row = next(line.split() for line in times.splitlines() if 'onnxruntime fp32' in line)
    assert row == ['onnxruntime', 'fp32', '63.0', '(75.6)', '98.9', '(118.7)', '104.6', '(125.5)',
                   '56.7', '(68.0)', '41.6', '(49.9)']
    row = next(line.split() for line in ratios.splitlines() if 'onnxruntime fp32' in line)
    assert row == ['onnxruntime', 'fp32', '1.57', '(1.55..1.60)', '1.66', '(1.60..1.70)', '1.70',
                   '1.40', '1.03', '(1.01..1.05)']
    assert 'at 139' in text and 'input_size' in text
    parts = next(table for table in text.split('\n\n') if 'profiled' in table)
    assert ['detection', '21.00'] in [line.split() for line in parts.splitlines()]
    assert parts.splitlines()[-1].split() == ['together', '63.00']


def test_long_warnings_are_wrapped_and_last() -> None:
    text = tables(values(warnings=['word ' * 60], left_out=['torch: missing']))
    assert max(map(len, text.splitlines())) <= 100
    assert 'not measured: torch: missing' in text
    assert text.split('\n\n')[-1].startswith('warning: word')


def test_no_measurement_gives_no_table() -> None:
    assert tables(values(subjects=[], parts=None, memory_limit=None, sweep=None)) == ''


def test_unknown_value_is_a_dash() -> None:
    assert interval(None) == '-'
    assert interval({'median': 1.7, 'low': 1.7, 'high': 1.7}) == '1.70'
    assert columns([['a', 'bb'], ['ccc', 'd']]) == 'a    bb\nccc   d'
