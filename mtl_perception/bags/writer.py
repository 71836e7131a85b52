"""Writing of a rosbag2 bag in MCAP, compressed, split into files, and readable at any time."""

from __future__ import annotations

from collections import deque
import contextlib
from dataclasses import dataclass
import os
from pathlib import Path
import time
from typing import Any

from mcap.writer import CompressionType, Writer

from mtl_perception.bags.crash_safe_file import CrashSafeFile
from mtl_perception.bags.metadata import BagFile, BagTopic, MessageSpan, write_metadata
from mtl_perception.errors import DataError

_CHUNK = 1 << 20
_STEP = 8 << 20
_MOST_PENDING = 4 << 20
_STEP_BACK = 10**9
"""Nanoseconds by which the clock must be set back to start a new file."""

_LATCHED = 16
"""Maximum number of publishers of a latched topic whose last message each new file repeats."""


@dataclass(frozen=True)
class SplitRule:
    """Conditions for starting a new file of a bag."""

    size: int = 0
    """Bytes; 0: never."""
    duration: float = 0.0
    """Seconds; 0: never."""


class BagWriter:
    """
    Writes the folder PATH with PATH_0.mcap, PATH_1.mcap, ..., and metadata.yaml.

    Written messages are readable after `commit`, which should be called about once a second.
    Methods raise OSError if writing fails; the bag is then complete up to the last commit, and
    `finish` completes it as far as possible. Not thread-safe.
    """

    def __init__(self, path: Path, split: SplitRule | None = None) -> None:
        """Create the bag; DataError if it exists already or cannot be created."""
        self.path = path
        self._split = split or SplitRule()
        self._files: list[BagFile] = []
        self._total = MessageSpan()
        self._counts: dict[BagTopic, int] = {}
        self._latched: dict[BagTopic, deque[bytes]] = {}
        self._finished_bytes = 0
        self._is_open = False
        self._is_new = False
        self._latest = 0
        try:
            path.mkdir(parents=True)
            space = os.statvfs(path)
            disk = space.f_blocks * space.f_frsize or 1 << 40
            self._step = min(_STEP, disk // 16)
            self._most_pending = min(_MOST_PENDING, disk // 32)
            self._open()
            self._write_metadata()
        except FileExistsError:
            raise DataError(f'bag {path} exists already; select another folder') from None
        except OSError as error:
            raise DataError(f'bag {path} cannot be created: {error.strerror}') from None

    @property
    def file(self) -> Path:
        """The current file."""
        return self.path / self._files[-1].name

    @property
    def size(self) -> int:
        """Bytes of all files, without uncompressed data in memory."""
        return self._finished_bytes + (self._stream.size if self._is_open else 0)

    @property
    def pending(self) -> int:
        """Maximum number of bytes that the next commit writes."""
        return self._stream.pending + self._in_chunk

    def write(self, topic: BagTopic, stamp: int, data: bytes) -> None:
        """
        Write a message received at `stamp`, in nanoseconds since the epoch.

        Readers reject a file without index whose times decrease: a slightly earlier message gets
        the time of the previous one, and a new file is started if the clock was set back.
        """
        if self._latest - stamp > _STEP_BACK and self._files[-1].span.count:
            self._next_file(stamp)
        else:
            stamp = max(stamp, self._latest)
        self._latest = stamp
        if topic.is_latched:
            kept = self._latched.setdefault(topic, deque(maxlen=_LATCHED))
            if data in kept:
                kept.remove(data)
            kept.append(data)
        self._add(topic, stamp, data)
        if self._is_full(stamp):
            self._next_file(stamp)
        elif self._stream.pending > self._most_pending:
            self._stream.commit()

    def commit(self) -> None:
        """Make all written messages readable, also after a power cut."""
        if not self._is_new:
            return
        self._writer.flush()
        self._in_chunk = 0
        self._stream.commit()
        # After the records: readers expect the definition of each topic in the metadata in a file.
        self._write_metadata()
        self._is_new = False

    def finish(self) -> OSError | None:
        """Finish the bag; return the reason if it is incomplete, else None."""
        trouble: OSError | None = None
        if self._is_open:
            try:
                self._finish_file()
            except OSError as error:
                trouble = error
        try:
            self._write_metadata()
        except OSError as error:
            trouble = trouble or error
        return trouble

    def _next_file(self, stamp: int) -> None:
        self._finish_file()
        self._open()
        for latched, messages in self._latched.items():
            for message in messages:
                self._add(latched, stamp, message)
        self._stream.commit()
        self._write_metadata()

    def _open(self) -> None:
        file = BagFile(f'{self.path.name}_{len(self._files)}.mcap')
        self._stream = CrashSafeFile(self.path / file.name, self._step)
        try:
            stream: Any = self._stream  # the writer uses only these methods of IO
            self._writer = Writer(stream, chunk_size=_CHUNK, compression=CompressionType.ZSTD)
            self._writer.start(profile='ros2', library='mtl_perception')
            self._stream.commit()
        except OSError:
            self._stream.close()
            raise
        self._is_open = True
        self._files.append(file)
        self._opened = time.monotonic()
        self._schemas: dict[str, int] = {}
        self._channels: dict[BagTopic, int] = {}
        self._sequence: dict[BagTopic, int] = {}
        self._in_chunk = 0

    def _finish_file(self) -> None:
        self._is_open = False
        try:
            self._writer.flush()
            self._stream.begin_summary()
            self._writer.finish()
            self._stream.finish()
        except OSError:
            with contextlib.suppress(OSError):
                self._stream.finish_without_summary()
            raise
        finally:
            self._in_chunk = 0
            self._finished_bytes += self._stream.size
            self._stream.close()

    def _add(self, topic: BagTopic, stamp: int, data: bytes) -> None:
        sequence = self._sequence.get(topic, 0) + 1
        self._sequence[topic] = sequence
        before = self._stream.pending
        self._writer.add_message(self._channel(topic), stamp, data, stamp, sequence & 0xFFFFFFFF)
        self._in_chunk = (
            0 if self._stream.pending > before else self._in_chunk + len(data))
        self._is_new = True
        self._counts[topic] = self._counts.get(topic, 0) + 1
        self._files[-1].span.add(stamp)
        self._total.add(stamp)

    def _channel(self, topic: BagTopic) -> int:
        if topic not in self._channels:
            kind = topic.type
            if kind.name not in self._schemas:
                self._schemas[kind.name] = self._writer.register_schema(
                    kind.name, 'ros2msg', kind.definition.encode())
            self._channels[topic] = self._writer.register_channel(
                topic.name, 'cdr', self._schemas[kind.name],
                {'offered_qos_profiles': topic.qos, 'topic_type_hash': kind.digest})
        return self._channels[topic]

    def _is_full(self, stamp: int) -> bool:
        size, duration = self._split.size, self._split.duration
        return bool((size and self._stream.size + self._in_chunk >= size) or
                    (duration and time.monotonic() - self._opened >= duration))

    def _write_metadata(self) -> None:
        write_metadata(self.path, self._files, self._total, list(self._counts.items()))
