"""Pascal VOC: one XML file of boxes a picture."""

from __future__ import annotations

from dataclasses import dataclass, field
import math
from pathlib import Path
from typing import Any
from xml.parsers import expat

from mtl_perception.data.readers.boxes import BoxList
from mtl_perception.data.readers.files import MAX_TEXT_BYTES, read_bytes
from mtl_perception.data.readers.listed import ListedSet
from mtl_perception.data.samples import BoxTruth
from mtl_perception.errors import DataError

_MAX_DEPTH = 32


class VocSet(ListedSet):
    """
    Pictures with Pascal VOC annotations, `<annotations>/<stem>.xml`.

    Coordinates are edges of the box in pixels from 0, x1 = width at the right edge of the picture;
    with the option `one_based` they are the first and last pixel counted from 1, as in the
    original VOC sets. An object marked `difficult` becomes an ignore region.
    """

    def _annotations(self) -> tuple[str, str]:
        return self.spec.options['annotations'], '.xml'

    def _truth(self, path: Path, width: int, height: int) -> tuple[BoxTruth, None]:
        assert self.spec.boxes is not None
        root = _parse(path)
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
        return boxes.truth(), None


@dataclass
class _Element:
    """An XML element with the line on which it begins, which ElementTree does not keep."""

    tag: str
    line: int
    text: str = ''
    children: list[_Element] = field(default_factory=list)

    def all(self, tag: str) -> list[_Element]:
        return [child for child in self.children if child.tag == tag]

    def only(self, tag: str, path: Path) -> _Element:
        found = self.all(tag)
        if len(found) != 1:
            raise DataError(f'{path}: line {self.line}: <{self.tag}> has {len(found)} <{tag}> '
                            'elements; it needs one')
        return found[0]

    def number(self, tag: str, path: Path) -> float:
        element = self.only(tag, path)
        try:
            value = float(element.text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise DataError(
                f'{path}: line {element.line}: <{tag}> is {element.text!r:.40}, not a number')
        return value


def _parse(path: Path) -> _Element:
    """Return the root element of the VOC file; DataError where it is not one."""
    document = _Element('document', 1)
    open_elements = [document]
    parser = expat.ParserCreate()

    def start(tag: str, attributes: dict[str, Any]) -> None:
        if len(open_elements) > _MAX_DEPTH:
            raise DataError(f'{path}: line {parser.CurrentLineNumber}: nested too deeply')
        element = _Element(tag, parser.CurrentLineNumber)
        open_elements[-1].children.append(element)
        open_elements.append(element)

    def end(tag: str) -> None:
        open_elements.pop()

    def text(data: str) -> None:
        open_elements[-1].text += data

    def doctype(*_: Any) -> None:
        # Entities are what makes a small XML file large, and an annotation has no use for them.
        raise DataError(f'{path}: line {parser.CurrentLineNumber}: has a DOCTYPE; remove it')

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(read_bytes(path, MAX_TEXT_BYTES), True)
    except expat.ExpatError as error:
        raise DataError(f'{path}: line {error.lineno}: is not XML: '
                        f'{expat.ErrorString(error.code)}') from None
    return document.only('annotation', path)
