"""YOLO: one text file of boxes for each image, one box on a line."""

from __future__ import annotations

from mtl_perception.data.readers.boxes import BoxList
from mtl_perception.data.readers.listed import Entry, ListedOptions, ListedSet
from mtl_perception.data.readers.numbers import whole_number
from mtl_perception.data.readers.registry import register_reader
from mtl_perception.data.samples import BoxTruth
from mtl_perception.data.set_spec import SetSpec
from mtl_perception.errors import DataError
from mtl_perception.files import read_text


class YoloOptions(ListedOptions):
    """Options of the reader `yolo`."""

    labels: str = 'labels'
    classes: str = 'classes.txt'
    """File with the name of a class on each line, in the order of their indices."""


@register_reader('yolo', YoloOptions, boxes=True)
class YoloSet(ListedSet):
    """
    Images with YOLO annotations, `<labels>/<stem>.txt`.

    A line is a class index into `classes` (one name on a line) and the box's centre x, centre y,
    width and height as fractions of the image's. An image without objects has an empty file;
    a missing one is an error.
    """

    def __init__(self, spec: SetSpec) -> None:
        super().__init__(spec)
        assert spec.boxes is not None
        self._options = YoloOptions.of(spec)
        path = spec.path / self._options.classes
        self._classes = [line.strip() for line in read_text(path).rstrip().splitlines()]
        for number, name in enumerate(self._classes, 1):
            if name not in spec.boxes.mapping:
                raise DataError(f'{path}: line {number}: class {name!r:.60} has no mapping; add '
                                'it to `boxes.classes` of the set in the manifest')

    def _truth(self, entry: Entry, width: int, height: int) -> tuple[BoxTruth, None]:
        assert self.spec.boxes is not None
        path = entry.beside(self._options.labels, '.txt')
        boxes = BoxList(self.spec.boxes, width, height)
        for number, line in enumerate(read_text(path).splitlines(), 1):
            if not line.strip():
                continue
            where = f'{path}: line {number}'
            try:
                name, *numbers = line.split()
                index = whole_number(name)
                x, y, w, h = (float(value) for value in numbers)
            except ValueError:
                raise DataError(f'{where}: {line.strip()!r:.60} is not a class index and the four '
                                'numbers centre x, centre y, width, height') from None
            if not 0 <= index < len(self._classes):
                raise DataError(f'{where}: class index {index} is not in 0..'
                                f'{len(self._classes) - 1} of {self._options.classes}')
            boxes.add(self._classes[index], ((x - w / 2) * width, (y - h / 2) * height,
                                             (x + w / 2) * width, (y + h / 2) * height), where)
        return boxes.truth(), None
