"""Sets whose splits are lists of stems, and whose pictures lie in one folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mtl_perception.data.manifest import SetSpec
from mtl_perception.data.readers.files import (
    find_image,
    inside,
    read_image,
    read_stems,
    split_file,
)
from mtl_perception.data.samples import BoxTruth, Sample


class ListedSet:
    """What the formats with one annotation file a picture have in common."""

    def __init__(self, spec: SetSpec) -> None:
        self.spec = spec
        self._stems: dict[str, tuple[str, ...]] = {}

    def stems(self, split: str) -> Sequence[str]:
        """Return the stems of the split's pictures."""
        if split not in self._stems:
            self._stems[split] = read_stems(split_file(self.spec, split))
        return self._stems[split]

    def read(self, split: str, index: int) -> Sample:
        """Return the split's picture `index` with its truth; DataError where it is broken."""
        stem = self.stems(split)[index]
        where = str(split_file(self.spec, split))
        image = read_image(find_image(self.spec.path / self.spec.options['images'], stem, where))
        folder, suffix = self._annotations()
        boxes, mask = self._truth(
            inside(self.spec.path / folder, stem + suffix, where), image.shape[1], image.shape[0])
        return Sample(f'{self.spec.name}/{stem}', image, boxes, mask)

    def _annotations(self) -> tuple[str, str]:
        """Return the folder of the annotation files and their suffix."""
        raise NotImplementedError

    def _truth(self, path: Path, width: int,
               height: int) -> tuple[BoxTruth | None, np.ndarray | None]:
        """Return what the annotation file says about its picture of this size."""
        raise NotImplementedError
