"""Images in a bag: detection of bags and of camera topics, and reading of images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
import re

import numpy as np

from mtl_perception.bags.metadata import METADATA
from mtl_perception.bags.reading import (
    BAG_SUFFIXES,
    COMPRESSED_IMAGE,
    IMAGE,
    image_pixels,
    is_bag_folder,
    message_stamp,
    opened_bag,
)
from mtl_perception.errors import DataError
from mtl_perception.images.listing import is_image_name
from mtl_perception.stretch import SmoothStretch

_NOT_A_CAMERA = re.compile(r'depth|disparity|segment|mask|label|overlay|heat|annotat', re.I)
"""Parts of the names of topics with derived images."""


@dataclass(frozen=True, eq=False)
class RecordedImage:
    """An image of a bag."""

    stamp: int
    """Nanoseconds: of the header, or the time of recording if the header has none."""
    image: np.ndarray
    """uint8 [height, width, 3] RGB."""


def is_bag(path: Path) -> bool:
    """
    Return whether `path` looks like a bag.

    That is a file of a bag's suffix, a rosbag2 folder, or a folder without metadata.yaml that has
    files of a bag and no image.
    """
    if not path.is_dir():
        return path.suffix.lower() in BAG_SUFFIXES
    return is_bag_folder(path) and (
        (path / METADATA).is_file() or not any(map(is_image_name, path.iterdir())))


def image_topic(path: Path, wanted: str = '') -> str:
    """
    Return the camera topic of `path`: `wanted`, or else the most likely one.

    That is the one with most messages among those without a derived image (depth, masks, overlays)
    in the name. DataError if the bag cannot be read or has no images.
    """
    with opened_bag(path) as bag:
        counts: dict[str, int] = {}
        for connection in bag.connections:
            if connection.msgtype in (IMAGE, COMPRESSED_IMAGE) and connection.msgcount:
                counts[connection.topic] = counts.get(connection.topic, 0) + connection.msgcount
    if wanted:
        if wanted not in counts:
            raise DataError(f'bag {path} has no images on {wanted}'
                            + (f'; it has them on {", ".join(sorted(counts))}' if counts else ''))
        return wanted
    if not counts:
        raise DataError(f'bag {path} has no images ({IMAGE} or {COMPRESSED_IMAGE})')
    return min(counts, key=lambda topic: (
        bool(_NOT_A_CAMERA.search(topic)), -counts[topic], len(topic), topic))


def read_images(path: Path, topic: str, black_hot: bool = False) -> Iterator[RecordedImage]:
    """
    Yield the images of `topic` in the order of recording.

    Those of more than 8 bits are stretched as those of one stream. Raises DataError, naming the
    message, if the bag or an image is broken.
    """
    stretch = SmoothStretch()
    with opened_bag(path) as bag:
        chosen = [item for item in bag.connections if item.topic == topic
                  and item.msgtype in (IMAGE, COMPRESSED_IMAGE)]
        if not chosen:
            raise DataError(f'bag {path} has no images on {topic}')
        for number, (_, time, message) in enumerate(bag.messages(chosen)):
            where = f'bag {path}: image {number} of {topic}'
            stamp = message_stamp(message, where) or time
            yield RecordedImage(stamp, image_pixels(message, where, partial(
                stretch.frame, stamp=stamp, black_hot=black_hot)))
