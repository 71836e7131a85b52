"""Where the camera node has its images from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
import re
from typing import Protocol

import cv2
import numpy as np

from mtl_perception.data.synthetic import SyntheticFlight
from mtl_perception.errors import ConfigError, DataError
from mtl_perception.files import expanded
from mtl_perception.images.inputs import is_video_name, VIDEO_SUFFIXES
from mtl_perception.images.listing import list_images
from mtl_perception.images.reading import read_image
from mtl_perception.images.video import Video
from mtl_perception.nodes.camera_parameters import CameraParameters
from mtl_perception.nodes.capture import LiveSource
from mtl_perception.nodes.stream_names import check_scheme, stream_name
from mtl_perception.stretch import SmoothStretch

DEFAULT_RATE = 10.0
"""Images per second of a source without a rate."""

_DEVICE = re.compile(r'(\d{1,3})|/dev/\S+')


class Source(Protocol):
    """A finite or repeatable source of images that is read at the requested rate."""

    name: str
    """Its name in logs: no passwords."""
    order: str
    """Order of the channels of its images: 'rgb' or 'bgr'."""
    rate: float
    """Its own images per second."""
    live: bool
    """False; see `capture.LiveSource` for sources with their own pace."""

    def images(self) -> Iterator[np.ndarray]:
        """Yield uint8 [height, width, 3] from the beginning; DataError where it cannot be read."""


def open_source(
        parameters: CameraParameters, warn: Callable[[str], object],
        inform: Callable[[str], object]) -> Source | LiveSource:
    """
    Return the source that `parameters.source` names; `warn` receives what it skips.

    A live source is opened later and may appear then; `warn` receives its breaks, `inform`
    its returns. Raises ConfigError or DataError where it does not exist or its name is invalid.
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
        return _device(f'/dev/video{int(text)}' if device[1] else text, parameters, warn, inform)
    if ' ! ' in text:
        if not _has(cv2.CAP_GSTREAMER):
            raise ConfigError('this OpenCV is built without GStreamer; use an URL or a device')
        return LiveSource(
            'GStreamer pipeline', text, cv2.CAP_GSTREAMER, parameters.timeout, warn, inform)
    if '://' in text:
        name = stream_name(text)
        # Not any backend: one that treats the URL as a file name would print it.
        if not _has(cv2.CAP_FFMPEG):
            raise ConfigError('this OpenCV is built without FFmpeg; use a GStreamer pipeline')
        return LiveSource(name, text, cv2.CAP_FFMPEG, parameters.timeout, warn, inform)
    path = expanded(text)
    if path.is_dir():
        return FolderSource(path, warn, parameters.black_hot)
    if path.is_file():
        # As `mtl predict` does: FFmpeg would play text files and fetch what playlists name.
        if not is_video_name(path):
            raise DataError(
                f'source {text!r} is no video by its name ({", ".join(VIDEO_SUFFIXES)})')
        return VideoSource(path, warn, parameters.black_hot)
    check_scheme(text)
    raise DataError(
        f'source {text!r} is no folder, video file, device number, URL or synthetic:SEED')


def _device(
        path: str, parameters: CameraParameters, warn: Callable[[str], object],
        inform: Callable[[str], object]) -> LiveSource:
    """Return a V4L2 device; one that is not there at the start is more likely a wrong name."""
    number = path.removeprefix('/dev/video')
    name = f'video device {number if number.isdecimal() else path}'
    if not Path(path).is_char_device():
        there = sorted(str(item) for item in Path('/dev').glob('video*'))
        raise DataError(f'{name} cannot be opened: {path} is no device here; there '
                        + (f'are {", ".join(there)}' if there else 'is no video device at all'))
    # By the path, because a number may mean one of several backends.
    backend = cv2.CAP_V4L2 if _has(cv2.CAP_V4L2) else cv2.CAP_ANY
    return LiveSource(name, path, backend, parameters.timeout, warn, inform, parameters.black_hot)


def _has(backend: int) -> bool:
    """Return whether this OpenCV can use a backend; it lists plugins that are not there, too."""
    return bool(cv2.videoio_registry.hasBackend(backend))


class FolderSource:
    """The images of a folder, by name."""

    order = 'bgr'
    rate = DEFAULT_RATE
    live = False

    def __init__(self, path: Path, warn: Callable[[str], object],
                 black_hot: bool = False) -> None:
        self.name = str(path)
        self._warn = warn
        self._black_hot = black_hot
        self._paths = list_images(path)

    def images(self) -> Iterator[np.ndarray]:
        broken = 0
        stretch = partial(SmoothStretch().frame, black_hot=self._black_hot)
        for path in self._paths:
            try:
                image = read_image(path, 'bgr', stretch)
            except DataError as error:
                broken += 1
                self._warn(f'skipped: {error}')
            else:
                yield image
        if broken == len(self._paths):
            raise DataError(f'none of the {broken} images in {self.name} can be read')


class VideoSource:
    """A video file; `warn` receives that it is cut off, after its last image."""

    order = 'bgr'
    live = False

    def __init__(self, path: Path, warn: Callable[[str], object],
                 black_hot: bool = False) -> None:
        self.name = str(path)
        self._path = path
        self._warn = warn
        self._black_hot = black_hot
        # Opened here too, so that a wrong name is known at start.
        self.rate = Video(path).rate or DEFAULT_RATE

    def images(self) -> Iterator[np.ndarray]:
        frames = Video(self._path).frames(self._black_hot)
        try:
            yield from frames
        except DataError as error:
            self._warn(str(error))


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
