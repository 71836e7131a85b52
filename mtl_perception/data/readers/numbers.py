"""Numbers as annotation files have them: in lines of text, and of the wrong type in JSON."""

from __future__ import annotations

from collections.abc import Iterator
import math
from pathlib import Path
from typing import Any

from mtl_perception.errors import DataError
from mtl_perception.files import read_text


def number_lines(path: Path, least: int, meaning: str) -> Iterator[tuple[str, list[float]]]:
    """
    Yield file and line, and its comma separated numbers, of every line that is not empty.

    Raises DataError for a line with less than `least` numbers; `meaning` names them.
    """
    for number, line in enumerate(read_text(path).splitlines(), 1):
        text = line.strip().rstrip(',')
        if not text:
            continue
        where = f'{path}: line {number}'
        try:
            values = [float(value) for value in text.split(',')]
        except ValueError:
            values = []
        if len(values) < least:
            raise DataError(f'{where}: {text!r:.60} is not {meaning}')
        yield where, values


def real_number(value: Any) -> float:
    """
    Return the finite number that `value` of a JSON or text file is, also where it is a text.

    Raises ValueError for anything else, such as a boolean.
    """
    if type(value) not in (int, float, str):
        raise ValueError(value)
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(value) from None
    if not math.isfinite(number):
        raise ValueError(value)
    return number


def whole_number(value: Any) -> int:
    """Return the integer that `value` is, also as 1.0 or '1'; ValueError for anything else."""
    if type(value) is int:
        return value
    number = real_number(value)
    if not number.is_integer():
        raise ValueError(value)
    return int(number)


def truth_value(value: Any) -> bool:
    """Return whether a flag is set: a boolean, 0 or 1, also as a text; ValueError otherwise."""
    if value is None or isinstance(value, bool):
        return bool(value)
    if isinstance(value, str) and value.strip().lower() in ('true', 'false', ''):
        return value.strip().lower() == 'true'
    number = whole_number(value)
    if number not in (0, 1):
        raise ValueError(value)
    return number == 1
