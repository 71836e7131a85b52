"""Pascal VOC: one XML file of boxes for each image, and palette masks of some images."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from mtl_perception.data.readers.boxes import BoxList
from mtl_perception.data.readers.index_masks import read_index_mask
from mtl_perception.data.readers.listed import Entry, ListedOptions, ListedSet
from mtl_perception.data.readers.numbers import real_number
from mtl_perception.data.readers.registry import register_reader
from mtl_perception.data.readers.xml import Element, read_xml
from mtl_perception.data.samples import BoxTruth
from mtl_perception.data.set_spec import SetSpec
from mtl_perception.errors import DataError
from mtl_perception.files import MAX_TEXT_BYTES
from mtl_perception.rotated_boxes import Corners, upright_hull

_TRUE = ('1', '1.0', 'true')


class VocOptions(ListedOptions):
    """Options of the reader `voc`."""

    annotations: str = 'annotations'
    masks: str = 'masks'
    one_based: bool = False
    """Whether coordinates are the first and last pixel, counted from 1."""


@register_reader('voc', VocOptions, boxes=True, masks=True)
class VocSet(ListedSet):
    """
    Images with Pascal VOC annotations, `<annotations>/<stem>.xml` and `<masks>/<stem>.png`.

    Coordinates are edges of the box in pixels from 0, x1 = width at the right edge of the image;
    with the option `one_based` they are the first and last pixel counted from 1, as in the
    original VOC sets. An object may have a `robndbox` instead (roLabelImg: centre, size and angle
    in radians) or the attribute `rotation` (CVAT, in degrees); then the upright hull is taken. An
    object marked `difficult` becomes an ignore region. Masks are palette or grey PNGs of label
    indices, 255 where void. Only what the set has in the manifest (`boxes`, `masks`) is read.
    """

    def __init__(self, spec: SetSpec) -> None:
        super().__init__(spec)
        self._options = VocOptions.of(spec)

    def _truth(self, entry: Entry, width: int,
               height: int) -> tuple[BoxTruth | None, np.ndarray | None]:
        boxes = mask = None
        if self.spec.boxes is not None:
            boxes = self._boxes(entry.beside(self._options.annotations, '.xml'), width, height)
        if self.spec.masks is not None:
            mask = read_index_mask(entry.beside(self._options.masks, '.png'),
                                   len(self.spec.masks.names), width, height)
        return boxes, mask

    def _boxes(self, path: Path, width: int, height: int) -> BoxTruth:
        assert self.spec.boxes is not None
        root = read_xml(path, 'annotation', MAX_TEXT_BYTES)
        for size in root.all('size'):
            # Some tools write 0 for a size they do not know.
            given = tuple(round(size.number(key)) for key in ('width', 'height'))
            if any(given) and given != (width, height):
                raise DataError(f'{size.where}: annotates an image of {given[0]}x{given[1]} '
                                f'pixels, but it has {width}x{height}')
        boxes = BoxList(self.spec.boxes, width, height)
        for item in root.all('object'):
            marked = any(mark.text.lower() in _TRUE for mark in item.all('difficult'))
            corners, rotated = _corners(item, 1.0 if self._options.one_based else 0.0)
            boxes.add(item.only('name').text, corners, item.where, rotated=rotated,
                      ignore='difficult' if marked else '')
        return boxes.truth()


def _corners(item: Element, shift: float) -> tuple[Corners, bool]:
    """Return the upright box of an `object`, and whether it was rotated."""
    turned = item.all('robndbox')
    if len(turned) == 1 and not item.all('bndbox'):
        x, y, width, height, angle = (
            turned[0].number(key) for key in ('cx', 'cy', 'w', 'h', 'angle'))
        return upright_hull(x, y, width, height, angle), angle != 0
    bounds = item.only('bndbox')
    x0, y0, x1, y1 = (bounds.number(key) for key in ('xmin', 'ymin', 'xmax', 'ymax'))
    x0, y0 = x0 - shift, y0 - shift
    degrees = _rotation(item)
    if not degrees:
        return (x0, y0, x1, y1), False
    return upright_hull((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0,
                        math.radians(degrees)), True


def _rotation(item: Element) -> float:
    """Return the attribute `rotation` of an `object`, in degrees, that CVAT writes; mostly 0."""
    for attributes in item.all('attributes'):
        for attribute in attributes.all('attribute'):
            texts = {child.tag: child.text for child in attribute.children}
            if texts.get('name') == 'rotation':
                try:
                    return real_number(texts.get('value'))
                except ValueError:  # an annotator's own attribute of this name
                    return 0.0
    return 0.0
