"""
Reading of bags (rosbag2 in MCAP or SQLite, and rosbag1) without ROS.

A bag is a file, a folder, or a folder whose metadata.yaml is missing or knows no message, as after
a power cut: then the files in it are read. A broken bag raises a DataError that names it.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
from heapq import merge
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.interfaces import Connection
from rosbags.rosbag1 import Reader as Reader1
from rosbags.rosbag1 import ReaderError as ReaderError1
from rosbags.rosbag2 import Reader as Reader2
from rosbags.rosbag2 import ReaderError as ReaderError2
from rosbags.serde import SerdeError

from mtl_perception.bags.decompression import limit_decompression
from mtl_perception.bags.definitions import typestores
from mtl_perception.bags.metadata import COMPRESSED_IMAGE as COMPRESSED_IMAGE
from mtl_perception.bags.metadata import IMAGE as IMAGE
from mtl_perception.bags.metadata import METADATA
from mtl_perception.compressed import CompressedData, decode_compressed
from mtl_perception.encodings import decode_image, FrameError, RawImage
from mtl_perception.errors import DataError, one_line
from mtl_perception.files import is_file, is_folder
from mtl_perception.stretch import stretched, StretchPixels

BAG_SUFFIXES = ('.mcap', '.db3', '.bag')

_ROS_1 = '.bag'
_LOG = '.db3-wal'
"""Ending of SQLite's write-ahead log, which a power cut leaves behind."""


class Bag:
    """An open bag."""

    def __init__(self, path: Path, readers: list[Reader1 | Reader2]) -> None:
        self.path = path
        self._readers = readers
        self.connections: list[Connection] = [
            connection for reader in readers for connection in reader.connections]

    def messages(self, chosen: list[Connection], start: int | None = None,
                 stop: int | None = None) -> Iterator[tuple[Connection, int, Any]]:
        """
        Yield connection, time of recording in nanoseconds, and message, in order of recording.

        Yields messages of the `chosen` connections recorded from `start` until before `stop`.
        Raises DataError if the bag is broken.
        """
        messages = merge(*(self._recorded(reader, chosen, start, stop)
                           for reader in self._readers), key=lambda item: item[1])
        while True:
            try:
                connection, time, data, is_ros_1 = next(messages)
                message = self._decoded(connection, data, is_ros_1)
            except StopIteration:
                return
            except Exception as error:  # on broken bags the library raises errors of many types
                raise DataError(f'bag {self.path} is broken: {_line(error)}') from None
            yield connection, time, message

    @staticmethod
    def _recorded(reader: Reader1 | Reader2, chosen: list[Connection], start: int | None,
                  stop: int | None) -> Iterator[tuple[Connection, int, bytes, bool]]:
        own = [item for item in reader.connections if item in chosen]
        if own:
            for connection, time, data in reader.messages(own, start=start, stop=stop):
                yield connection, time, data, isinstance(reader, Reader1)

    def _decoded(self, connection: Connection, data: bytes, is_ros_1: bool) -> Any:
        kind = connection.msgtype
        stores = typestores(kind, connection.msgdef)
        if not stores:
            raise DataError(f'there is no definition of {kind}, on {connection.topic}; record it '
                            'in MCAP, which holds definitions')
        failure: Exception | None = None
        for store in stores:
            try:
                return (store.deserialize_ros1 if is_ros_1 else store.deserialize_cdr)(data, kind)
            except Exception as error:
                failure = failure or error
        assert failure is not None
        raise failure


@contextlib.contextmanager
def opened_bag(path: Path) -> Iterator[Bag]:
    """Context manager of the open bag; DataError if it cannot be read."""
    with contextlib.ExitStack() as stack:
        try:
            bag = _opened(path, _storage(path), stack)
            files = _files_of_bag(path)
            if files and not any(item.msgcount for item in bag.connections):
                # The metadata of a recording that was cut off has no messages yet.
                bag = _opened(path, files, stack)
        except DataError:
            raise
        except Exception as error:
            raise DataError(f'bag {path} cannot be read: {_line(error)}') from None
        yield bag


def _opened(path: Path, storage: list[Path], stack: contextlib.ExitStack) -> Bag:
    limit_decompression()
    readers: list[Reader1 | Reader2] = [
        Reader1(item) if item.suffix == _ROS_1 and is_file(item) else Reader2(item)
        for item in storage]
    for reader in readers:
        stack.enter_context(reader)
    return Bag(path, readers)


def is_bag_folder(path: Path) -> bool:
    """Return whether the folder is a bag, or has files of one."""
    return is_file(path / METADATA) or bool(_files_of_bag(path))


def _storage(path: Path) -> list[Path]:
    """Return what of the bag a reader opens: itself, or its files where it has no metadata."""
    logs = (path.glob(f'*{_LOG}') if is_folder(path)
            else [path.with_name(f'{path.stem}{_LOG}')])
    for log in logs:
        if is_file(log) and log.stat().st_size:
            # The reader takes the file as it is, without these messages.
            name = log.name.removesuffix('-wal')
            raise DataError(f'bag {path} cannot be read: {log.name} has messages that are not in '
                            f"{name} yet; run: sqlite3 {name} 'PRAGMA wal_checkpoint(TRUNCATE)'")
    metadata = path / METADATA
    if not is_folder(path) or (is_file(metadata) and metadata.stat().st_size):
        return [path]
    files = _files_of_bag(path)
    if not files:
        raise DataError(f'bag {path} cannot be read: {METADATA} is missing, and it has no file '
                        + ' or '.join(f'*{suffix}' for suffix in BAG_SUFFIXES))
    return files


def _files_of_bag(path: Path) -> list[Path]:
    try:
        return sorted(item for item in path.iterdir() if item.suffix in BAG_SUFFIXES)
    except OSError:
        return []


def message_stamp(message: Any, where: str) -> int:
    """Return the stamp of the message's header in nanoseconds; DataError if it has none."""
    with expected_fields(where):
        stamp = message.header.stamp
        return int(stamp.sec) * 10**9 + int(stamp.nanosec)


@contextlib.contextmanager
def expected_fields(where: str) -> Iterator[None]:
    """
    Context manager for use of a message's fields, which a bag defines itself.

    Raises DataError, beginning with `where`, where a field is missing or of another type.
    """
    try:
        yield
    except (AttributeError, TypeError, ValueError, LookupError, OverflowError) as error:
        raise DataError(f'{where}: its message has other fields than its type has elsewhere: '
                        f'{one_line(error)}') from None


def image_pixels(message: Any, where: str, stretch: StretchPixels = stretched) -> np.ndarray:
    """
    Return an Image or CompressedImage message's pixels, uint8 [height, width, 3] RGB.

    `stretch` reduces more than 8 bits to 8. Raises DataError, beginning with `where`, for a broken
    image.
    """
    try:
        with expected_fields(where):
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
    known = (DataError, ReaderError1, ReaderError2, SerdeError, OSError)
    return text if isinstance(error, known) else f'{type(error).__name__}: {text}'
