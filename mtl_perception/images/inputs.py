"""Images of an input path: an image file, a folder of images or a video."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mtl_perception.errors import DataError
from mtl_perception.images.listing import distinct_stems, is_image_name, list_images, SUFFIXES
from mtl_perception.images.reading import read_image
from mtl_perception.images.video import Video
from mtl_perception.stretch import stretched

VIDEO_SUFFIXES = ('.avi', '.m4v', '.mjpeg', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.mts', '.ts',
                  '.webm', '.wmv')
"""Restricted by suffix, because FFmpeg would play text files and open the entries of playlists."""


@dataclass(frozen=True)
class InputImage:
    """An image that has not been read yet."""

    name: str
    """Base name for files about it, without suffix; unique within its input."""
    file_name: str
    read: Callable[[], np.ndarray]
    """Return it as uint8 [H, W, 3] BGR; DataError if it cannot be read."""


@dataclass(frozen=True)
class InputImages:
    """The images of an input, in order."""

    count: int | None
    """Their number; None if unknown until the end."""
    items: Iterator[InputImage]


def open_images(path: Path, black_hot: bool = False) -> InputImages:
    """
    Return the images of `path`: an image, the images of a folder by name, or a video's frames.

    An image `a.jpg` has the name `a`, or `a.jpg` if the folder also has an `a.png` or an image of
    the name `a`; frame 1 of `a.mp4` has the name `a_000001`. Images of more than 8 bits are
    stretched, with high values white unless `black_hot`. Raises DataError if there are none;
    `items` raises it after the last frame of a video that is cut off or damaged.
    """
    stretch = partial(stretched, black_hot=black_hot)
    if path.is_dir():
        files = list_images(path)
        names = distinct_stems([file.name for file in files])
        return InputImages(len(files), (
            InputImage(name, file.name, partial(read_image, file, 'bgr', stretch))
            for name, file in zip(names, files, strict=True)))
    if not path.exists():
        raise DataError(f'{path}: no such file or folder; give an image, a folder or a video')
    if not path.is_file():
        raise DataError(f'{path}: not a regular file; give an image, a folder or a video')
    if is_image_name(path):
        only = InputImage(path.stem, path.name, partial(read_image, path, 'bgr', stretch))
        return InputImages(1, iter([only]))
    if not is_video_name(path):
        raise DataError(
            f'{path}: neither an image ({", ".join(SUFFIXES)}) nor a video '
            f'({", ".join(VIDEO_SUFFIXES)}) by its name')
    video = Video(path)
    return InputImages(video.count, _frames(path, video.frames(black_hot)))


def is_video_name(path: Path) -> bool:
    """Return whether the suffix is that of a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def _frames(path: Path, frames: Iterator[np.ndarray]) -> Iterator[InputImage]:
    for number, frame in enumerate(frames, 1):
        name = f'{path.stem}_{number:06d}'
        yield InputImage(name, f'{name}.jpg', partial(_same, frame))


def _same(image: np.ndarray) -> np.ndarray:
    return image
