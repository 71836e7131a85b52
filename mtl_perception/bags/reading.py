"""
Reading of bags (rosbag2 in MCAP or SQLite, and rosbag1) without ROS.

Messages are decoded by the definitions stored in the bag; for bags without definitions, the
current standard ones are used. A broken bag raises a DataError that names it.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.interfaces import Connection
from rosbags.typesys import get_typestore, Stores

from mtl_perception.bags.metadata import COMPRESSED_IMAGE as COMPRESSED_IMAGE
from mtl_perception.bags.metadata import IMAGE as IMAGE
from mtl_perception.compressed import CompressedData, decode_compressed
from mtl_perception.encodings import decode_image, FrameError, RawImage
from mtl_perception.errors import DataError, one_line
from mtl_perception.stretch import stretched, StretchPixels


@contextlib.contextmanager
def opened_bag(path: Path) -> Iterator[AnyReader]:
    """Context manager of the open bag; DataError if it cannot be read."""
    with contextlib.ExitStack() as stack:
        try:
            reader = AnyReader([path], default_typestore=get_typestore(Stores.LATEST))
            stack.enter_context(reader)
        except Exception as error:  # on broken bags the library raises errors of many types
            raise DataError(f'bag {path} cannot be read: {_line(error)}') from None
        yield reader


def bag_messages(reader: AnyReader, path: Path, chosen: list[Connection], start: int | None = None,
                 stop: int | None = None) -> Iterator[tuple[Connection, int, Any]]:
    """
    Yield connection, time of recording in nanoseconds, and message, in the order of recording.

    Yields messages of the `chosen` connections recorded from `start` until before `stop`. Raises
    DataError if the bag is broken.
    """
    messages = reader.messages(chosen, start=start, stop=stop)
    while True:
        try:
            connection, time, data = next(messages)
            message = reader.deserialize(data, connection.msgtype)
        except StopIteration:
            return
        except Exception as error:
            raise DataError(f'bag {path} is broken: {_line(error)}') from None
        yield connection, time, message


def message_stamp(message: Any) -> int:
    """Return the stamp of the message's header in nanoseconds."""
    stamp = message.header.stamp
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


def box_corners(bbox: Any) -> tuple[float, float, float, float]:
    """Return x0, y0, x1, y1 in pixels of a vision_msgs BoundingBox2D without rotation."""
    x, y = bbox.center.position.x, bbox.center.position.y
    half_x, half_y = bbox.size_x / 2, bbox.size_y / 2
    return x - half_x, y - half_y, x + half_x, y + half_y


def image_pixels(message: Any, where: str, stretch: StretchPixels = stretched) -> np.ndarray:
    """
    Return an Image or CompressedImage message's pixels, uint8 [height, width, 3] RGB.

    `stretch` reduces more than 8 bits to 8. Raises DataError, beginning with `where`, for a broken
    image.
    """
    try:
        if hasattr(message, 'format'):
            data = np.ascontiguousarray(message.data)
            pixels, order = decode_compressed(CompressedData(data, message.format), stretch)
        else:
            pixels, order = decode_image(RawImage.of(message), stretch)
    except FrameError as error:
        raise DataError(f'{where}: {error}') from None
    if pixels.ndim == 2:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB) if order == 'bgr' else pixels


def _line(error: Exception) -> str:
    text = one_line(error)
    return text if isinstance(error, (AnyReaderError, OSError)) else (
        f'{type(error).__name__}: {text}')
