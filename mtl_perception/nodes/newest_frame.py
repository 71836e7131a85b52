"""A slot for one frame, where a newer one takes the place of the one that waits."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar('T')


class NewestFrame(Generic[T]):
    """
    Hands the newest frame from the thread that receives to the thread that works.

    While the worker is busy the latest frame waits here; the one before it is dropped, so the
    worker never sees an older frame than it has to. Closing it lets the worker go.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._frame: T | None = None
        self._closed = False

    def put(self, frame: T) -> bool:
        """Leave a frame for the worker; return whether one that waited was dropped for it."""
        with self._changed:
            dropped = self._frame is not None
            if not self._closed:
                self._frame = frame
                self._changed.notify()
            return dropped

    def take(self) -> T | None:
        """Wait for a frame and return it; None as soon as the slot is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None or self._closed)
            frame, self._frame = self._frame, None
            return None if self._closed else frame

    def close(self) -> bool:
        """End every `take`, now and from now on; return whether one that waited was dropped."""
        with self._changed:
            dropped = self._frame is not None
            self._closed = True
            self._frame = None
            self._changed.notify_all()
            return dropped
