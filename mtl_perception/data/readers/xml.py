"""
XML annotations, read with lxml.

A file may come from a stranger. Entities make a small file large (billion laughs) or read other
files; no annotation needs the DOCTYPE that declares them, so that it is rejected before the parser
reads any of it. libxml2 bounds the depth of a document and the length of its names and values.
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
    """An element of a file; its methods raise DataError, with file and line, for what is wrong."""

    def __init__(self, node: Any, path: Path) -> None:
        self.tag = str(node.tag)
        self.line = int(node.sourceline)
        """Line on which the start tag ends; above 65534, libxml2 may be a few lines off."""
        self.where = f'{path}: line {self.line}'
        """File and line, with which an error message begins."""
        self.text = (node.text or '').strip()
        """The text before the first child."""
        self.attributes = node.attrib
        self._node, self._path = node, path

    def all(self, tag: str | None = None) -> list[Element]:
        """Return the children, those of this tag where one is given."""
        return [Element(child, self._path) for child in self._node.iterchildren(tag)]

    def only(self, tag: str) -> Element:
        """Return the one child of this tag."""
        found = self.all(tag)
        if len(found) != 1:
            raise DataError(
                f'{self.where}: <{self.tag}> has {len(found)} <{tag}> elements; it needs one')
        return found[0]

    def number(self, tag: str) -> float:
        """Return the finite number in the one child of this tag."""
        child = self.only(tag)
        return _number(child.text, f'{child.where}: <{tag}>')

    def attribute(self, name: str) -> str:
        """Return the attribute `name`."""
        if name not in self.attributes:
            raise DataError(f'{self.where}: <{self.tag}> has no {name}')
        return str(self.attributes[name])

    def attribute_number(self, name: str) -> float:
        """Return the attribute `name` as a finite number."""
        return _number(self.attribute(name), f'{self.where}: {name} of <{self.tag}>')


def read_xml(path: Path, root: str, limit: int) -> Element:
    """Return the element `root` of the file of at most `limit` bytes; DataError otherwise."""
    content = read_bytes(path, limit)
    try:
        if _has_doctype(content):
            # Without NUL bytes, UTF-16 reads like ASCII here.
            before = content.replace(b'\0', b'').partition(b'<!DOCTYPE')[0]
            line = before.count(b'\n') + 1
            raise DataError(f'{path}: line {line}: has a DOCTYPE; remove it')
        element = Element(etree.fromstring(content, etree.XMLParser(**_OPTIONS)), path)
    except etree.XMLSyntaxError as error:
        text = (error.msg or 'no element found').partition(f', line {error.lineno}, column')[0]
        raise DataError(f'{path}: line {error.lineno or 1}: is not XML: '
                        + ' '.join(text.split())) from None
    if element.tag != root:
        raise DataError(f'{element.where}: the root is <{element.tag}>, not <{root}>')
    return element


class _Prolog:
    """Target of a parser that ends it where the first element or the DOCTYPE begins."""

    def __init__(self) -> None:
        self.has_doctype = False

    def doctype(self, *_: Any) -> None:
        self.has_doctype = True
        raise StopIteration

    def start(self, *_: Any) -> None:
        raise StopIteration

    def close(self) -> None:
        """End the file, which lxml asks for."""


def _has_doctype(content: bytes) -> bool:
    prolog: Any = _Prolog()
    parser = etree.XMLParser(target=prolog, **_OPTIONS)
    try:
        for start in range(0, len(content), _CHUNK):
            parser.feed(content[start:start + _CHUNK])
    except StopIteration:
        pass
    return bool(prolog.has_doctype)


def _number(text: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f'{what} is {text!r:.40}, not a number')
    return value
