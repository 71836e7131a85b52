"""
A look into a bag while it is being written.

An MCAP file (https://mcap.dev/spec) is a row of records, and messages lie in chunks that are
written one after the other; its index comes last. So what has been recorded so far can be read
from a file that is not finished, up to its last whole chunk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
import struct

_MAGIC_BYTES = 8
_RECORD = struct.Struct('<BQ')
_CHANNEL, _MESSAGE, _CHUNK = 0x04, 0x05, 0x06
_MESSAGE_HEADER = struct.Struct('<HIQQ')
_MOST_RECORD_BYTES = 1 << 31


@dataclass(frozen=True)
class TailMessage:
    """A message as it lies in the bag."""

    topic: str
    recorded: int
    """Nanoseconds since the epoch."""
    data: bytes
    """CDR, with its four bytes of encapsulation."""

    @property
    def stamp(self) -> int:
        """Stamp in nanoseconds, of a message that begins with a header."""
        seconds, nanoseconds = struct.unpack_from('<iI', self.data, 4)
        return int(seconds * 10**9 + nanoseconds)

    @property
    def length(self) -> int:
        """Number of elements of the sequence that follows the header (Detection2DArray)."""
        (text,) = struct.unpack_from('<I', self.data, 12)
        after = 12 + text
        (count,) = struct.unpack_from('<I', self.data, 4 + -(-after // 4) * 4)
        return int(count)


class BagTail:
    """Yields the messages of some topics that have come to a growing MCAP file."""

    def __init__(self, path: Path, topics: set[str], keep_bytes: int = 4096) -> None:
        """Follow `path`, which need not exist yet; of each message keep its first bytes."""
        self._path = path
        self._topics = topics
        self._keep = keep_bytes
        self._offset = _MAGIC_BYTES
        self._channels: dict[int, str] = {}

    def read(self) -> Iterator[TailMessage]:
        """Yield what has come since the last call."""
        if not self._path.is_file():
            return
        with self._path.open('rb') as file:
            size = file.seek(0, 2)
            while self._offset + _RECORD.size <= size:
                file.seek(self._offset)
                kind, length = _RECORD.unpack(file.read(_RECORD.size))
                end = self._offset + _RECORD.size + length
                if end > size or length > _MOST_RECORD_BYTES:
                    return
                if kind == _CHUNK:
                    yield from self._chunk(memoryview(file.read(length)))
                self._offset = end

    def _chunk(self, data: memoryview) -> Iterator[TailMessage]:
        # Start, end, size, checksum; then the compression's name and the records.
        (name_bytes,) = struct.unpack_from('<I', data, 28)
        if name_bytes:
            return
        records = data[32 + 8:]
        offset = 0
        while offset + _RECORD.size <= len(records):
            kind, length = _RECORD.unpack_from(records, offset)
            offset += _RECORD.size
            record = records[offset:offset + length]
            offset += length
            if kind == _CHANNEL:
                (number,) = struct.unpack_from('<H', record, 0)
                (text,) = struct.unpack_from('<I', record, 4)
                self._channels[number] = bytes(record[8:8 + text]).decode('utf-8', 'replace')
            elif kind == _MESSAGE:
                number, _, recorded, _ = _MESSAGE_HEADER.unpack_from(record)
                topic = self._channels.get(number, '')
                if topic in self._topics:
                    begin = _MESSAGE_HEADER.size
                    yield TailMessage(topic, recorded, bytes(record[begin:begin + self._keep]))
