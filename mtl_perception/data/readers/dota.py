"""DOTA: one text file of oriented boxes for each image, reduced to upright ones."""

from __future__ import annotations

from mtl_perception.data.readers.boxes import BoxList
from mtl_perception.data.readers.listed import Entry, ListedOptions, ListedSet
from mtl_perception.data.readers.registry import register_reader
from mtl_perception.data.samples import BoxTruth
from mtl_perception.errors import DataError
from mtl_perception.files import read_text

_HEADERS = ('imagesource:', 'gsd:')


class DotaOptions(ListedOptions):
    """Options of the reader `dota`."""

    labels: str = 'labelTxt'


@register_reader('dota', DotaOptions, boxes=True, default_splits={'train': 'train', 'val': 'val'})
class DotaSet(ListedSet):
    """
    Images with oriented boxes in the text format of DOTA, `<labels>/<stem>.txt`.

    A line is the four corners (x and y in pixels), the class, and whether it is difficult (0, 1
    or, in later versions, 2); difficult ones become ignore regions. The upright box around the
    corners is taken, cut at the image's edge, over which oriented boxes of cut images reach.
    Source: G.-S. Xia and others, DOTA, CVPR 2018.
    """

    def _truth(self, entry: Entry, width: int, height: int) -> tuple[BoxTruth, None]:
        assert self.spec.boxes is not None
        boxes = BoxList(self.spec.boxes, width, height)
        path = entry.beside(DotaOptions.of(self.spec).labels, '.txt')
        for number, line in enumerate(read_text(path).splitlines(), 1):
            text = line.strip()
            if not text or text.lower().startswith(_HEADERS):
                continue
            where = f'{path}: line {number}'
            words = text.split()
            try:
                corners = [float(word) for word in words[:8]]
                difficult = float(words[9]) if len(words) > 9 else 0
            except ValueError:
                corners = []
            if len(corners) != 8 or not 9 <= len(words) <= 10:
                raise DataError(f'{where}: {text!r:.60} is not x1 y1 x2 y2 x3 y3 x4 y4 class '
                                'difficult')
            box = (min(corners[0::2]), min(corners[1::2]), max(corners[0::2]), max(corners[1::2]))
            rotated = len(set(corners[0::2])) > 2 or len(set(corners[1::2])) > 2
            boxes.add(words[8], box, where, ignore='difficult' if difficult > 0 else '',
                      rotated=rotated, clip=True)
        return boxes.truth(), None
