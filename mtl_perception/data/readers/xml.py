"""
XML annotations, read with lxml: elements with their lines; no document type and no entities.

An annotation file may come from a stranger. A document type (DOCTYPE) is where entities are
declared, which make a small file large (billion laughs) or read other files; no annotation needs
one, so that it is rejected before the parser reads any of it. libxml2 bounds the depth of a
document and the length of its names and values.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from lxml import etree

from mtl_perception.errors import DataError
from mtl_perception.files import read_bytes

_OPTIONS: dict[str, Any] = {
    'resolve_entities': False, 'load_dtd': False, 'no_network': True, 'huge_tree': False,
    'remove_comments': True, 'remove_pis': True}
_CHUNK = 4096


class Element:
    """An XML element of a file."""

    def __init__(self, node: Any, path: Path) -> None:
        self._node = node
        self._path = path

    @property
    def tag(self) -> str:
        """Name of the element."""
        return str(self._node.tag)

    @property
    def line(self) -> int:
        """Line on which the start tag ends; above 65534, libxml2 may be a few lines off."""
        return int(self._node.sourceline)

    @property
    def where(self) -> str:
        """File and line, with which an error message begins."""
        return f'{self._path}: line {self.line}'

    @property
    def text(self) -> str:
        """The text before the first child, without outer spaces."""
        return (self._node.text or '').strip()

    def __contains__(self, name: str) -> bool:
        """Return whether the element has the attribute `name`."""
        return name in self._node.attrib

    def all(self, tag: str | None = None) -> list[Element]:
        """Return the children, those of this tag where one is given."""
        return [Element(child, self._path) for child in self._node.iterchildren(tag)]

    def only(self, tag: str) -> Element:
        """Return the one child of this tag; DataError where there are none or several."""
        found = self.all(tag)
        if len(found) != 1:
            raise DataError(f'{self.where}: <{self.tag}> has {len(found)} <{tag}> elements; it '
                            'needs one')
        return found[0]

    def number(self, tag: str) -> float:
        """Return the finite number in the one child of this tag; DataError otherwise."""
        element = self.only(tag)
        return _number(element.text, f'{element.where}: <{tag}>')

    def attribute(self, name: str) -> str:
        """Return the attribute `name`; DataError where it is missing."""
        value = self._node.get(name)
        if value is None:
            raise DataError(f'{self.where}: <{self.tag}> has no {name}')
        return str(value)

    def attribute_number(self, name: str) -> float:
        """Return the attribute `name` as a finite number; DataError otherwise."""
        return _number(self.attribute(name), f'{self.where}: {name} of <{self.tag}>')


def read_xml(path: Path, root: str, limit: int) -> Element:
    """
    Return the root element, of the tag `root`, of the XML file `path`.

    Raises DataError, naming file and line, where the file cannot be read, has more than `limit`
    bytes, has a DOCTYPE, is not XML in the encoding that it declares, or has another root.
    """
    content = read_bytes(path, limit)
    try:
        if _has_doctype(content):
            # Without NUL bytes, UTF-16 reads like ASCII here.
            before = content.replace(b'\0', b'').partition(b'<!DOCTYPE')[0]
            line = before.count(b'\n') + 1
            raise DataError(f'{path}: line {line}: has a DOCTYPE; remove it')
        element = Element(etree.fromstring(content, etree.XMLParser(**_OPTIONS)), path)
    except etree.XMLSyntaxError as error:
        line = error.lineno or 1
        told = (error.msg or 'no element found').partition(f', line {error.lineno}, column')[0]
        raise DataError(f'{path}: line {line}: is not XML: {" ".join(told.split())}') from None
    if element.tag != root:
        raise DataError(f'{element.where}: the root is <{element.tag}>, not <{root}>')
    return element


class _Found(Exception):  # noqa: N818 - it reports no error
    """Ends parsing at the DOCTYPE or, without one, at the root element."""

    def __init__(self, doctype: bool) -> None:
        super().__init__()
        self.doctype = doctype


class _Prolog:
    """What lxml calls while it parses the beginning of a file, up to the first that occurs."""

    def doctype(self, *_: Any) -> None:
        raise _Found(True)

    def start(self, *_: Any) -> None:
        raise _Found(False)

    def close(self) -> None:
        pass


def _has_doctype(content: bytes) -> bool:
    """Return whether a DOCTYPE comes before the root element, in whatever encoding."""
    prolog: Any = _Prolog()
    parser = etree.XMLParser(target=prolog, **_OPTIONS)
    try:
        for start in range(0, len(content), _CHUNK):
            parser.feed(content[start:start + _CHUNK])
    except _Found as found:
        return found.doctype
    return False


def _number(text: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f'{what} is {text!r:.40}, not a number')
    return value
