"""Videos: their frames, and whether all that the file announces are there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import tempfile

import cv2
import numpy as np

from mtl_perception.errors import DataError
from mtl_perception.images.containers import read_container
from mtl_perception.stretch import SmoothStretch

_SHARES = {'MP4': 0.5, 'AVI': 0.9, 'Matroska': 0.9, 'ASF': 0.9}
"""
Container -> share of the announced frames, and of the announced time, below which both must be for
a video to be incomplete. Frame counts of variable rates and lengths of other streams are
estimates, and the edit list of a trimmed MP4 hides frames that its index counts.
"""

_DEEP_GREY = {tag: bits for bits in (9, 10, 12, 14, 16, 32)
              for tag in (bytes([*b'Y1\0', bits]), bytes([bits, 0, *b'1Y']))}
"""FFmpeg's tag of a grey pixel format, little and big endian -> its bits."""


class Video:
    """A video file that has been opened."""

    def __init__(self, path: Path) -> None:
        """Open the file; DataError if it is not a video that can be decoded, in full depth."""
        self._path = path
        self._container = read_container(path)
        self._capture = _open(path)
        pixels = int(self._capture.get(cv2.CAP_PROP_CODEC_PIXEL_FORMAT)) & 0xffffffff
        bits = _DEEP_GREY.get(pixels.to_bytes(4, 'little'), 8)
        if bits == 16:
            self._capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
        elif bits > 8:
            raise DataError(f'{path}: has grey pixels of {bits} bits, of which OpenCV would '
                            'return 8; convert it to 16 bits (ffmpeg -pix_fmt gray16le)')
        announced = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.count = announced if announced > 0 else None
        """Number of frames that the file announces, often an estimate; None if unknown."""
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if 0 < rate <= 1000 else None
        """Frames per second; None where the file has 0, NaN or 90000."""
        good, self._first = self._capture.read()
        if not good:
            raise DataError(f'{path}: not a video that this OpenCV can decode, or an empty one'
                            + ': ' * bool(self._container.problem) + self._container.problem)

    def frames(self, black_hot: bool = False) -> Iterator[np.ndarray]:
        """
        Yield the frames, once: uint8 [H, W, 3] BGR; grey ones of more than 8 bits are stretched.

        Raises DataError after the last one if the file is cut off, or has clearly fewer frames
        than it announces.
        """
        stretch, frame, number, good, time = SmoothStretch(), self._first, 0, True, 0.0
        try:
            while good:
                if frame.dtype != np.uint8:
                    frame = stretch.frame(
                        frame, round((number + 1) * 1e9 / (self.rate or 10)), black_hot)
                yield cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR) if frame.ndim == 2 else frame
                number += 1
                time = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3
                good, frame = self._capture.read()
        finally:
            self._capture.release()
        if self._container.problem:
            raise DataError(
                f'{self._path}: ends after {number} frames: {self._container.problem}')
        share = _SHARES.get(self._container.kind)
        if share and self.count and self.rate and number < share * self.count \
                and time < share * self.count / self.rate - 1 / self.rate:
            raise DataError(f'{self._path}: ends after {number} of {self.count} frames: it is '
                            'damaged')


def _open(path: Path) -> cv2.VideoCapture:
    name = str(path)
    try:
        name.encode()
    except UnicodeEncodeError:
        # OpenCV crashes with names that are not UTF-8.
        with tempfile.TemporaryDirectory() as folder:
            link = Path(folder) / f'video{path.suffix}'
            link.symlink_to(path.resolve())
            return cv2.VideoCapture(str(link))
    return cv2.VideoCapture(name)
