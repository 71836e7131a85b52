"""UAVDT: sequences of images, one text file of boxes for each sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
import re

from mtl_perception.data.readers.boxes import BoxList
from mtl_perception.data.readers.lists import inside, Listed, portable, read_list, split_of
from mtl_perception.data.readers.numbers import number_lines
from mtl_perception.data.readers.registry import ReaderOptions, register_reader
from mtl_perception.data.samples import Sample
from mtl_perception.data.set_spec import ListSplit, SetSpec
from mtl_perception.errors import DataError
from mtl_perception.files import is_file, is_folder
from mtl_perception.images.listing import list_images_below
from mtl_perception.images.reading import read_image

CATEGORIES = ('', 'car', 'truck', 'bus')
"""Names of the categories, by the number in the files."""

_ATTRIBUTES = '_attr.txt'
_NUMBER = re.compile(r'(\d+)$')

_Box = tuple[str, tuple[float, float, float, float], str]


@dataclass
class _Frame:
    stem: str
    path: Path = Path()
    boxes: list[_Box] = field(default_factory=list)
    """Class ('' for an ignore region), x0, y0, x1, y1, and where that is written."""
    problem: str = ''


class UavdtOptions(ReaderOptions):
    """Options of the reader `uavdt`."""

    images: str = 'UAV-benchmark-M'
    labels: str = 'UAV-benchmark-MOTD_v1.0/GT'
    every: int = 1
    """Only every n-th frame of a sequence is read."""


@register_reader('uavdt', UavdtOptions, boxes=True,
                 default_splits={'train': 'M_attr/train', 'val': 'M_attr/test'})
class UavdtSet:
    """
    Sequences in the layout of UAVDT (the benchmark for detection and tracking of many objects).

    The frames of a sequence are `<images>/<sequence>/img000001.jpg` and so on, its boxes lie in
    `<labels>/<sequence>_gt_whole.txt` (frame, target, left, top, width, height, out of view,
    occlusion, category of `CATEGORIES`), its ignore regions in `<sequence>_gt_ignore.txt`, which
    may be missing. A split is a folder of `<sequence>_attr.txt`, a file that lists sequences, or a
    list of them. With the option `every`, only every n-th frame is read: neighbours hardly differ.
    Source: D. Du and others, ECCV 2018.
    """

    def __init__(self, spec: SetSpec) -> None:
        self.spec = spec
        self._options = UavdtOptions.of(spec)
        self._splits: dict[str, list[_Frame]] = {}

    def stems(self, split: str) -> Sequence[str]:
        """Return '<sequence>/<image>' of the split's frames."""
        return [frame.stem for frame in self._load(split)]

    def read(self, split: str, index: int) -> Sample:
        """Return the split's frame `index` with its boxes; DataError where it is broken."""
        assert self.spec.boxes is not None
        frame = self._frame(split, index)
        image = read_image(frame.path, stretch=self.spec.stretch)
        boxes = BoxList(self.spec.boxes, image.shape[1], image.shape[0])
        for name, box, where in frame.boxes:
            if name:
                boxes.add(name, box, where)
            else:
                boxes.ignore(box, where)
        return Sample(f'{self.spec.name}/{frame.stem}', image, boxes.truth(), None)

    def image_file(self, split: str, index: int) -> Path:
        """Return the file of the split's frame `index`; DataError where it has none."""
        return self._frame(split, index).path

    def _frame(self, split: str, index: int) -> _Frame:
        frame = self._load(split)[index]
        if frame.problem:
            raise DataError(frame.problem)
        return frame

    def _load(self, split: str) -> list[_Frame]:
        if split not in self._splits:
            frames: list[_Frame] = []
            for item in self._sequences(split):
                try:
                    if item.problem:
                        raise DataError(item.problem)
                    frames += self._read_sequence(item)
                except DataError as error:
                    frames.append(_Frame(item.name, problem=str(error)))
            self._splits[split] = frames
        return self._splits[split]

    def _sequences(self, split: str) -> list[Listed]:
        entry = split_of(self.spec, split)
        source = entry.source if isinstance(entry, ListSplit) else entry
        left_out: set[str] = set()
        if isinstance(entry, ListSplit) and entry.without:
            left_out = {item.name for item in read_list(self.spec.path / entry.without)}
        if not isinstance(source, str):
            found = [Listed(portable(name), f'split {split} of {self.spec.name}')
                     for name in source]
        elif is_folder(self.spec.path / source):
            found = [Listed(path.name.removesuffix(_ATTRIBUTES), str(path))
                     for path in sorted((self.spec.path / source).glob(f'*{_ATTRIBUTES}'))]
            if not found:
                raise DataError(f'{self.spec.path / source}: has no *{_ATTRIBUTES}')
        else:
            found = read_list(self.spec.path / source)
        return [item for item in found if item.name not in left_out]

    def _read_sequence(self, item: Listed) -> list[_Frame]:
        folder = inside(self.spec.path / self._options.images, item.name, item.where)
        frames: dict[int, _Frame] = {}
        for path in list_images_below(folder):
            match = _NUMBER.search(path.stem)
            if match:
                frame = _Frame(f'{item.name}/{path.stem}', path)
                other = frames.setdefault(int(match[1]), frame)
                if other is not frame:
                    other.problem = (f'{path}: has the frame number of {other.path.name}; '
                                     'remove one')
        labels = self.spec.path / self._options.labels
        self._add(frames, inside(labels, f'{item.name}_gt_whole.txt', item.where), True)
        ignored = inside(labels, f'{item.name}_gt_ignore.txt', item.where)
        if is_file(ignored):
            self._add(frames, ignored, False)
        return [frames[number] for number in sorted(frames)][::max(1, self._options.every)]

    def _add(self, frames: dict[int, _Frame], path: Path, objects: bool) -> None:
        meaning = 'frame, target, left, top, width, height' + (
            ', out of view, occlusion, category' if objects else '')
        for where, values in number_lines(path, 9 if objects else 6, meaning):
            number, _, x, y, w, h = values[:6]
            if number not in frames:
                raise DataError(f'{where}: there is no image of frame {number:g}')
            name = ''
            if objects:
                if values[8] not in range(1, len(CATEGORIES)):
                    raise DataError(f'{where}: category {values[8]:g} is not in '
                                    f'1..{len(CATEGORIES) - 1}')
                name = CATEGORIES[int(values[8])]
            frames[int(number)].boxes.append((name, (x, y, x + w, y + h), where))
