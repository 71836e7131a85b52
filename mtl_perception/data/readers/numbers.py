"""Lines of numbers, as the text formats have them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

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
