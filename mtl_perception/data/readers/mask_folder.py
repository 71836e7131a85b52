"""A folder of masks: one PNG of label indices or colours for each image."""

from __future__ import annotations

import numpy as np

from mtl_perception.data.readers.color_masks import ColorTable
from mtl_perception.data.readers.index_masks import check_size, read_index_mask
from mtl_perception.data.readers.listed import Entry, ListedOptions, ListedSet
from mtl_perception.data.readers.registry import register_reader
from mtl_perception.data.set_spec import SetSpec
from mtl_perception.errors import DataError
from mtl_perception.files import is_file, read_text


class MaskFolderOptions(ListedOptions):
    """Options of the reader `mask_folder`."""

    masks: str = 'masks'
    classes: str = 'classes.txt'
    """File with the name of a label on each line, compared with the manifest where it exists."""
    image_ending: str = ''
    """What follows the stem in the names of images, before the suffix."""
    mask_ending: str = '.png'
    """What follows the stem in the names of masks."""


@register_reader('mask_folder', MaskFolderOptions, masks=True, colors=True)
class MaskFolderSet(ListedSet):
    """
    Images with masks, `<masks>/<stem><mask_ending>`.

    A mask has 8-bit label indices (grey or palette), 255 where unlabelled, or, where the set has
    `colors` in the manifest, the labels' colours. The manifest lists the labels in the order of
    their indices; where the set has the file `classes` (one name on a line), the two must agree.
    """

    def __init__(self, spec: SetSpec) -> None:
        self._options = MaskFolderOptions.of(spec)
        super().__init__(spec, self._options.image_ending)
        assert spec.masks is not None
        self._names = spec.masks.names
        self._colors = ColorTable(spec.masks.colors) if spec.masks.colors else None
        path = spec.path / self._options.classes
        if self._colors is None and is_file(path):
            names = tuple(line.strip() for line in read_text(path).rstrip().splitlines())
            if names != self._names:
                raise DataError(f'{path}: lists the labels {", ".join(names)}, but `masks` of '
                                f'{spec.name} in the manifest {", ".join(self._names)}; make the '
                                'manifest agree, in the same order')

    def _truth(self, entry: Entry, width: int, height: int) -> tuple[None, np.ndarray]:
        path = entry.beside(self._options.masks, self._options.mask_ending)
        if self._colors is None:
            return None, read_index_mask(path, len(self._names), width, height)
        mask = self._colors.read(path)
        check_size(mask, path, width, height)
        return None, mask
