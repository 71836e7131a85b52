"""The frames of the measurement, in a file read by all processes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mtl_perception.data.synthetic import SyntheticFlight
from mtl_perception.errors import ConfigError, DataError
from mtl_perception.images.inputs import open_images

SYNTHETIC = 'synthetic'
SIZE = (1280, 720)
"""Width and height of synthetic frames in pixels, as in common UAV videos."""

MAX_SIDE = 4096
MAX_FRAMES = 64
_FLIGHT = 300
"""Frames of the flight, of which evenly spread ones are used."""


@dataclass(frozen=True)
class FrameFile:
    """Frames in a .npy file: uint8 [N, H, W, 3] BGR."""

    path: Path
    source: str
    """'synthetic', or the name of the folder or file."""
    size: tuple[int, int]
    """Width and height in pixels."""
    count: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {'source': self.source, 'size': list(self.size), 'count': self.count}


def write_frames(images: Path | None, size: tuple[int, int] | None, count: int, path: Path
                 ) -> FrameFile:
    """
    Write frames to `path` and return their description.

    They are the first `count` images of `images`, all scaled to `size` or to that of the first;
    without `images`, frames of a synthetic flight. Raises DataError if an image cannot be read,
    ConfigError for an invalid size.
    """
    if not 1 <= count <= MAX_FRAMES:
        raise ConfigError(f'{count} frames are not in 1..{MAX_FRAMES}')
    if size and not all(32 <= side <= MAX_SIDE for side in size):
        raise ConfigError(f'size {size[0]}x{size[1]} is not in 32..{MAX_SIDE} pixels')
    if images is None:
        width, height = size or SIZE
        flight = SyntheticFlight(0, width, height, _FLIGHT)
        frames = [flight[index * _FLIGHT // count].image[..., ::-1] for index in range(count)]
    else:
        frames = [image.read() for image in islice(open_images(images).items, count)]
        height, width = frames[0].shape[:2]
        width, height = size or (width, height)
        frames = [image if image.shape[:2] == (height, width) else
                  cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
                  for image in frames]
    try:
        np.save(path, np.stack(frames))
    except OSError as error:
        raise DataError(f'{path}: cannot be written: {error.strerror}') from None
    return FrameFile(path, images.name if images else SYNTHETIC, (width, height), len(frames))
