"""CVAT for images 1.1: one XML file of boxes, polygons and masks for each split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import math
from pathlib import Path

import numpy as np

from mtl_perception.data.readers.boxes import BoxList
from mtl_perception.data.readers.lists import inside, portable, split_file
from mtl_perception.data.readers.registry import register_reader
from mtl_perception.data.readers.shapes import (
    MaskPainter,
    polygons_region,
    Region,
    runs_mask,
    ShapeOptions,
)
from mtl_perception.data.readers.splits import OneFileSplit
from mtl_perception.data.readers.xml import Element, read_xml
from mtl_perception.data.samples import BoxTruth, Sample
from mtl_perception.data.set_spec import SetSpec
from mtl_perception.errors import DataError
from mtl_perception.images.listing import distinct_stems
from mtl_perception.images.reading import read_image
from mtl_perception.rotated_boxes import Corners, upright_hull

MAX_XML_BYTES = 256 << 20
"""Largest annotation file that is read."""

_SHAPES = ('box', 'polygon', 'mask', 'ellipse')
_OTHERS = ('polyline', 'points', 'cuboid', 'skeleton')


@dataclass
class _Entry:
    stem: str
    path: Path = Path()
    element: Element | None = None
    problem: str = ''


class CvatOptions(ShapeOptions):
    """Options of the reader `cvat`."""


@register_reader('cvat', CvatOptions, boxes=True, masks=True, split=OneFileSplit,
                 default_splits={'train': 'train.xml', 'val': 'val.xml'})
class CvatSet:
    """
    Images listed and annotated by `<split>.xml`, as CVAT exports a task "for images".

    A box, also a rotated one, and the upright rectangle around a polygon, mask or ellipse are
    boxes where `boxes` of the manifest maps their label. Polygons, masks and ellipses are painted
    where the set has `masks`, in the order of `z_order`; a box is not, since not all of it is the
    object. Pixels outside all shapes have the label of the option `background`, or none. A label
    that neither knows is an error, as are kinds of shape without an area.
    """

    def __init__(self, spec: SetSpec) -> None:
        self.spec = spec
        self._options = CvatOptions.of(spec)
        self._splits: dict[str, list[_Entry]] = {}

    def stems(self, split: str) -> Sequence[str]:
        """Return the stems of the split's images, in the order of the file."""
        return [entry.stem for entry in self._load(split)]

    def read(self, split: str, index: int) -> Sample:
        """Return the split's image `index` with its ground truth; DataError where it is broken."""
        entry = self._entry(split, index)
        assert entry.element is not None
        image = read_image(entry.path, stretch=self.spec.stretch)
        width, height = (round(entry.element.attribute_number(key)) for key in ('width', 'height'))
        if (width, height) != (image.shape[1], image.shape[0]):
            raise DataError(
                f'{entry.element.where}: lists {entry.path.name} with {width}x{height} pixels, '
                f'but it has {image.shape[1]}x{image.shape[0]}')
        boxes, mask = self._truth(entry.element, width, height)
        return Sample(f'{self.spec.name}/{entry.stem}', image, boxes, mask)

    def image_file(self, split: str, index: int) -> Path:
        """Return the file of the split's image `index`; DataError where it has none."""
        return self._entry(split, index).path

    def _entry(self, split: str, index: int) -> _Entry:
        entry = self._load(split)[index]
        if entry.problem:
            raise DataError(entry.problem)
        return entry

    def _load(self, split: str) -> list[_Entry]:
        if split not in self._splits:
            self._splits[split] = self._parse(split_file(self.spec, split))
        return self._splits[split]

    def _parse(self, path: Path) -> list[_Entry]:
        entries: list[_Entry] = []
        first_line: dict[Path, int] = {}
        for element in read_xml(path, 'annotations', MAX_XML_BYTES).all('image'):
            try:
                name = portable(element.attribute('name'))
                file = inside(self.spec.path / self._options.images, name, element.where)
                if file in first_line:
                    raise DataError(
                        f'{element.where}: {name} is on line {first_line[file]} already')
                first_line[file] = element.line
                entries.append(_Entry(name, file, element))
            except DataError as error:
                entries.append(_Entry(f'line {element.line}', problem=str(error)))
        good = [entry for entry in entries if not entry.problem]
        for entry, stem in zip(good, distinct_stems([entry.stem for entry in good]), strict=True):
            entry.stem = stem
        if not entries:
            raise DataError(f'{path}: lists no image (a video task must be exported as images)')
        return entries

    def _truth(self, element: Element, width: int,
               height: int) -> tuple[BoxTruth | None, np.ndarray | None]:
        boxes = BoxList(self.spec.boxes, width, height) if self.spec.boxes else None
        painted: list[tuple[float, str, Region]] = []
        for shape in element.children:
            where = shape.where
            if shape.tag in _OTHERS:
                raise DataError(f'{where}: a {shape.tag} has no area; remove it')
            if shape.tag not in _SHAPES:  # tags of the whole image
                continue
            label = shape.attribute('label')
            in_boxes = self.spec.boxes is not None and label in self.spec.boxes.mapping
            in_masks = self.spec.masks is not None and label in self.spec.masks.names
            if not in_boxes and not in_masks:
                raise DataError(f'{where}: label {label!r:.60} has no mapping; add it to '
                                '`boxes.classes` or `masks` of the set in the manifest')
            region = None
            if shape.tag != 'box':
                region = _region(shape, width, height)
            if boxes is not None and in_boxes:
                if region is not None:
                    boxes.add(label, _rectangle(region), where)
                else:
                    rectangle, angle = _box(shape)
                    boxes.add(label, rectangle, where, rotated=angle != 0)
            if region is not None and self.spec.masks is not None:
                order = shape.attribute_number('z_order') if 'z_order' in shape.attributes else 0.0
                painted.append((order, label, region))
        mask = None
        if self.spec.masks is not None:
            painter = MaskPainter(self.spec.masks.names, width, height,
                                  self._options.background)
            for _, label, region in sorted(painted, key=lambda item: item[0]):
                painter.paint(label, region)
            mask = painter.mask
        return boxes.truth() if boxes is not None else None, mask


def _box(shape: Element) -> tuple[Corners, float]:
    """Return the upright hull of a `box`, and the angle in radians by which it is turned."""
    x0, y0, x1, y1 = (shape.attribute_number(key) for key in ('xtl', 'ytl', 'xbr', 'ybr'))
    angle = _angle(shape)
    if not angle:
        return (x0, y0, x1, y1), angle
    return upright_hull((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0, angle), angle


def _angle(shape: Element) -> float:
    if 'rotation' not in shape.attributes:
        return 0.0
    return math.radians(shape.attribute_number('rotation'))


def _region(shape: Element, width: int, height: int) -> Region:
    where = shape.where
    if shape.tag == 'polygon':
        return polygons_region([_points(shape)], width, height, where)
    if shape.tag == 'ellipse':
        cx, cy, rx, ry = (shape.attribute_number(key) for key in ('cx', 'cy', 'rx', 'ry'))
        turn = _angle(shape)
        steps = np.linspace(0, 2 * math.pi, 64, endpoint=False)
        x, y = rx * np.cos(steps), ry * np.sin(steps)
        points = np.stack((cx + x * math.cos(turn) - y * math.sin(turn),
                           cy + x * math.sin(turn) + y * math.cos(turn)), axis=1)
        return polygons_region([points], width, height, where)
    left, top, across, down = (shape.attribute_number(key)
                               for key in ('left', 'top', 'width', 'height'))
    if min(left, top) < 0 or min(across, down) < 1 or left + across > width \
            or top + down > height:
        raise DataError(f'{where}: a mask of {across:g}x{down:g} pixels at {left:g}, {top:g} lies '
                        f'outside the image of {width}x{height}')
    try:
        runs = [int(run) for run in shape.attribute('rle').split(',')]
    except ValueError:
        raise DataError(f'{where}: rle is no list of run lengths') from None
    # CVAT's runs go along the rows of the mask's own rectangle.
    pixels = runs_mask(runs, int(across) * int(down), where).reshape(int(down), int(across))
    return Region(pixels, int(left), int(top))


def _points(shape: Element) -> np.ndarray:
    text = shape.attribute('points')
    try:
        return np.array([[float(number) for number in pair.split(',')]
                         for pair in text.split(';')], np.float64).reshape(-1, 2)
    except ValueError:
        raise DataError(f'{shape.where}: points {text!r:.60} are not '
                        'x,y;x,y;...') from None


def _rectangle(region: Region) -> Corners:
    """Return the smallest upright box around the region's pixels; without any, an empty one."""
    rows, columns = region.pixels.any(axis=1).nonzero()[0], region.pixels.any(axis=0).nonzero()[0]
    if not rows.size:
        return 0.0, 0.0, 0.0, 0.0
    return (float(region.x + columns[0]), float(region.y + rows[0]),
            float(region.x + columns[-1] + 1), float(region.y + rows[-1] + 1))
