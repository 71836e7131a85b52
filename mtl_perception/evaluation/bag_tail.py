"""
A look into a bag while it is being written.

An MCAP file (https://mcap.dev/spec) is a row of records, and messages lie in chunks that are
written one after the other; its index comes last. So what has been recorded so far can be read
from a file that is not finished, up to its last whole chunk. Where the recorder writes it, a
padding record holds the place of what is to come; see `mtl_perception.bags.crash_safe_file`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
import struct

from mcap.data_stream import ReadDataStream
from mcap.records import Channel, Chunk, Message
from mcap.stream_reader import breakup_chunk

from mtl_perception.bags.crash_safe_file import HEADER, PADDING

_MAGIC_BYTES = 8
_CHUNK = 0x06
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
            while self._offset + HEADER.size <= size:
                file.seek(self._offset)
                kind, length = HEADER.unpack(file.read(HEADER.size))
                end = self._offset + HEADER.size + length
                if end > size or length > _MOST_RECORD_BYTES:
                    return
                if kind == PADDING and length:
                    # Its header makes way for the next record's.
                    return
                if kind == _CHUNK:
                    yield from self._chunk(file.read(length))
                self._offset = end

    def _chunk(self, data: bytes) -> Iterator[TailMessage]:
        for record in breakup_chunk(Chunk.read(ReadDataStream(BytesIO(data)))):
            if isinstance(record, Channel):
                self._channels[record.id] = record.topic
            elif isinstance(record, Message):
                topic = self._channels.get(record.channel_id, '')
                if topic in self._topics:
                    yield TailMessage(topic, record.log_time, record.data[:self._keep])
