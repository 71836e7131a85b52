"""VisDrone-DET: one text file of boxes for each image."""

from __future__ import annotations

from mtl_perception.data.readers.boxes import BoxList
from mtl_perception.data.readers.listed import Entry, ListedOptions, ListedSet
from mtl_perception.data.readers.numbers import number_lines
from mtl_perception.data.readers.registry import register_reader
from mtl_perception.data.samples import BoxTruth
from mtl_perception.errors import DataError

CATEGORIES = ('ignored_regions', 'pedestrian', 'people', 'bicycle', 'car', 'van', 'truck',
              'tricycle', 'awning_tricycle', 'bus', 'motor', 'others')
"""Names of the categories, by the number in the files."""


class VisDroneOptions(ListedOptions):
    """Options of the reader `visdrone`."""

    annotations: str = 'annotations'


@register_reader('visdrone', VisDroneOptions, boxes=True, default_splits={
    'train': 'VisDrone2019-DET-train', 'val': 'VisDrone2019-DET-val'})
class VisDroneSet(ListedSet):
    """
    Images with annotations in the text format of VisDrone-DET, `<annotations>/<stem>.txt`.

    A line is left, top, width, height (pixels), score, category (`CATEGORIES`), truncation and
    occlusion. Category 0 is an ignore region, as is a box with the score 0.
    Source: the development kit of VisDrone2018-DET.
    """

    def _truth(self, entry: Entry, width: int, height: int) -> tuple[BoxTruth, None]:
        assert self.spec.boxes is not None
        boxes = BoxList(self.spec.boxes, width, height)
        path = entry.beside(VisDroneOptions.of(self.spec).annotations, '.txt')
        for where, (x, y, w, h, score, category, *_) in number_lines(
                path, 6, 'left, top, width, height, score, category, truncation, occlusion'):
            if category not in range(len(CATEGORIES)):
                raise DataError(f'{where}: category {category:g} is not in '
                                f'0..{len(CATEGORIES) - 1}')
            box = (x, y, x + w, y + h)
            if category == 0 or score == 0:
                boxes.ignore(box, where)
            else:
                boxes.add(CATEGORIES[int(category)], box, where)
        return boxes.truth(), None
