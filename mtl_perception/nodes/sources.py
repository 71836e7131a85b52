"""Where the camera node has its images from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
import re
from typing import Protocol
from urllib.parse import urlsplit

import cv2
import numpy as np

from mtl_perception.data.synthetic import SyntheticFlight
from mtl_perception.errors import ConfigError, DataError
from mtl_perception.inference.pictures import read_picture, SUFFIXES, VIDEO_SUFFIXES
from mtl_perception.nodes.camera_parameters import CameraParameters

DEFAULT_RATE = 10.0
"""Images per second of a source that has no rate of its own."""

_DEVICE = re.compile(r'(?:/dev/video)?(\d{1,3})')


class Source(Protocol):
    """A source of images."""

    name: str
    """What a log may say of it: no passwords."""
    order: str
    """Order of the channels of its images: 'rgb' or 'bgr'."""
    rate: float
    """Its own images per second."""
    live: bool
    """Whether it comes at its own pace and has no end; what is not taken in time is gone."""

    def images(self) -> Iterator[np.ndarray]:
        """Yield uint8 [height, width, 3] from the beginning; DataError where it cannot be read."""


def open_source(parameters: CameraParameters, warn: Callable[[str], object]) -> Source:
    """
    Return the source that `parameters.source` names; `warn` is told what it leaves out.

    ConfigError or DataError says why there is none.
    """
    text = parameters.source
    if text.startswith('synthetic:'):
        seed = text.partition(':')[2]
        if not seed.isdecimal():
            raise ConfigError(f'source {text!r}: the seed after `synthetic:` is a whole number')
        return SyntheticSource(
            int(seed), parameters.width, parameters.height, parameters.frames,
            parameters.rate or DEFAULT_RATE)
    if device := _DEVICE.fullmatch(text):
        return CaptureSource(
            f'video device {device[1]}', int(device[1]), cv2.CAP_ANY, live=True)
    if ' ! ' in text:
        if cv2.CAP_GSTREAMER not in cv2.videoio_registry.getBackends():
            raise ConfigError('this OpenCV is built without GStreamer; use an URL or a device')
        return CaptureSource('GStreamer pipeline', text, cv2.CAP_GSTREAMER, live=True)
    if '://' in text:
        url = urlsplit(text)
        return CaptureSource(
            f'{url.scheme}://{url.hostname}{url.path}', text, cv2.CAP_ANY, live=True)
    path = Path(text).expanduser()
    if path.is_dir():
        return FolderSource(path, warn)
    if path.is_file():
        # As `mtl predict` does: FFmpeg would play text files and fetch what playlists name.
        if path.suffix.lower() not in VIDEO_SUFFIXES:
            raise DataError(
                f'source {text!r} is no video by its name ({", ".join(VIDEO_SUFFIXES)})')
        return CaptureSource(str(path), str(path), cv2.CAP_ANY, live=False)
    raise DataError(
        f'source {text!r} is no folder, video file, device number, URL or synthetic:SEED')


class FolderSource:
    """The images of a folder, by name."""

    order = 'bgr'
    rate = DEFAULT_RATE
    live = False

    def __init__(self, path: Path, warn: Callable[[str], object]) -> None:
        self.name = str(path)
        self._warn = warn
        self._paths = sorted(
            item for item in path.iterdir()
            if item.suffix.lower() in SUFFIXES and item.is_file())
        if not self._paths:
            raise DataError(f'{path} has no images ({", ".join(SUFFIXES)})')

    def images(self) -> Iterator[np.ndarray]:
        broken = 0
        for path in self._paths:
            try:
                image = read_picture(path)
            except DataError as error:
                broken += 1
                self._warn(f'left out: {error}')
            else:
                yield image
        if broken == len(self._paths):
            raise DataError(f'none of the {broken} images in {self.name} can be read')


@dataclass
class CaptureSource:
    """A video file, camera or stream, through OpenCV."""

    name: str
    _target: str | int
    _backend: int
    live: bool
    order: str = 'bgr'
    rate: float = 0.0

    def __post_init__(self) -> None:
        # Opened here too, so that a wrong name is known at start.
        capture = self._open()
        rate = capture.get(cv2.CAP_PROP_FPS)
        capture.release()
        # Some files say 0, NaN or 90000.
        self.rate = rate if 0 < rate <= 1000 else DEFAULT_RATE

    def images(self) -> Iterator[np.ndarray]:
        capture = self._open()
        try:
            while True:
                good, image = capture.read()
                if not good:
                    return
                yield image
        finally:
            capture.release()

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(self._target, self._backend)
        if not capture.isOpened():
            raise DataError(f'{self.name} cannot be opened as a video')
        if self.live:
            # Frames that wait in the driver only grow old.
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        return capture


class SyntheticSource:
    """A synthetic flight."""

    order = 'rgb'
    live = False

    def __init__(self, seed: int, width: int, height: int, frames: int, rate: float) -> None:
        self.name = f'synthetic flight {seed}'
        self.rate = rate
        self._flight = SyntheticFlight(seed, width, height, frames, rate)

    def images(self) -> Iterator[np.ndarray]:
        for index in range(len(self._flight)):
            yield self._flight[index].image
