"""The outer structure of video files: which container, and whether it is complete."""

from __future__ import annotations

from dataclasses import dataclass
import os
from pathlib import Path
import struct
from typing import BinaryIO

from mtl_perception.errors import DataError

_MAX_BOXES = 100_000

_BOXES = (b'ftyp', b'moov', b'mdat', b'wide', b'free', b'skip')
"""Types of boxes with which MP4 and QuickTime begin."""

_SYNC = b'\x47'
_PACKETS = {188: 0, 192: 4}
"""Bytes of a packet of MPEG-TS (ISO/IEC 13818-1), bare or with a time code -> place of `_SYNC`."""

_EBML, _SEGMENT = b'\x1a\x45\xdf\xa3', b'\x18\x53\x80\x67'
_ASF_FILE_PROPERTIES = bytes.fromhex('a1dcab8c47a9cf118ee400c00c205365')
_ASF_HEADER = bytes.fromhex('3026b2758e66cf11a6d900aa0062ce6c')
_ASF_SIZE_AT = 40
"""Offset of the file's size in the file properties object (ASF specification, 3.2)."""


@dataclass(frozen=True)
class Container:
    """What the outer structure of a video file tells."""

    kind: str
    """'MP4' (or QuickTime), 'AVI', 'Matroska' (or WebM), 'ASF', 'MPEG-TS', or '' for others."""
    missing: int
    """Number of bytes that are missing at the end; 0 if none, or if that is not known."""

    @property
    def problem(self) -> str:
        """What is wrong with the file; empty where nothing is known to be."""
        return (f'it is cut off, {self.missing} bytes at its end are missing' if self.missing
                else '')


def read_container(path: Path) -> Container:
    """
    Return what the structure of a video tells; DataError if `path` cannot be read.

    The size of MP4 is known from its boxes (ISO/IEC 14496-12), of AVI from its RIFF chunks, of
    Matroska from its segment (RFC 8794), of ASF from its file properties; MPEG-TS has packets of
    one size.
    """
    try:
        with path.open('rb') as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(12)
            for kind, found, end in (
                    ('MP4', start[4:8] in _BOXES, _boxes_end),
                    ('AVI', start[:4] == b'RIFF', _riff_end),
                    ('Matroska', start[:4] == _EBML, _segment_end),
                    ('ASF', start.startswith(_ASF_HEADER[:12]), _asf_end)):
                if found:
                    return Container(kind, max(0, end(file, size) - size))
            for packet, offset in _PACKETS.items():
                if start[offset:offset + 1] == _SYNC:
                    return Container('MPEG-TS', -size % packet)
    except OSError as error:
        raise DataError(f'{path}: cannot be read: {error.strerror}') from None
    return Container('', 0)


def _boxes_end(file: BinaryIO, size: int) -> int:
    at = 0
    for _ in range(_MAX_BOXES):
        if at >= size:
            break
        file.seek(at)
        head = file.read(16)
        if not head[4:8].isalnum():  # what some cameras append
            break
        length = int.from_bytes(head[:4], 'big')
        if length == 1:
            length = int.from_bytes(head[8:16], 'big')
        if length < 8:  # 0: up to the end of the file
            break
        at += length
    return at


def _riff_end(file: BinaryIO, size: int) -> int:
    at = end = 0
    for _ in range(_MAX_BOXES):  # more than one beyond 1 GB (OpenDML)
        if at >= size:
            break
        file.seek(at)
        head = file.read(8)
        if len(head) < 8 or head[:4] != b'RIFF':
            break
        (length,) = struct.unpack_from('<I', head, 4)
        if not length:  # never completed
            break
        end = at + 8 + length
        at = end + length % 2
    return end


def _segment_end(file: BinaryIO, size: int) -> int:
    at = 0
    for _ in range(_MAX_BOXES):
        if at >= size:
            break
        file.seek(at)
        head = file.read(12)
        if len(head) < 5:
            return size
        width = 9 - head[4].bit_length()  # of the length; identifiers here have 4 bytes
        if width > 8:
            return size
        length = int.from_bytes(head[4:4 + width], 'big') & ((1 << 7 * width) - 1)
        if length == (1 << 7 * width) - 1:  # unknown
            return size
        at += 4 + width + length
        if head[:4] == _SEGMENT:
            return at
    return size


def _asf_end(file: BinaryIO, size: int) -> int:
    file.seek(0)
    start = file.read(1 << 16)
    at = start.find(_ASF_FILE_PROPERTIES)
    if at < 0 or len(start) < at + _ASF_SIZE_AT + 8:
        return size
    return int.from_bytes(start[at + _ASF_SIZE_AT:at + _ASF_SIZE_AT + 8], 'little')
