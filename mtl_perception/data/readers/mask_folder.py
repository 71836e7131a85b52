"""A folder of masks: one grey PNG of label indices a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mtl_perception.data.manifest import SetSpec
from mtl_perception.data.readers.files import (
    find_image,
    inside,
    read_image,
    read_mask,
    read_stems,
    read_text,
    split_file,
)
from mtl_perception.data.samples import Sample
from mtl_perception.errors import DataError
from mtl_perception.labels import IGNORE_LABEL


class MaskFolderSet:
    """
    Pictures with masks, `<masks>/<stem>.png`: 8-bit label indices, 255 where unlabelled.

    The manifest lists the labels in the order of their indices; where the set has the file
    `classes` (one name a line), the two must agree.
    """

    def __init__(self, spec: SetSpec) -> None:
        assert spec.masks is not None
        self.spec = spec
        self._stems: dict[str, tuple[str, ...]] = {}
        self._names = spec.masks.names
        path = spec.path / spec.options['classes']
        if path.is_file():
            names = tuple(line.strip() for line in read_text(path).rstrip().splitlines())
            if names != self._names:
                raise DataError(f'{path}: lists the labels {", ".join(names)}, but `masks` of '
                                f'{spec.name} in the manifest {", ".join(self._names)}; make the '
                                'manifest agree, in the same order')

    def stems(self, split: str) -> Sequence[str]:
        """Return the stems of the split's pictures."""
        if split not in self._stems:
            self._stems[split] = read_stems(split_file(self.spec, split))
        return self._stems[split]

    def read(self, split: str, index: int) -> Sample:
        """Return the split's picture `index` with its mask; DataError where it is broken."""
        stem = self.stems(split)[index]
        where = str(split_file(self.spec, split))
        image = read_image(find_image(self.spec.path / self.spec.options['images'], stem, where))
        path = inside(self.spec.path / self.spec.options['masks'], f'{stem}.png', where)
        mask = read_mask(path)
        if mask.shape != image.shape[:2]:
            raise DataError(f'{path}: has {mask.shape[1]}x{mask.shape[0]} pixels, but its picture '
                            f'{image.shape[1]}x{image.shape[0]}')
        unknown = (mask >= len(self._names)) & (mask != IGNORE_LABEL)
        if unknown.any():
            y, x = np.argwhere(unknown)[0]
            raise DataError(f'{path}: value {mask[y, x]} at x {x}, y {y} has no class; the labels '
                            f'are 0..{len(self._names) - 1} and {IGNORE_LABEL} (unlabelled)')
        return Sample(f'{self.spec.name}/{stem}', image, None, mask)
