"""Pictures to look at, from an image, a folder of images or a video."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from mtl_perception.errors import DataError

SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')

VIDEO_SUFFIXES = ('.avi', '.m4v', '.mjpeg', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.mts', '.ts',
                  '.webm', '.wmv')
"""By name, because FFmpeg would play text files and fetch what playlists name."""

_MAX_BYTES = 1 << 30


@dataclass(frozen=True)
class Picture:
    """A picture that is not read yet."""

    name: str
    """What to call files about it, without suffix; no other picture of the same input has it."""
    file_name: str
    read: Callable[[], np.ndarray]
    """Return it as uint8 [H, W, 3] BGR; DataError where it cannot be read."""


@dataclass(frozen=True)
class Pictures:
    """The pictures of an input, in order."""

    count: int | None
    """How many there are; None where only the end will tell."""
    items: Iterator[Picture]


def open_pictures(path: Path) -> Pictures:
    """
    Return the pictures of `path`: an image, the images of a folder by name, or a video's frames.

    A picture `a.jpg` has the name `a`, or `a.jpg` where the folder has an `a.png` too; frame 1 of
    `a.mp4` has the name `a_000001`. Raises DataError where there are none.
    """
    if path.is_dir():
        files = sorted(item for item in path.iterdir()
                       if item.suffix.lower() in SUFFIXES and item.is_file())
        if not files:
            raise DataError(f'{path}: no images in this folder ({", ".join(SUFFIXES)})')
        stems = Counter(file.stem for file in files)
        return Pictures(len(files), (
            Picture(file.stem if stems[file.stem] == 1 else file.name, file.name,
                    partial(read_picture, file))
            for file in files))
    if not path.exists():
        raise DataError(f'{path}: no such file or folder; give an image, a folder or a video')
    if not path.is_file():
        raise DataError(f'{path}: not a regular file; give an image, a folder or a video')
    if path.suffix.lower() in SUFFIXES:
        only = Picture(path.stem, path.name, partial(read_picture, path))
        return Pictures(1, iter([only]))
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        raise DataError(
            f'{path}: neither an image ({", ".join(SUFFIXES)}) nor a video '
            f'({", ".join(VIDEO_SUFFIXES)}) by its name')
    video = cv2.VideoCapture(str(path))
    count = int(video.get(cv2.CAP_PROP_FRAME_COUNT)) if video.isOpened() else 0
    good, first = video.read()
    if not good:
        raise DataError(f'{path}: not a video that this OpenCV can decode, or an empty one')
    return Pictures(count if count > 0 else None, _frames(path, video, first))


def read_picture(path: Path) -> np.ndarray:
    """
    Return the image file as uint8 [H, W, 3] BGR, turned upright by its EXIF orientation.

    Raises DataError where it cannot be decoded or has more than 8 bits a channel.
    """
    try:
        size = path.stat().st_size
        if size > _MAX_BYTES:
            raise DataError(f'{path}: has {size >> 20} MiB, above the limit of '
                            f'{_MAX_BYTES >> 20} MiB')
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DataError(f'{path}: cannot be read: {error.strerror}') from None
    try:
        image = (cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH) if data.size
                 else None)
    except cv2.error as error:
        raise DataError(f'{path}: cannot be decoded: {error.err}') from None
    if image is None:
        raise DataError(f'{path}: not an image that OpenCV can decode, or cut off')
    if image.dtype != np.uint8:
        raise DataError(f'{path}: has {image.dtype} pixels; convert it to 8 bits a channel')
    return image


def _frames(path: Path, video: cv2.VideoCapture, first: np.ndarray) -> Iterator[Picture]:
    frame, number, good = first, 1, True
    while good:
        name = f'{path.stem}_{number:06d}'
        yield Picture(name, f'{name}.jpg', partial(_same, frame))
        good, frame = video.read()
        number += 1
    video.release()


def _same(image: np.ndarray) -> np.ndarray:
    return image
