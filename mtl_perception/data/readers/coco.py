"""COCO: one JSON file of boxes and shapes for each split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from mtl_perception.data.readers.boxes import BoxList
from mtl_perception.data.readers.lists import inside, portable, split_file
from mtl_perception.data.readers.numbers import real_number, truth_value, whole_number
from mtl_perception.data.readers.registry import register_reader
from mtl_perception.data.readers.shapes import (
    coco_runs,
    MaskPainter,
    polygons_region,
    Region,
    runs_mask,
    ShapeOptions,
)
from mtl_perception.data.readers.splits import OneFileSplit
from mtl_perception.data.samples import BoxTruth, Sample
from mtl_perception.data.set_spec import SetSpec
from mtl_perception.data.yaml_file import brief
from mtl_perception.errors import DataError
from mtl_perception.files import read_text
from mtl_perception.images.listing import distinct_stems
from mtl_perception.images.reading import read_image
from mtl_perception.rotated_boxes import upright_hull

MAX_JSON_BYTES = 1 << 30
"""Largest annotation file that is read; COCO's own training file has 450 MB."""


@dataclass
class _Entry:
    stem: str
    path: Path = Path()
    width: int = 0
    height: int = 0
    annotations: list[dict[str, Any]] = field(default_factory=list)
    problem: str = ''
    """What is wrong with the entry; it has no image then."""


class CocoOptions(ShapeOptions):
    """Options of the reader `coco`."""


@register_reader('coco', CocoOptions, boxes=True, masks=True, split=OneFileSplit,
                 default_splits={'train': 'train.json', 'val': 'val.json'})
class CocoSet:
    """
    Images listed and annotated by `<split>.json`.

    `bbox` is x, y, width, height in pixels from 0; `area`, where it is above 0, is the area by
    which the object is small, medium or large in an evaluation. A box that CVAT says to be turned
    is read as its upright hull. An annotation with `iscrowd` 1 becomes an ignore region, as does
    one of a class mapped to null. Where the set has `masks` in the manifest, their labels are
    names of categories, and `segmentation` (polygons, or run lengths, compressed or not) is
    painted: the larger shape below the smaller. Pixels outside all shapes have the label of the
    option `background`, or none. Numbers are read where they are texts, too.
    """

    def __init__(self, spec: SetSpec) -> None:
        self.spec = spec
        self._options = CocoOptions.of(spec)
        self._splits: dict[str, tuple[dict[int, str], list[_Entry]]] = {}

    def stems(self, split: str) -> Sequence[str]:
        """Return the stems of the split's images, in the order of the JSON file."""
        return [entry.stem for entry in self._load(split)[1]]

    def read(self, split: str, index: int) -> Sample:
        """Return the split's image `index` with its ground truth; DataError where it is broken."""
        entry = self._entry(split, index)
        image = read_image(entry.path, stretch=self.spec.stretch)
        height, width = image.shape[:2]
        if (entry.width, entry.height) != (width, height):
            raise DataError(
                f'{split_file(self.spec, split)}: lists {entry.path.name} with '
                f'{entry.width}x{entry.height} pixels, but it has {width}x{height}')
        boxes, mask = self._truth(split, entry)
        return Sample(f'{self.spec.name}/{entry.stem}', image, boxes, mask)

    def image_file(self, split: str, index: int) -> Path:
        """Return the file of the split's image `index`; DataError where it has none."""
        return self._entry(split, index).path

    def _entry(self, split: str, index: int) -> _Entry:
        entry = self._load(split)[1][index]
        if entry.problem:
            raise DataError(entry.problem)
        return entry

    def _truth(self, split: str,
               entry: _Entry) -> tuple[BoxTruth | None, np.ndarray | None]:
        categories = self._load(split)[0]
        width, height = entry.width, entry.height
        boxes = BoxList(self.spec.boxes, width, height) if self.spec.boxes else None
        shapes: list[tuple[int, str, Region]] = []
        for annotation in entry.annotations:
            where = f'{split_file(self.spec, split)}: annotation {annotation.get("id")!r:.40}'
            identity = _integer(annotation, 'category_id', where)
            if identity not in categories:
                raise DataError(f'{where}: category_id {identity} is not in `categories`')
            name = categories[identity]
            if boxes is not None and not self._only_in_masks(name):
                x, y, w, h = _bbox(annotation, where)
                angle = _angle(annotation)
                corners = upright_hull(x + w / 2, y + h / 2, w, h, angle) if angle \
                    else (x, y, x + w, y + h)
                boxes.add(name, corners, where, area=_area(annotation, where), rotated=angle != 0,
                          ignore='crowd' if _is_crowd(annotation, where) else '')
            if self.spec.masks is not None:
                region = _region(annotation, width, height, where)
                shapes.append((region.area, name, region))
        mask = None
        if self.spec.masks is not None:
            painter = MaskPainter(self.spec.masks.names, width, height,
                                  self._options.background)
            for _, name, region in sorted(shapes, key=lambda shape: -shape[0]):
                painter.paint(name, region)
            mask = painter.mask
        return boxes.truth() if boxes is not None else None, mask

    def _only_in_masks(self, name: str) -> bool:
        assert self.spec.boxes is not None
        return (name not in self.spec.boxes.mapping and self.spec.masks is not None
                and name in self.spec.masks.names)

    def _load(self, split: str) -> tuple[dict[int, str], list[_Entry]]:
        if split not in self._splits:
            self._splits[split] = self._parse(split_file(self.spec, split))
        return self._splits[split]

    def _parse(self, path: Path) -> tuple[dict[int, str], list[_Entry]]:
        root = _json(path)
        categories = self._categories(root, path)

        entries: list[_Entry] = []
        by_identity: dict[int, _Entry] = {}
        paths: set[Path] = set()
        for number, image in enumerate(_items(root, 'images', path)):
            where = f'{path}: images[{number}]'
            try:
                identity, entry = self._image(image, where)
                if identity in by_identity:
                    raise DataError(f'{where}: id {identity} occurs twice')
                if entry.path in paths:
                    raise DataError(f'{where}: {entry.path.name} occurs twice')
                by_identity[identity] = entry
                paths.add(entry.path)
            except DataError as error:
                entry = _Entry(f'images[{number}]', problem=str(error))
            entries.append(entry)
        if not entries:
            raise DataError(f'{path}: lists no image')

        strays = []
        for number, annotation in enumerate(_items(root, 'annotations', path)):
            where = f'{path}: annotations[{number}]'
            try:
                identity = _integer(annotation, 'image_id', where)
                if identity not in by_identity:
                    raise DataError(f'{where}: image_id {identity} is not in `images`')
                by_identity[identity].annotations.append(annotation)
            except DataError as error:
                strays.append(str(error))
        if strays:
            more = f' (and {len(strays) - 1} more like it)' if len(strays) > 1 else ''
            entries.append(_Entry('annotations', problem=strays[0] + more))
        good = [entry for entry in entries if not entry.problem]
        for entry, stem in zip(good, distinct_stems([entry.stem for entry in good]), strict=True):
            entry.stem = stem
        return categories, entries

    def _categories(self, root: Any, path: Path) -> dict[int, str]:
        categories: dict[int, str] = {}
        for number, category in enumerate(_items(root, 'categories', path)):
            where = f'{path}: categories[{number}]'
            identity = _integer(category, 'id', where)
            name = _text(category, 'name', where)
            if self.spec.boxes is not None and name not in self.spec.boxes.mapping \
                    and not self._only_in_masks(name):
                raise DataError(f'{where}: class {name!r:.60} has no mapping; add it '
                                'to `boxes.classes` of the set in the manifest')
            if identity in categories:
                raise DataError(f'{where}: id {identity} occurs twice')
            categories[identity] = name
        return categories

    def _image(self, image: Any, where: str) -> tuple[int, _Entry]:
        identity = _integer(image, 'id', where)
        name = portable(_text(image, 'file_name', where))
        path = inside(self.spec.path / self._options.images, name, where)
        return identity, _Entry(name, path, _integer(image, 'width', where),
                                _integer(image, 'height', where))


def _items(root: Any, key: str, path: Path) -> list[Any]:
    items = root.get(key) if isinstance(root, dict) else None
    if not isinstance(items, list):
        raise DataError(f'{path}: has no list `{key}`; a COCO file has `images`, `annotations` '
                        'and `categories`')
    return items


def _json(path: Path) -> Any:
    text = read_text(path, MAX_JSON_BYTES)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f'{path}: line {error.lineno}: is not JSON: {error.msg}') from None
    except (RecursionError, ValueError) as error:
        raise DataError(f'{path}: is not JSON that is supported: {error}') from None


def _text(item: Any, key: str, where: str) -> str:
    value = item.get(key) if isinstance(item, dict) else None
    if not isinstance(value, str):
        raise DataError(f'{where}: `{key}` is {brief(value)}, not of type str')
    return value


def _integer(item: Any, key: str, where: str) -> int:
    value = item.get(key) if isinstance(item, dict) else None
    try:
        return whole_number(value)
    except ValueError:
        raise DataError(f'{where}: `{key}` is {brief(value)}, not of type int') from None


def _is_crowd(annotation: dict[str, Any], where: str) -> bool:
    value = annotation.get('iscrowd')
    try:
        return truth_value(value)
    except ValueError:
        raise DataError(f'{where}: `iscrowd` is {brief(value)}, not 0 or 1') from None


def _area(annotation: dict[str, Any], where: str) -> float | None:
    """Return the area in pixels; None where the annotation has none, or 0 for an unknown one."""
    value = annotation.get('area')
    if value is None:
        return None
    try:
        area = real_number(value)
    except ValueError:
        raise DataError(f'{where}: `area` is {brief(value)}, not a number') from None
    return area if area > 0 else None


def _angle(annotation: dict[str, Any]) -> float:
    """
    Return the angle in radians by which the box is turned around its centre, mostly 0.

    CVAT writes it into `attributes.rotation`, in degrees, of a box without a shape. An attribute
    of this name that is no number is an annotator's own.
    """
    attributes = annotation.get('attributes')
    if annotation.get('segmentation') or not isinstance(attributes, dict):
        return 0.0
    try:
        return math.radians(real_number(attributes.get('rotation')))
    except ValueError:
        return 0.0


def _bbox(annotation: dict[str, Any], where: str) -> tuple[float, float, float, float]:
    bbox = annotation.get('bbox')
    if isinstance(bbox, list) and len(bbox) == 4:
        numbers = _numbers(bbox)
        if numbers is not None:
            x, y, width, height = numbers
            return x, y, width, height
    raise DataError(f'{where}: bbox {brief(bbox)} is not x, y, width, height')


def _numbers(values: list[Any]) -> list[float] | None:
    try:
        return [real_number(value) for value in values]
    except ValueError:
        return None


def _region(annotation: dict[str, Any], width: int, height: int, where: str) -> Region:
    """Return the pixels of the annotation's `segmentation`; DataError where it has none."""
    shape = annotation.get('segmentation')
    if isinstance(shape, list) and shape:
        polygons = []
        for polygon in shape:
            numbers = _numbers(polygon) if isinstance(polygon, list) else None
            if numbers is None or len(numbers) % 2:
                raise DataError(f'{where}: polygon {brief(polygon)} is not x, y, x, y, ...')
            polygons.append(np.array(numbers).reshape(-1, 2))
        return polygons_region(polygons, width, height, where)
    if not isinstance(shape, dict):
        raise DataError(f'{where}: segmentation {brief(shape)} is neither polygons nor run '
                        'lengths')
    if shape.get('size') != [height, width]:
        raise DataError(f'{where}: run lengths of a mask of {brief(shape.get("size"))} (height, '
                        f'width), but its image has {height}, {width}')
    counts = shape.get('counts')
    if isinstance(counts, str):
        counts = coco_runs(counts, where)
    elif not isinstance(counts, list) or not all(type(count) is int for count in counts):
        raise DataError(f'{where}: counts {brief(counts)} are no run lengths')
    # COCO's runs go down the columns.
    return Region(runs_mask(counts, width * height, where).reshape(width, height).T)
