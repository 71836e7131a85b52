"""
Reading and writing protobuf messages without a schema.

The wire format is that of https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from collections.abc import Iterator
import mmap
from typing import NamedTuple

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

Span = tuple[int, int]
"""Start and end of a range of bytes."""

Buffer = bytes | mmap.mmap


class BrokenError(Exception):
    """The bytes are not a valid protobuf message."""


class Field(NamedTuple):
    """A field of a message."""

    number: int
    value: int | Span
    """An integer, or the span of the field's bytes."""
    whole: Span
    """Span of the whole field, including its number and length."""


def fields_of(data: Buffer, span: Span) -> Iterator[tuple[int, int | Span]]:
    """Yield number and value of each field of the message in `span`: an integer, or its span."""
    for field in walk(data, span):
        yield field.number, field.value


def walk(data: Buffer, span: Span) -> Iterator[Field]:
    """Yield the fields of the message in `span`; BrokenError if it is not a message."""
    position, end = span
    while position < end:
        begin = position
        tag, position = _varint(data, position, end)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise BrokenError(f'byte {position}')
        value: int | Span
        if kind == _VARINT:
            value, position = _varint(data, position, end)
        elif kind in (_BYTES, _FIXED32, _FIXED64):
            if kind == _BYTES:
                length, position = _varint(data, position, end)
            else:
                length = 4 if kind == _FIXED32 else 8
            value = (position, position + length)
            position += length
            if position > end:
                raise BrokenError(f'{position - end} bytes are missing at the end')
        else:
            raise BrokenError(f'byte {position}')
        yield Field(number, value, (begin, position))


def span_of(value: int | Span) -> Span:
    """Return the span of a field of bytes; BrokenError if it is an integer."""
    if isinstance(value, int):
        raise BrokenError('a number instead of a message')
    return value


def text_of(data: Buffer, value: int | Span) -> str:
    """Return the value of a text field."""
    start, end = span_of(value)
    try:
        return data[start:end].decode('utf-8')
    except UnicodeDecodeError:
        raise BrokenError('a name or its metadata are not text') from None


def varints(data: Buffer, span: Span) -> Iterator[int]:
    """Yield the integers of a packed field; BrokenError if it is not one."""
    position, end = span
    while position < end:
        value, position = _varint(data, position, end)
        yield value


def bytes_field(number: int, length: int) -> bytes:
    """Return the header of a field of `length` bytes."""
    return _encoded(number << 3 | _BYTES) + _encoded(length)


def _encoded(value: int) -> bytes:
    """Return an integer encoded with variable length."""
    result = bytearray()
    while value > 0x7f:
        result.append(value & 0x7f | 0x80)
        value >>= 7
    return bytes((*result, value))


def _varint(data: Buffer, position: int, end: int) -> tuple[int, int]:
    """Return the variable-length integer at `position`, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= end:
            raise BrokenError('its last byte is missing')
        byte = data[position]
        position += 1
        value |= (byte & 0x7f) << shift
        if byte < 0x80:
            return value, position
    raise BrokenError(f'byte {position}')
