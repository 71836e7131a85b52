"""Source labels that mean the same, read as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mtl_perception.data.data_set import left_out
from mtl_perception.data.samples import Sample


class MergedSet:
    """A data set in whose masks labels of equal meaning have the value of the first of them."""

    def __init__(self, data_set: Any, same_as: dict[int, int]) -> None:
        """Read `data_set`, with each label of `same_as` replaced by the one that it names."""
        self.spec = data_set.spec
        self._set = data_set
        self._values = np.arange(256, dtype=np.uint8)
        for label, first in same_as.items():
            self._values[label] = first

    def stems(self, split: str) -> Sequence[str]:
        """Return the stems of the split's entries."""
        stems: Sequence[str] = self._set.stems(split)
        return stems

    def read(self, split: str, index: int) -> Sample:
        """Return the split's image `index`; DataError where it is broken."""
        sample: Sample = self._set.read(split, index)
        if sample.mask is None:
            return sample
        return replace(sample, mask=self._values[sample.mask])

    def left_out(self, split: str) -> Mapping[str, int]:
        """Return what of the split is in none of its entries."""
        return left_out(self._set, split)

    def image_file(self, split: str, index: int) -> Path:
        """Return the file of the image, in a set whose images are files."""
        path: Path = self._set.image_file(split, index)
        return path
