"""The chunks of PNG files: their check sums, and the orientation that viewers apply."""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import struct
from typing import BinaryIO
import zlib

SIGNATURE = b'\x89PNG\r\n\x1a\n'

_CHUNK = struct.Struct('>I4s')
_CRC = struct.Struct('>I')
_MAX_CHUNKS = 1 << 20


def check_png(file: BinaryIO) -> None:
    """Raise ValueError where a chunk is damaged or missing."""
    for name, length in _chunks(file):
        content = file.read(length)
        if _CRC.unpack(file.read(_CRC.size))[0] != zlib.crc32(content, zlib.crc32(name)):
            raise ValueError(f'the check sum of the chunk {name.decode("latin-1")!r} is wrong')


def png_exif(file: BinaryIO) -> bytes:
    """Return the content of the chunk eXIf; empty if there is none, or the file is truncated."""
    with contextlib.suppress(ValueError):
        for name, length in _chunks(file):
            if name == b'eXIf':
                return file.read(length)
    return b''


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield name and length of each chunk, with the file at its content."""
    end = file.seek(0, 2)
    at = len(SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        file.seek(at)
        head = file.read(_CHUNK.size)
        if len(head) < _CHUNK.size:
            break
        length, name = _CHUNK.unpack(head)
        at += _CHUNK.size + length + _CRC.size
        if at > end:
            break
        yield name, length
        if name == b'IEND':
            return
    raise ValueError('its end is missing')
