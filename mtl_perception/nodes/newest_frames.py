"""A slot for one frame of each camera, in which a newer frame replaces the waiting one."""

from __future__ import annotations

from collections.abc import Hashable
import threading
from typing import Generic, TypeVar

Camera = TypeVar('Camera', bound=Hashable)
T = TypeVar('T')


class NewestFrames(Generic[Camera, T]):
    """
    Hands the newest frame of each camera from the thread that receives to the thread that works.

    While the worker is busy the latest frame of each camera waits here; the one before it is
    dropped, so the worker never sees an older frame than it has to. Where more frames wait than
    the worker takes, those cameras come first that were served longest ago: none waits for more
    than one frame of each other. Closing it releases the worker.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._frames: dict[Camera, T] = {}
        self._served: dict[Camera, int] = {}
        self._turn = 0
        self._closed = False

    def put(self, camera: Camera, frame: T) -> bool:
        """Leave a frame for the worker; return whether one that waited was dropped for it."""
        with self._changed:
            dropped = camera in self._frames
            if not self._closed:
                self._frames[camera] = frame
                self._changed.notify()
            return dropped

    def take(self, most: int = 1) -> list[tuple[Camera, T]]:
        """
        Wait for a frame, and return it and what else waits: at most `most` frames, one a camera.

        Empty as soon as the slots are closed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._frames or self._closed)
            turn = sorted(self._frames, key=lambda camera: self._served.get(camera, -1))[:most]
            self._turn += 1
            self._served.update(dict.fromkeys(turn, self._turn))
            return [(camera, self._frames.pop(camera)) for camera in turn]

    def close(self) -> list[Camera]:
        """End every `take`, now and from now on; return the cameras whose frame was dropped."""
        with self._changed:
            dropped = [*self._frames]
            self._closed = True
            self._frames.clear()
            self._changed.notify_all()
            return dropped
