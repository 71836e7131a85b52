"""
Recording a bag in a separate thread, from a queue bounded in bytes.

Receivers only put messages into the queue. The thread compresses images, writes, and commits about
once a second; it finishes the bag before the disk is full.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
import os
import threading
import time

from mtl_perception.bags.compressed_images import compressed_message
from mtl_perception.bags.metadata import BagTopic
from mtl_perception.bags.writer import BagWriter
from mtl_perception.encodings import FrameError
from mtl_perception.errors import one_line

_COMMIT_EVERY = 1.0
"""Seconds; a power cut loses at most this and the duration of one commit."""

_LOOK_EVERY_BYTES = 256 << 10
"""Bytes written between two checks of the free space."""

_LEAST_FREE = 1 << 20
"""Bytes reserved for the index."""

_SAY_DROPS_EVERY = 5.0


@dataclass(frozen=True)
class RecordingLimits:
    """Limits of a recording."""

    queue: int = 128 << 20
    """Maximum bytes of queued messages."""
    free: int = 500_000_000
    """Bytes kept free on the disk, or a tenth of it if that is less."""


@dataclass(eq=False)
class Source:
    """A stream of messages, its topic in the bag, and its counts."""

    topic: BagTopic
    compressed: BagTopic | None = None
    """Topic of its compressed images; None: recorded unchanged."""
    kind: str = 'jpeg'
    quality: int = 75
    messages: int = 0
    dropped: int = 0
    failed: bool = False
    """Whether an image was recorded raw because it could not be compressed."""


class Recording:
    """Records messages until `close`, or until the disk is full or broken."""

    def __init__(self, bag: BagWriter, limits: RecordingLimits,
                 warn: Callable[[str], None]) -> None:
        """Start the thread; it calls `warn` with one-line messages for the user."""
        self._bag = bag
        self._limits = limits
        self._warn = warn
        self._queue: deque[tuple[Source, int, bytes]] = deque()
        self._waiting = 0
        self._changed = threading.Condition()
        self._closing = False
        self._end_by = float('inf')
        self._looked_at = 0
        self._received = 0
        self._drops_said = -float('inf')
        self._unsaid: dict[str, int] = {}
        self.stopped = ''
        """Reason why recording has stopped; empty while recording."""
        self._thread = threading.Thread(target=self._run, name='recording', daemon=True)
        self._thread.start()

    @property
    def size(self) -> int:
        """Bytes of the bag's files."""
        return self._bag.size

    @property
    def waiting(self) -> int:
        """Bytes in the queue."""
        return self._waiting

    @property
    def file(self) -> str:
        """Path of the current file."""
        return str(self._bag.file)

    def free(self) -> tuple[int, int]:
        """Return the free bytes on the disk, and the limit at which recording stops."""
        space = os.statvfs(self._bag.path)
        guard = min(self._limits.free, space.f_blocks * space.f_frsize // 10)
        return space.f_bavail * space.f_frsize, max(guard, _LEAST_FREE + (self.size >> 12))

    def put(self, source: Source, stamp: int, data: bytes) -> None:
        """Queue a message received at `stamp` (ns since the epoch); thread-safe, never blocks."""
        with self._changed:
            if self.stopped or self._closing:
                source.dropped += 1
                return
            if self._queue and self._waiting + len(data) > self._limits.queue:
                source.dropped += 1
                name = source.topic.name
                self._unsaid[name] = self._unsaid.get(name, 0) + 1
                return
            self._queue.append((source, stamp, data))
            self._waiting += len(data)
            self._changed.notify()

    def close(self, within: float) -> None:
        """Write queued messages, for at most `within` seconds, and finish the bag."""
        with self._changed:
            self._closing = True
            self._end_by = time.monotonic() + within
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._record()
        except OSError as error:
            self._stop(error.strerror or str(error))
        except Exception as error:  # the node continues after any error
            self._stop(f'{type(error).__name__}: {one_line(error, 200)}')
        self._finish()

    def _record(self) -> None:
        commit_at = time.monotonic() + _COMMIT_EVERY
        while not self.stopped:
            item = self._next(commit_at)
            now = time.monotonic()
            if item is not None:
                if now > self._end_by:
                    item[0].dropped += 1
                    name = item[0].topic.name
                    self._unsaid[name] = self._unsaid.get(name, 0) + 1
                else:
                    self._write(*item)
            elif self._closing:
                break
            due = time.monotonic() >= commit_at
            if due or self._received - self._looked_at > _LOOK_EVERY_BYTES:
                self._guard()
            if due and not self.stopped:
                self._bag.commit()
                commit_at = time.monotonic() + _COMMIT_EVERY
            self._say_drops()
        self._say_drops(at_once=True)

    def _next(self, until: float) -> tuple[Source, int, bytes] | None:
        """Wait for a message; None if none arrives in time, or at the end."""
        with self._changed:
            if not self._queue and not self._closing:
                self._changed.wait(max(0.0, until - time.monotonic()))
            if not self._queue:
                return None
            item = self._queue.popleft()
            self._waiting -= len(item[2])
            return item

    def _write(self, source: Source, stamp: int, data: bytes) -> None:
        topic = source.topic
        if source.compressed is not None:
            try:
                data = compressed_message(data, source.kind, source.quality)
                topic = source.compressed
            except FrameError as error:
                if not source.failed:
                    source.failed = True
                    self._warn(f'images of {topic.name} that cannot be compressed are recorded '
                               f'raw: {error}')
        self._bag.write(topic, stamp, data)
        self._received += len(data)
        source.messages += 1

    def _guard(self) -> None:
        self._looked_at = self._received
        free, least = self.free()
        if free - self._bag.pending < least:
            self._stop(f'{free / 1e6:.1f} MB are free on the disk, {least / 1e6:.1f} MB are '
                       'kept free (parameter min_free_space)')

    def _stop(self, reason: str) -> None:
        with self._changed:
            self.stopped = reason
            for source, *_ in self._queue:
                source.dropped += 1
            self._queue.clear()
            self._waiting = 0

    def _finish(self) -> None:
        trouble: Exception | None
        try:
            trouble = self._bag.finish()
        except Exception as error:
            trouble = error
        if self.stopped:
            self._warn(f'recording stopped: {self.stopped}; '
                       + ('the bag is complete' if trouble is None else
                          f'the bag can be read up to the last second ({trouble})'))
        elif trouble is not None:
            self.stopped = str(trouble)
            self._warn(f'the bag can be read, but could not be finished: {trouble}')

    def _say_drops(self, at_once: bool = False) -> None:
        now = time.monotonic()
        if not self._unsaid or (not at_once and now - self._drops_said < _SAY_DROPS_EVERY):
            return
        with self._changed:
            unsaid, self._unsaid = self._unsaid, {}
        self._drops_said = now
        self._warn('the disk or the processor is too slow; dropped: ' + ', '.join(
            f'{name} {count}' for name, count in sorted(unsaid.items())))
