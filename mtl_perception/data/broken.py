"""Broken pictures and annotations: all of them found, and left out where that is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mtl_perception.data.readers import DataSet
from mtl_perception.data.samples import Sample
from mtl_perception.errors import DataError


@dataclass(frozen=True)
class Broken:
    """Something that cannot be used."""

    set_name: str
    split: str
    stem: str
    """The entry; empty where the whole split cannot be read."""
    reason: str
    """One line: file, where possible the line in it, and what is wrong."""


def read_good(data_set: DataSet, split: str,
              report: Callable[[Broken], None]) -> Iterator[tuple[int, Sample]]:
    """
    Yield index and sample of what can be read, and `report` what cannot.

    Raises ConfigError where the set has no such split.
    """
    try:
        stems = data_set.stems(split)
    except DataError as error:
        report(Broken(data_set.spec.name, split, '', _line(error)))
        return
    for index, stem in enumerate(stems):
        try:
            sample = data_set.read(split, index)
        except DataError as error:
            report(Broken(data_set.spec.name, split, stem, _line(error)))
        else:
            yield index, sample


class WithoutBroken:
    """
    A data set without what cannot be read.

    A split is read through when it is first asked for; what is broken is reported then, and not
    seen again.
    """

    def __init__(self, data_set: DataSet, report: Callable[[Broken], None]) -> None:
        self.spec = data_set.spec
        self._set = data_set
        self._report = report
        self._splits: dict[str, tuple[list[int], list[str]]] = {}

    def stems(self, split: str) -> Sequence[str]:
        """Return the names of the split's good entries."""
        return self._good(split)[1]

    def read(self, split: str, index: int) -> Sample:
        """Return the good entry `index` of the split."""
        return self._set.read(split, self._good(split)[0][index])

    def _good(self, split: str) -> tuple[list[int], list[str]]:
        if split not in self._splits:
            indices = [index for index, _ in read_good(self._set, split, self._report)]
            stems = self._set.stems(split) if indices else []
            self._splits[split] = indices, [stems[index] for index in indices]
        return self._splits[split]


def _line(error: DataError) -> str:
    return ' '.join(str(error).split())
