"""COCO: one JSON file of boxes a split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
import json
from pathlib import Path, PurePosixPath
from typing import Any

from mtl_perception.data.manifest import SetSpec
from mtl_perception.data.readers.boxes import BoxList
from mtl_perception.data.readers.files import inside, read_image, read_text, split_file
from mtl_perception.data.samples import Sample
from mtl_perception.errors import DataError

MAX_JSON_BYTES = 1 << 30
"""Largest annotation file that is read; COCO's own training file has 450 MB."""


@dataclass
class _Picture:
    path: Path
    stem: str
    width: int
    height: int
    annotations: list[dict[str, Any]] = field(default_factory=list)


class CocoSet:
    """
    Pictures listed and annotated by `<split>.json`.

    `bbox` is x, y, width, height in pixels from 0. An annotation with `iscrowd` 1 becomes an
    ignore region, as does one of a class mapped to null.
    """

    def __init__(self, spec: SetSpec) -> None:
        self.spec = spec
        self._splits: dict[str, tuple[dict[int, str], list[_Picture]]] = {}

    def stems(self, split: str) -> Sequence[str]:
        """Return the stems of the split's pictures, in the order of the JSON file."""
        return [picture.stem for picture in self._load(split)[1]]

    def read(self, split: str, index: int) -> Sample:
        """Return the split's picture `index` with its boxes; DataError where it is broken."""
        assert self.spec.boxes is not None
        categories, pictures = self._load(split)
        picture = pictures[index]
        file = split_file(self.spec, split)
        image = read_image(picture.path)
        height, width = image.shape[:2]
        if (picture.width, picture.height) != (width, height):
            raise DataError(
                f'{file}: says that {picture.path.name} has {picture.width}x{picture.height} '
                f'pixels, but it has {width}x{height}')
        boxes = BoxList(self.spec.boxes, width, height)
        for annotation in picture.annotations:
            where = f'{file}: annotation {annotation.get("id")!r:.40}'
            x, y, w, h = _bbox(annotation, where)
            identity = _value(annotation, 'category_id', int, where)
            if identity not in categories:
                raise DataError(f'{where}: category_id {identity} is not in `categories`')
            boxes.add(categories[identity], (x, y, x + w, y + h), where,
                      ignore=bool(annotation.get('iscrowd')))
        return Sample(f'{self.spec.name}/{picture.stem}', image, boxes.truth(), None)

    def _load(self, split: str) -> tuple[dict[int, str], list[_Picture]]:
        if split not in self._splits:
            self._splits[split] = self._parse(split_file(self.spec, split))
        return self._splits[split]

    def _parse(self, path: Path) -> tuple[dict[int, str], list[_Picture]]:
        assert self.spec.boxes is not None
        text = read_text(path, MAX_JSON_BYTES)
        try:
            root = json.loads(text)
        except json.JSONDecodeError as error:
            raise DataError(f'{path}: line {error.lineno}: is not JSON: {error.msg}') from None
        except (RecursionError, ValueError) as error:
            raise DataError(f'{path}: is not JSON that can be read: {error}') from None

        categories: dict[int, str] = {}
        for number, category in enumerate(_items(root, 'categories', path)):
            where = f'{path}: categories[{number}]'
            identity = _value(category, 'id', int, where)
            name = _value(category, 'name', str, where)
            if name not in self.spec.boxes.mapping:
                raise DataError(f'{where}: class {name!r:.60} has no mapping; add it '
                                'to `boxes.classes` of the set in the manifest')
            categories[identity] = name

        pictures: dict[int, _Picture] = {}
        for number, image in enumerate(_items(root, 'images', path)):
            where = f'{path}: images[{number}]'
            identity = _value(image, 'id', int, where)
            name = _value(image, 'file_name', str, where)
            if identity in pictures:
                raise DataError(f'{where}: id {identity} occurs twice')
            pictures[identity] = _Picture(
                inside(self.spec.path / self.spec.options['images'], name, where),
                str(PurePosixPath(name).with_suffix('')),
                _value(image, 'width', int, where), _value(image, 'height', int, where))
        if not pictures:
            raise DataError(f'{path}: lists no picture')

        for number, annotation in enumerate(_items(root, 'annotations', path)):
            where = f'{path}: annotations[{number}]'
            identity = _value(annotation, 'image_id', int, where)
            if identity not in pictures:
                raise DataError(f'{where}: image_id {identity} is not in `images`')
            pictures[identity].annotations.append(annotation)
        return categories, list(pictures.values())


def _items(root: Any, key: str, path: Path) -> list[Any]:
    items = root.get(key) if isinstance(root, dict) else None
    if not isinstance(items, list):
        raise DataError(f'{path}: has no list `{key}`; a COCO file has `images`, `annotations` '
                        'and `categories`')
    return items


def _value(item: Any, key: str, kind: type, where: str) -> Any:
    value = item.get(key) if isinstance(item, dict) else None
    if type(value) is not kind:
        raise DataError(f'{where}: `{key}` is {value!r:.60}, not of type {kind.__name__}')
    return value


def _bbox(annotation: dict[str, Any], where: str) -> tuple[float, float, float, float]:
    bbox = annotation.get('bbox')
    try:
        if isinstance(bbox, list) and all(type(value) in (int, float) for value in bbox):
            x, y, width, height = (float(value) for value in bbox)
            return x, y, width, height
    except (ValueError, OverflowError):
        pass
    raise DataError(f'{where}: bbox {bbox!r:.60} is not x, y, width, height')
