"""
XML annotations, read with lxml.

A file may come from a stranger. Entities make a small file large (billion laughs) or read other
files; no annotation needs the DOCTYPE that declares them, so that it is rejected before anything
is parsed. libxml2 bounds the depth of a document and the length of its names and values.
"""

from __future__ import annotations

from dataclasses import dataclass
import io
import math
from pathlib import Path
import re
from typing import Any

from lxml import etree

from mtl_perception.errors import DataError, one_line
from mtl_perception.files import read_bytes

_OPTIONS: dict[str, Any] = {
    'resolve_entities': False, 'load_dtd': False, 'no_network': True, 'huge_tree': False,
    'remove_comments': True, 'remove_pis': True}


_DECLARED = re.compile(rb'(<\?xml[^>]{1,100}encoding\s*=\s*["\'])([A-Za-z0-9._-]{1,40})')
"""The declaration up to the name of the encoding, in encodings that begin like ASCII."""

_PYTHONS = {
    'latin-1': 'latin-1', 'ansi': 'cp1252', 'cp437': 'cp437', 'cp852': 'cp852',
    'mac-roman': 'mac-roman', 'ms932': 'cp932', 'x-sjis': 'cp932', 'windows-31j': 'cp932',
    'ms949': 'cp949', 'windows-949': 'cp949', 'x-gbk': 'gbk', 'gb-2312': 'gb2312'}
"""Names of encodings that libxml2 does not know -> Python's codec."""


@dataclass(frozen=True, slots=True)
class Element:
    """An element of a file; its methods raise DataError, with file and line, for what is wrong."""

    path: Path
    line: int
    """Line on which the start tag ends; above 65534, libxml2 may be a few lines off."""
    tag: str
    attributes: dict[str, str]
    text: str
    """The text before the first child, without outer spaces."""
    children: tuple[Element, ...]

    @property
    def where(self) -> str:
        """File and line, with which an error message begins."""
        return f'{self.path}: line {self.line}'

    def all(self, tag: str) -> list[Element]:
        """Return the children of this tag."""
        return [child for child in self.children if child.tag == tag]

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
        return self.attributes[name]

    def attribute_number(self, name: str) -> float:
        """Return the attribute `name` as a finite number."""
        return _number(self.attribute(name), f'{self.where}: {name} of <{self.tag}>')


def read_xml(path: Path, root: str, limit: int) -> Element:
    """Return the element `root` of the file of at most `limit` bytes; DataError otherwise."""
    content = read_bytes(path, limit)
    # Without NUL bytes, ASCII in UTF-16 and UTF-32 is ASCII.
    before, doctype, _ = content.replace(b'\0', b'').partition(b'<!DOCTYPE')
    if doctype:
        line = before.count(b'\n') + 1
        raise DataError(f'{path}: line {line}: has a DOCTYPE; remove it')
    try:
        element = _parse(_in_known_encoding(content, path), path)
    except etree.XMLSyntaxError as error:
        text = (error.msg or 'no element found').partition(f', line {error.lineno}, column')[0]
        raise DataError(f'{path}: line {error.lineno or 1}: is not XML: '
                        + ' '.join(text.split())) from None
    except (etree.LxmlError, LookupError, ValueError) as error:
        raise DataError(f'{path}: is not XML: {one_line(error)}') from None
    if element.tag != root:
        raise DataError(f'{element.where}: the root is <{element.tag}>, not <{root}>')
    return element


def _in_known_encoding(content: bytes, path: Path) -> bytes:
    """Return the file in UTF-8 if it declares an encoding of `_PYTHONS`, else as it is."""
    declared = _DECLARED.match(content)
    name = declared[2].decode('ascii').lower() if declared else ''
    if not declared or name not in _PYTHONS:
        return content
    try:
        text = content[declared.end():].decode(_PYTHONS[name])
    except UnicodeDecodeError as error:
        line = content.count(b'\n', 0, declared.end() + error.start) + 1
        raise DataError(f'{path}: line {line}: is not XML: not {name} text, as it declares') \
            from None
    return declared[1] + b'utf-8' + text.encode()


def _parse(content: bytes, path: Path) -> Element:
    children: list[list[Element]] = [[]]
    for event, node in etree.iterparse(io.BytesIO(content), ('start', 'end'), **_OPTIONS):
        if event == 'start':
            # It may hide from the search above in an encoding such as UTF-7.
            if len(children) == 1 and node.getroottree().docinfo.internalDTD is not None:
                raise DataError(f'{path}: has a DOCTYPE; remove it')
            children.append([])
            continue
        element = Element(path, node.sourceline, node.tag, dict(node.attrib),
                          (node.text or '').strip(), tuple(children.pop()))
        children[-1].append(element)
        node.clear()  # lxml's own tree of a whole file would take twice the memory.
    return children[0][0]


def _number(text: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f'{what} is {text!r:.40}, not a number')
    return value
