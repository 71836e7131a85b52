"""
Limits on what compressed bags expand to.

rosbags expands chunks, messages and files whatever their size: a bag of some kilobytes fills the
memory or the disk, since bzip2 and Zstandard shrink zeros to less than a thousandth. LZ4 has no
limit here: it shrinks nothing to less than a 255th.
"""

from __future__ import annotations

import bz2
from collections.abc import Callable
import shutil
import tempfile
from types import SimpleNamespace
from typing import Any

from rosbags.rosbag1 import reader as rosbag1
from rosbags.rosbag2 import reader as rosbag2
from rosbags.rosbag2 import storage_mcap

from mtl_perception.errors import DataError

CHUNK_LIMIT = 2**30
"""Most bytes of an expanded chunk or message; a raw image of 16384 x 16384 RGB pixels has 0.8."""

_FREE_DISK_SHARE = 0.9
"""Most of the free disk that an expanded file may take."""


def limit_decompression() -> None:
    """
    Have rosbags raise an error for what expands beyond the limits.

    Chunks and messages: DataError beyond CHUNK_LIMIT. Files, which it expands in the folder for
    temporary files: OSError beyond nine tenths of the free disk there.
    """
    zstd = rosbag2.zstd
    if isinstance(zstd, SimpleNamespace):
        return
    expand_zstd = _limited(zstd.ZstdDecompressor)
    rosbag1.decompressors.update(bz2=_limited(bz2.BZ2Decompressor))
    storage_mcap.DECOMPRESSORS.update(zstd=lambda data, _: expand_zstd(data))
    limited = SimpleNamespace(
        decompress=expand_zstd, open=lambda file, mode: _ExpandedFile(zstd.open(file, mode)))
    rosbag2.zstd = limited  # type: ignore[assignment]


def _limited(decompressor: Callable[[], Any]) -> Callable[[bytes], bytes]:
    """Return a function that expands data in one or several frames, up to CHUNK_LIMIT bytes."""
    def expand(data: bytes) -> bytes:
        parts: list[bytes] = []
        room = CHUNK_LIMIT
        while data:
            frame = decompressor()
            # One more than fits, so that what fits exactly reaches the end of its frame.
            parts.append(frame.decompress(data, max_length=room + 1))
            room -= len(parts[-1])
            if room < 0:
                raise DataError(f'{len(data)} bytes expand to more than {CHUNK_LIMIT >> 20} MiB')
            if not frame.eof:
                raise DataError('compressed data is cut off')
            data = frame.unused_data
        return parts[0] if len(parts) == 1 else b''.join(parts)

    return expand


class _ExpandedFile:
    """A compressed file, read expanded until it would fill the disk."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._folder = tempfile.gettempdir()
        self._room = int(_FREE_DISK_SHARE * shutil.disk_usage(self._folder).free)

    def __enter__(self) -> _ExpandedFile:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes; OSError if the disk has no room for them."""
        data: bytes = self._file.read(size)
        self._room -= len(data)
        if self._room < 0:
            raise OSError('it expands to more than the disk has room for; point TMPDIR to a '
                          f'folder with more than {self._folder}')
        return data
