"""Broken images and annotations of a split: found one by one, without ending the reading."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mtl_perception.data.readers import DataSet
from mtl_perception.data.samples import Sample
from mtl_perception.errors import DataError, one_line

MAX_REASON = 2000
"""Most characters of a reason."""


@dataclass(frozen=True)
class Broken:
    """An entry of a split that cannot be used."""

    set_name: str
    split: str
    stem: str
    """The entry; empty where the whole split cannot be read."""
    reason: str
    """One line: file, where possible the line in it, and what is wrong."""


def broken_entry(data_set: DataSet, split: str, index: int, error: DataError) -> Broken:
    """Return the entry `index` of the split as broken for the reason `error`."""
    return Broken(data_set.spec.name, split, data_set.stems(split)[index],
                  one_line(error, MAX_REASON))


def read_good(data_set: DataSet, split: str,
              report: Callable[[Broken], None]) -> Iterator[tuple[int, Sample]]:
    """
    Yield index and sample of every entry that can be read, and `report` the others.

    Raises ConfigError where the set has no such split.
    """
    try:
        stems = data_set.stems(split)
    except DataError as error:
        report(Broken(data_set.spec.name, split, '', one_line(error, MAX_REASON)))
        return
    for index in range(len(stems)):
        try:
            sample = data_set.read(split, index)
        except DataError as error:
            report(broken_entry(data_set, split, index, error))
        else:
            yield index, sample
