"""A folder of masks: one PNG of label indices or colours a picture."""

from __future__ import annotations

import numpy as np

from mtl_perception.data.manifest import SetSpec
from mtl_perception.data.readers.color_masks import ColorTable
from mtl_perception.data.readers.files import read_text
from mtl_perception.data.readers.index_masks import check_size, read_index_mask
from mtl_perception.data.readers.listed import Entry, ListedSet
from mtl_perception.errors import DataError


class MaskFolderSet(ListedSet):
    """
    Pictures with masks, `<masks>/<stem><mask_ending>`.

    A mask has 8-bit label indices (grey or palette), 255 where unlabelled, or, where the set has
    `colors` in the manifest, the labels' colours. The manifest lists the labels in the order of
    their indices; where the set has the file `classes` (one name a line), the two must agree.
    """

    def __init__(self, spec: SetSpec) -> None:
        super().__init__(spec)
        assert spec.masks is not None
        self._names = spec.masks.names
        self._colors = ColorTable(spec.masks.colors) if spec.masks.colors else None
        path = spec.path / spec.options['classes']
        if self._colors is None and path.is_file():
            names = tuple(line.strip() for line in read_text(path).rstrip().splitlines())
            if names != self._names:
                raise DataError(f'{path}: lists the labels {", ".join(names)}, but `masks` of '
                                f'{spec.name} in the manifest {", ".join(self._names)}; make the '
                                'manifest agree, in the same order')

    def _truth(self, entry: Entry, width: int, height: int) -> tuple[None, np.ndarray]:
        path = entry.beside(self.spec.options['masks'], self.spec.options['mask_ending'])
        if self._colors is None:
            return None, read_index_mask(path, len(self._names), width, height)
        mask = self._colors.read(path)
        check_size(mask, path, width, height)
        return None, mask
