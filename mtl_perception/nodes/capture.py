"""
Cameras and streams as they come: the newest image of a device, URL or pipeline through OpenCV.

A thread reads as fast as images come and keeps the newest alone, so that nothing grows old in a
buffer. What breaks, or is not there yet, is opened again after 0.5, 1, 2, 4, ... up to 10 s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
import os
import sys
import threading
import time

import cv2
import numpy as np

from mtl_perception.nodes.newest_frames import NewestFrames
from mtl_perception.stretch import SmoothStretch

CONNECTING, STREAMING, BROKEN = 'connecting', 'streaming', 'broken'
"""States of a live source."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0
"""Seconds until a source is opened again: at first, and at most."""

_OPEN_FACTOR = 2
"""Opening takes longer than reading: the first key frame of a video must arrive."""

_MOST_BAD_READS = 30
"""Consecutive reads that may fail: damaged packets do not end a stream."""

_CLOSE = 0.3
"""Seconds that the end waits for the image that is being read."""

_THREAD = 'capture'

_DEEP_GREY = (b'Y10 ', b'Y12 ', b'Y16 ')
"""Grey pixel formats of V4L2 with more than 8 bits, of which OpenCV would return the high byte."""

MOST_AGE = 5.0
"""Seconds: a capture time that is older is of another clock."""

# What an URL brings, such as a playlist, is never fetched from the disk. An H.264 stream is not
# searched for its rate, which would take seconds. `nobuffer` is not used: it throws the first key
# frame away, and the reading thread is done with what is buffered at once.
_FFMPEG_OPTIONS = (
    'rtsp_flags;prefer_tcp|fpsprobesize;0|protocol_whitelist;'
    'rtsp,rtmp,rtmps,http,https,httpproxy,crypto,tls,tcp,udp,rtp,srt')


@dataclass(frozen=True)
class LiveFrame:
    """An image and when it was."""

    pixels: np.ndarray
    """uint8 [height, width, 3] BGR."""
    arrived: float
    """When it was there, in seconds of the monotonic clock."""
    captured: float | None
    """Capture time in seconds of the monotonic clock; None if unknown."""


@dataclass(frozen=True)
class LiveState:
    """What is known of a live source at one moment."""

    state: str = CONNECTING
    breaks: int = 0
    """How often it broke."""
    reconnects: int = 0
    """Number of reconnections."""
    reason: str = ''
    """Why it is not streaming; empty where it is."""


def exit_over_captures(code: int) -> None:
    """
    End the process at once with this exit code where a capture is still being opened or read.

    Nothing interrupts OpenCV there, and Python, which ends a thread that comes back to it while
    the interpreter is shut down, would abort the process.
    """
    if any(thread.name == _THREAD for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def plausible_capture_time(milliseconds: float, arrived: float) -> float | None:
    """
    Return the capture time of a V4L2 buffer in seconds of the monotonic clock.

    OpenCV hands the buffer's time stamp out as CAP_PROP_POS_MSEC (cap_v4l.cpp); it is of the
    monotonic clock with all but old drivers. None where it cannot be: unset, later than the
    arrival, or more than `MOST_AGE` before it.
    """
    captured = milliseconds / 1e3
    return captured if captured > 0 and 0 <= arrived - captured <= MOST_AGE else None


class Backoff:
    """The pauses between attempts: doubled each time, from the beginning after a success."""

    def __init__(self) -> None:
        self._next = _FIRST_PAUSE

    def pause(self) -> float:
        """Return the seconds until the next attempt."""
        pause, self._next = self._next, min(self._next * 2, _LONGEST_PAUSE)
        return pause

    def reset(self) -> None:
        self._next = _FIRST_PAUSE


class LiveSource:
    """A camera or stream: endless, and an image that is not fetched in time is lost."""

    order = 'bgr'
    rate = 0.0
    live = True

    def __init__(
            self, name: str, target: str | int, backend: int, timeout: float,
            warn: Callable[[str], object], inform: Callable[[str], object],
            black_hot: bool = False) -> None:
        """
        Store what to open; nothing is opened yet.

        `name` is its name in logs, without secrets. Without an image for `timeout` seconds it is
        broken. `warn` receives each break and `inform` each return, in one line. High values of
        images of more than 8 bits are white, or black if `black_hot`.
        """
        self.name = name
        self.state = LiveState()
        self._target = target
        self._backend = backend
        self._timeout = timeout
        self._warn = warn
        self._inform = inform
        self._black_hot = black_hot
        self._newest: NewestFrames[str, LiveFrame] = NewestFrames()
        self._ended = threading.Event()
        self._backoff = Backoff()
        self._since = 0.0
        self._defect: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=_THREAD, daemon=True)
        # Both are read at each opening, the latter only by newer releases.
        os.environ.setdefault('OPENCV_FFMPEG_CAPTURE_OPTIONS', _FFMPEG_OPTIONS)
        os.environ.setdefault('OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT', str(max(1, round(timeout))))

    def frames(self) -> Iterator[LiveFrame]:
        """Open it and yield the newest image each time, until `close`; once only."""
        self._since = time.monotonic()
        self._thread.start()
        while taken := self._newest.take():
            yield taken[0][1]
        if self._defect is not None:
            raise self._defect

    def close(self) -> None:
        """End `frames`; a read that gives nothing may hold the thread for `timeout` longer."""
        self._ended.set()
        self._newest.close()
        if self._thread.is_alive():
            self._thread.join(timeout=_CLOSE)

    def _run(self) -> None:
        try:
            while not self._ended.is_set():
                reason = self._stream()
                if self._ended.is_set():
                    return
                self._tell_break(reason)
                self._ended.wait(self._backoff.pause())
        except Exception as error:
            # It is raised in the thread that fetches the images.
            self._defect = error
            self._newest.close()

    def _stream(self) -> str:
        """Open it and read until it breaks; return why."""
        try:
            capture = cv2.VideoCapture(self._target, self._backend, self._parameters())
        except cv2.error:
            # Its text may have the URL in it.
            return 'cannot be opened'
        try:
            return self._read(capture)
        except cv2.error:
            return 'cannot be decoded'
        finally:
            capture.release()

    def _read(self, capture: cv2.VideoCapture) -> str:
        if not capture.isOpened():
            return 'cannot be opened'
        is_v4l2 = self._backend == cv2.CAP_V4L2
        if not isinstance(self._target, str) or is_v4l2:
            # Frames that wait in the driver only grow old.
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        if is_v4l2 and _pixel_format(capture) in _DEEP_GREY:
            capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
        stretch = SmoothStretch()
        bad = 0
        while not self._ended.is_set():
            begin = time.monotonic()
            good, pixels = capture.read()
            arrived = time.monotonic()
            if not good or pixels is None:
                bad += 1
                if arrived - begin >= 0.5 * self._timeout:
                    return f'gives no images for {arrived - begin:.1f} s'
                if bad > _MOST_BAD_READS:
                    return 'has ended'
                continue
            bad = 0
            captured = plausible_capture_time(
                capture.get(cv2.CAP_PROP_POS_MSEC), arrived) if is_v4l2 else None
            if pixels.dtype != np.uint8:
                pixels = stretch.frame(pixels, round(arrived * 1e9), self._black_hot)
            if pixels.ndim == 2:
                pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
            self._tell_return(pixels)
            self._newest.put(self.name, LiveFrame(pixels, arrived, captured))
        return ''

    def _parameters(self) -> list[int]:
        if self._backend != cv2.CAP_FFMPEG:
            return []
        milliseconds = round(self._timeout * 1e3)
        parameters = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, milliseconds * _OPEN_FACTOR,
                      cv2.CAP_PROP_READ_TIMEOUT_MSEC, milliseconds]
        # Each further thread of a decoder holds one more image back. Since OpenCV 4.9.
        if (threads := getattr(cv2, 'CAP_PROP_N_THREADS', None)) is not None:
            parameters += [threads, 1]
        return parameters

    def _tell_break(self, reason: str) -> None:
        if self.state.state == BROKEN:
            return
        broke = self.state.state == STREAMING
        self.state = replace(
            self.state, state=BROKEN, reason=reason, breaks=self.state.breaks + broke)
        self._since = time.monotonic()
        self._warn(f'{self.name} {reason}; trying again until it is available')

    def _tell_return(self, pixels: np.ndarray) -> None:
        if self.state.state == STREAMING:
            return
        self._backoff.reset()
        back = self.state.breaks > 0
        self.state = replace(
            self.state, state=STREAMING, reason='', reconnects=self.state.reconnects + back)
        what = 'is back' if back else 'is available'
        self._inform(f'{self.name} {what} after {time.monotonic() - self._since:.1f} s, '
                     f'images of {pixels.shape[1]}x{pixels.shape[0]}')


def _pixel_format(capture: cv2.VideoCapture) -> bytes:
    """Return V4L2's four characters of the format of the driver's pixels."""
    code = capture.get(cv2.CAP_PROP_FOURCC)
    return int(code).to_bytes(4, 'little') if 0 <= code < 1 << 32 else b''
