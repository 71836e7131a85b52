"""A folder of masks: one grey PNG of label indices a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mtl_perception.data.manifest import SetSpec
from mtl_perception.data.readers.files import read_mask, read_text
from mtl_perception.data.readers.listed import ListedSet
from mtl_perception.errors import DataError
from mtl_perception.labels import IGNORE_LABEL


class MaskFolderSet(ListedSet):
    """
    Pictures with masks, `<masks>/<stem>.png`: 8-bit label indices, 255 where unlabelled.

    The manifest lists the labels in the order of their indices; where the set has the file
    `classes` (one name a line), the two must agree.
    """

    def __init__(self, spec: SetSpec) -> None:
        super().__init__(spec)
        assert spec.masks is not None
        self._names = spec.masks.names
        path = spec.path / spec.options['classes']
        if path.is_file():
            names = tuple(line.strip() for line in read_text(path).rstrip().splitlines())
            if names != self._names:
                raise DataError(f'{path}: lists the labels {", ".join(names)}, but `masks` of '
                                f'{spec.name} in the manifest {", ".join(self._names)}; make the '
                                'manifest agree, in the same order')

    def _annotations(self) -> tuple[str, str]:
        return self.spec.options['masks'], '.png'

    def _truth(self, path: Path, width: int, height: int) -> tuple[None, np.ndarray]:
        mask = read_mask(path)
        if mask.shape != (height, width):
            raise DataError(f'{path}: has {mask.shape[1]}x{mask.shape[0]} pixels, but its picture '
                            f'{width}x{height}')
        unknown = (mask >= len(self._names)) & (mask != IGNORE_LABEL)
        if unknown.any():
            y, x = np.argwhere(unknown)[0]
            raise DataError(f'{path}: value {mask[y, x]} at x {x}, y {y} has no class; the labels '
                            f'are 0..{len(self._names) - 1} and {IGNORE_LABEL} (unlabelled)')
        return None, mask
