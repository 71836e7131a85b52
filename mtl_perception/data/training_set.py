"""The samples that a run trains on: read once, checked, and kept decoded in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import sys

import numpy as np
from tqdm import tqdm

from mtl_perception.data.background import BackgroundSet
from mtl_perception.data.broken import Broken, read_good
from mtl_perception.data.crops import CroppedSet, FileSet
from mtl_perception.data.pasting import Pasting
from mtl_perception.data.readers import DataSet, open_set
from mtl_perception.data.samples import BoxTruth, Sample
from mtl_perception.data.set_spec import Manifest, SetSpec
from mtl_perception.errors import DataError


def open_training_set(spec: SetSpec, manifest: Manifest) -> DataSet:
    """
    Return the set that `spec` of `manifest` describes, cut as its `crops` specify.

    Where its masks tell of which classes there is no object, its samples have ignore regions.
    Raises DataError where the set's files are missing or contradict the manifest.
    """
    data_set = open_set(spec, manifest)
    if spec.crops is not None and isinstance(data_set, FileSet):
        data_set = CroppedSet(data_set, spec.crops)
    return BackgroundSet(data_set) if spec.background else data_set


class TrainingSamples:
    """
    The samples of one split of all sets, addressed by set number and index within the set.

    Every entry is decoded once when this is made, and again only where the cache is full.
    """

    def __init__(self, manifest: Manifest, split: str, cache_bytes: int, *,
                 limit: int = 0, skip: Callable[[Broken], None] | None = None,
                 progress: bool = False) -> None:
        """
        Read the entries of `split`, of each set the first `limit` good ones if that is not 0.

        Decoded samples are kept up to `cache_bytes`. Broken entries are left out and passed to
        `skip`; without it, the first one raises DataError.
        """
        self.manifest = manifest
        self.split = split
        self.sets: list[DataSet] = [
            open_training_set(spec, manifest) for spec in manifest.sets]
        self._indices: list[list[int]] = []
        self._cache: dict[tuple[int, int], Sample] = {}
        self._truths: dict[tuple[int, int], tuple[BoxTruth, int, int]] = {}
        self._pasting: dict[int, Pasting] = {}
        total = sum(min(self._count(data_set, skip is not None), limit or sys.maxsize)
                    for data_set in self.sets)
        with tqdm(total=total, desc='reading', unit='image', disable=not progress) as bar:
            for number, data_set in enumerate(self.sets):
                indices: list[int] = []
                for index, sample in self._read_all(data_set, skip):
                    cache_bytes -= sample.image.nbytes + (
                        sample.mask.nbytes if sample.mask is not None else 0)
                    if cache_bytes >= 0:
                        self._cache[number, index] = sample
                    if data_set.spec.paste and sample.boxes is not None:
                        self._truths[number, index] = _measured(sample)
                    indices.append(index)
                    bar.update()
                    if len(indices) == limit:
                        break
                self._indices.append(indices)

    def _count(self, data_set: DataSet, skip: bool) -> int:
        try:
            return len(data_set.stems(self.split))
        except DataError:
            if not skip:
                raise
            return 0

    def _read_all(self, data_set: DataSet,
                  skip: Callable[[Broken], None] | None) -> Iterator[tuple[int, Sample]]:
        if skip is not None:
            yield from read_good(data_set, self.split, skip)
        else:
            for index in range(len(data_set.stems(self.split))):
                yield index, data_set.read(self.split, index)

    @property
    def indices(self) -> list[list[int]]:
        """Of each set, the indices of its good entries in the split."""
        return self._indices

    def restrict(self, indices: list[list[int]]) -> None:
        """Use the entries `indices` of each set, which another process found to be good."""
        self._indices = indices
        self._pasting.clear()

    @property
    def sizes(self) -> list[int]:
        """Number of samples of each set."""
        return [len(indices) for indices in self._indices]

    def read(self, number: int, index: int) -> Sample:
        """Return sample `index` of set `number`; DataError where it can no longer be read."""
        entry = self._indices[number][index]
        sample = self._cache.get((number, entry))
        return sample if sample is not None else self.sets[number].read(self.split, entry)

    def pasted(self, number: int, index: int, random: np.random.Generator) -> Sample:
        """
        Return sample `index` of set `number` with objects pasted into it, as its `paste` says.

        What is pasted, and where, follows from `random`. Raises DataError as `read` does.
        """
        sample = self.read(number, index)
        if not self.sets[number].spec.paste or sample.boxes is None:
            return sample

        def read(other: int) -> Sample:
            return self.read(number, other)

        if number not in self._pasting:
            self._pasting[number] = Pasting(self.sets[number].spec.paste, [
                self._truths.get((number, entry)) or _measured(read(place))
                for place, entry in enumerate(self._indices[number])])
        return self._pasting[number].paste(sample, index, read, random)


def _measured(sample: Sample) -> tuple[BoxTruth, int, int]:
    """Return the boxes, width and height of a sample of a set with boxes."""
    assert sample.boxes is not None
    height, width = sample.image.shape[:2]
    return sample.boxes, width, height
