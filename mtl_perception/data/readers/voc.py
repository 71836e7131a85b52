"""Pascal VOC: one XML file of boxes a picture, and palette masks of some pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mtl_perception.data.readers.boxes import BoxList
from mtl_perception.data.readers.files import MAX_TEXT_BYTES
from mtl_perception.data.readers.index_masks import read_index_mask
from mtl_perception.data.readers.listed import Entry, ListedSet
from mtl_perception.data.readers.xml import read_xml
from mtl_perception.data.samples import BoxTruth
from mtl_perception.errors import DataError


class VocSet(ListedSet):
    """
    Pictures with Pascal VOC annotations, `<annotations>/<stem>.xml` and `<masks>/<stem>.png`.

    Coordinates are edges of the box in pixels from 0, x1 = width at the right edge of the picture;
    with the option `one_based` they are the first and last pixel counted from 1, as in the
    original VOC sets. An object marked `difficult` becomes an ignore region. Masks are palette or
    grey PNGs of label indices, 255 where void. Only what the set has in the manifest (`boxes`,
    `masks`) is read.
    """

    def _truth(self, entry: Entry, width: int,
               height: int) -> tuple[BoxTruth | None, np.ndarray | None]:
        boxes = mask = None
        if self.spec.boxes is not None:
            boxes = self._boxes(
                entry.beside(self.spec.options['annotations'], '.xml'), width, height)
        if self.spec.masks is not None:
            mask = read_index_mask(entry.beside(self.spec.options['masks'], '.png'),
                                   len(self.spec.masks.names), width, height)
        return boxes, mask

    def _boxes(self, path: Path, width: int, height: int) -> BoxTruth:
        assert self.spec.boxes is not None
        root = read_xml(path, 'annotation', MAX_TEXT_BYTES)
        for size in root.all('size'):
            # Some tools write 0 for a size they do not know.
            given = tuple(round(size.number(key, path)) for key in ('width', 'height'))
            if any(given) and given != (width, height):
                raise DataError(f'{path}: line {size.line}: annotates a picture of '
                                f'{given[0]}x{given[1]} pixels, but it has {width}x{height}')
        boxes = BoxList(self.spec.boxes, width, height)
        shift = 1.0 if self.spec.options['one_based'] else 0.0
        for item in root.all('object'):
            bounds = item.only('bndbox', path)
            x0, y0, x1, y1 = (bounds.number(key, path) for key in ('xmin', 'ymin', 'xmax', 'ymax'))
            boxes.add(item.only('name', path).text.strip(), (x0 - shift, y0 - shift, x1, y1),
                      f'{path}: line {item.line}',
                      ignore=any(d.text.strip() == '1' for d in item.all('difficult')))
        return boxes.truth()
