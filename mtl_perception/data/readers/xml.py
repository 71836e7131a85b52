"""XML annotations: elements with the lines on which they begin, and no entities."""

from __future__ import annotations

from dataclasses import dataclass, field
import math
from pathlib import Path
from typing import Any
from xml.parsers import expat

from mtl_perception.data.readers.files import read_bytes
from mtl_perception.errors import DataError

_MAX_DEPTH = 32


@dataclass
class Element:
    """An XML element with the line on which it begins, which ElementTree does not keep."""

    tag: str
    line: int
    attributes: dict[str, str] = field(default_factory=dict)
    text: str = ''
    children: list[Element] = field(default_factory=list)

    def all(self, tag: str) -> list[Element]:
        """Return the children of this tag."""
        return [child for child in self.children if child.tag == tag]

    def only(self, tag: str, path: Path) -> Element:
        """Return the one child of this tag; DataError where there are none or several."""
        found = self.all(tag)
        if len(found) != 1:
            raise DataError(f'{path}: line {self.line}: <{self.tag}> has {len(found)} <{tag}> '
                            'elements; it needs one')
        return found[0]

    def number(self, tag: str, path: Path) -> float:
        """Return the finite number in the one child of this tag; DataError otherwise."""
        element = self.only(tag, path)
        value = _number(element.text)
        if value is None:
            raise DataError(
                f'{path}: line {element.line}: <{tag}> is {element.text!r:.40}, not a number')
        return value

    def attribute(self, name: str, path: Path) -> str:
        """Return the attribute `name`; DataError where it is missing."""
        if name not in self.attributes:
            raise DataError(f'{path}: line {self.line}: <{self.tag}> has no {name}')
        return self.attributes[name]

    def attribute_number(self, name: str, path: Path) -> float:
        """Return the attribute `name` as a finite number; DataError otherwise."""
        text = self.attribute(name, path)
        value = _number(text)
        if value is None:
            raise DataError(
                f'{path}: line {self.line}: {name} of <{self.tag}> is {text!r:.40}, not a number')
        return value


def read_xml(path: Path, root: str, limit: int) -> Element:
    """Return the element `root` of the file of at most `limit` bytes; DataError otherwise."""
    document = Element('document', 1)
    open_elements = [document]
    parser = expat.ParserCreate()

    def start(tag: str, attributes: dict[str, str]) -> None:
        if len(open_elements) > _MAX_DEPTH:
            raise DataError(f'{path}: line {parser.CurrentLineNumber}: nested too deeply')
        element = Element(tag, parser.CurrentLineNumber, attributes)
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
    # Text in one piece: added up piece by piece, a long one takes time with its square.
    parser.buffer_text = True
    try:
        parser.Parse(read_bytes(path, limit), True)
    except expat.ExpatError as error:
        raise DataError(f'{path}: line {error.lineno}: is not XML: '
                        f'{expat.ErrorString(error.code)}') from None
    return document.only(root, path)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
