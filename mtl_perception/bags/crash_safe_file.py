"""
An MCAP file that is readable at any time while it is being written.

Readers want a footer and the magic at the end of a file (https://mcap.dev/spec). Here both exist
from the start: the written records are followed by one padding record up to the footer, with an
opcode that the format reserves for applications and that readers skip. The padding is a hole and
takes no space on the disk::

    magic, records | padding ........ | footer, magic

New records are written into the padding, after its header of nine bytes, where readers ignore
them. When they are on the disk, their first nine bytes replace that header, in one write within
one block. After a kill or a power cut, the file therefore contains all committed records, and no
partial one.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
import struct

PADDING = 0x80
"""Opcode of the padding; opcodes from here on are reserved for applications."""

HEADER = struct.Struct('<BQ')
"""Opcode and length in bytes at the start of each record."""

_MAGIC = b'\x89MCAP0\r\n'
_FOOTER = HEADER.pack(0x02, 20) + struct.pack('<QQI', 0, 0, 0) + _MAGIC
"""A footer without a summary: readers then scan the records."""

_BLOCK = 512
"""Headers do not cross boundaries of disk sectors, which are written atomically."""


class CrashSafeFile:
    """
    A stream for `mcap.writer.Writer` (`write`, `tell`, `flush`); `commit` makes it readable.

    Every call of `write` must end a record. The file gets its name at the first commit; before
    that it is called `.NAME.part`. If `commit` or `finish` raises OSError, the file is as of the
    last commit, and unwritten data stays in memory.
    """

    def __init__(self, path: Path, step: int = 8 << 20) -> None:
        """Create the file; it grows by `step` bytes, as a hole without disk space."""
        self.path = path
        self._part = path.with_name(f'.{path.name}.part')
        self._step = max(step, 4096)
        self._file = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        self._named = False
        self._end = 0
        """Offset of the header of the padding."""
        self._footer = 0
        """Offset of the footer."""
        self._closing = False
        self._new = bytearray()

    def write(self, data: bytes) -> int:
        """Append one or more whole records."""
        self._new += data
        return len(data)

    def tell(self) -> int:
        """Return the offset of the next record."""
        return self._end + len(self._new) + (HEADER.size if self._closing else 0)

    def flush(self) -> None:
        """Do nothing: see `commit`."""

    @property
    def pending(self) -> int:
        """Number of uncommitted bytes."""
        return len(self._new)

    @property
    def size(self) -> int:
        """Bytes of all records, including uncommitted ones."""
        return self._end + len(self._new)

    def commit(self) -> None:
        """Make all written records readable, also after a power cut."""
        if not self._new:
            return
        data = bytes(self._new)
        end = self._end + len(data)
        if end % _BLOCK > _BLOCK - HEADER.size:
            data += HEADER.pack(PADDING, 0)
            end += HEADER.size
        if not self._named:
            self._begin(data, end)
        else:
            self._make_room(end + HEADER.size)
            padding = HEADER.pack(PADDING, self._footer - end - HEADER.size)
            self._write_at(self._end + HEADER.size, data[HEADER.size:] + padding)
            os.fdatasync(self._file)
            self._write_at(self._end, data[:HEADER.size])
            os.fdatasync(self._file)
        self._end = end
        self._new.clear()

    def begin_summary(self) -> None:
        """Commit; records written from here until `finish` are the end of the file."""
        self.commit()
        self._closing = True

    def finish(self) -> None:
        """Replace the footer by the data written since `begin_summary` (data end to magic)."""
        begin = self._end + HEADER.size
        end = begin + len(self._new)
        self._make_room(end)
        self._write_at(begin, bytes(self._new))
        os.fdatasync(self._file)
        self._cut(end)

    def finish_without_summary(self) -> None:
        """End the file after the last commit, discarding later data."""
        self._new.clear()
        if self._named:
            begin = self._end + HEADER.size
            if begin + len(_FOOTER) <= self._footer:
                self._write_at(begin, _FOOTER)
                os.fdatasync(self._file)
                self._cut(begin + len(_FOOTER))

    def close(self) -> None:
        """Close the file without changing it."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            if not self._named:
                with contextlib.suppress(OSError):
                    self._part.unlink()

    def _begin(self, data: bytes, end: int) -> None:
        self._footer = self._rounded(end + HEADER.size)
        self._write_at(self._footer, _FOOTER)
        self._write_at(0, data + HEADER.pack(PADDING, self._footer - end - HEADER.size))
        os.fdatasync(self._file)
        self._part.rename(self.path)
        self._named = True
        sync_folder(self.path.parent)

    def _make_room(self, end: int) -> None:
        """Move the footer beyond `end`, the end of new records."""
        if end <= self._footer:
            return
        footer = self._rounded(end)
        try:
            self._write_at(footer, _FOOTER)
        except OSError:
            os.ftruncate(self._file, self._footer + len(_FOOTER))
            raise
        # Between these two calls the end of the file is not readable.
        self._write_at(self._end, HEADER.pack(PADDING, footer - self._end - HEADER.size))
        os.fdatasync(self._file)
        self._footer = footer

    def _rounded(self, end: int) -> int:
        return -(-(end + len(_FOOTER)) // self._step) * self._step - len(_FOOTER)

    def _cut(self, end: int) -> None:
        os.ftruncate(self._file, end)
        # In a file of the old length, the padding must not end before the summary.
        os.fsync(self._file)
        self._write_at(self._end, HEADER.pack(PADDING, 0))
        os.fsync(self._file)
        self._new.clear()
        self._end = self._footer = end

    def _write_at(self, offset: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            done = os.pwrite(self._file, view, offset)
            view = view[done:]
            offset += done


def sync_folder(path: Path) -> None:
    """Sync the entries of a folder to the disk."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
