"""
Bags (rosbag2 in MCAP or SQLite, and rosbag1) read without ROS: images, and results beside them.

Only this module knows how the perception node's messages lie in a bag. The message definitions
are those that the bag carries; bags without definitions are read with today's standard ones.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
import re
from typing import Any

import numpy as np

from mtl_perception.bag_file import (
    bag_messages,
    COMPRESSED_IMAGE,
    IMAGE,
    image_pixels,
    message_stamp,
    opened_bag,
    raw_image,
)
from mtl_perception.errors import DataError
from mtl_perception.inference.results import Detections

_BAG_SUFFIXES = ('.mcap', '.db3', '.bag')

_NOT_A_CAMERA = re.compile(r'depth|disparity|segment|mask|label|overlay|heat|annotat', re.I)
"""Names of topics whose images are made from a camera's."""

_MOST_WAITING = 64
"""Images that wait for results; the oldest of more had none."""


@dataclass(frozen=True)
class ResultTopics:
    """The topics of one perception node, and of the images that it looked at."""

    image: str = '/image'
    detections: str = '/perception_node/detections'
    segmentation: str = '/perception_node/segmentation'
    diagnostics: str = '/diagnostics'


@dataclass(frozen=True, eq=False)
class RecordedImage:
    """An image of a bag."""

    stamp: int
    """Nanoseconds: of the header, or the moment of recording where the header has none."""
    image: np.ndarray
    """uint8 [height, width, 3] RGB."""


@dataclass(frozen=True, eq=False)
class RecordedFrame:
    """An image of a bag with what was published for it."""

    stamp: int
    """Nanoseconds, of the image's header."""
    image: np.ndarray
    """uint8 [height, width, 3] RGB."""
    processed: bool
    """Whether there are results at all; if not, the frame was dropped."""
    detections: Detections | None
    """None where the model does not detect, or the frame was dropped."""
    label_map: np.ndarray | None
    """uint8 [height, width] class indices; None where there are none."""
    latency: float | None
    """Seconds from the stamp until the last result had been recorded; None where dropped."""


def is_bag(path: Path) -> bool:
    """Return whether `path` looks like a bag: a rosbag2 folder, or a file of a bag's suffix."""
    if path.is_dir():
        return (path / 'metadata.yaml').is_file()
    return path.suffix.lower() in _BAG_SUFFIXES


def image_topic(path: Path, wanted: str = '') -> str:
    """
    Return the topic of `path` that a camera published: `wanted`, or else the likeliest.

    That is the one with most messages among those whose name speaks of nothing else (depth,
    masks, overlays). DataError where the bag cannot be read or has no images.
    """
    with opened_bag(path) as reader:
        counts: dict[str, int] = {}
        for connection in reader.connections:
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


def read_images(path: Path, topic: str) -> Iterator[RecordedImage]:
    """
    Yield the images of `topic` in the order of recording.

    DataError, naming the message, where the bag or an image is broken.
    """
    with opened_bag(path) as reader:
        chosen = [item for item in reader.connections if item.topic == topic
                  and item.msgtype in (IMAGE, COMPRESSED_IMAGE)]
        if not chosen:
            raise DataError(f'bag {path} has no images on {topic}')
        for number, (_, time, message) in enumerate(bag_messages(reader, path, chosen)):
            where = f'bag {path}: image {number} of {topic}'
            yield RecordedImage(message_stamp(message) or time, image_pixels(message, where))


def read_frames(path: Path, topics: ResultTopics) -> Iterator[RecordedFrame]:
    """
    Yield every image with the results that carry its stamp, in the order of the stamps.

    A frame is complete with one message of each topic of results that the bag has any of. Memory
    is bounded: at most 64 images wait for theirs.
    """
    with opened_bag(path) as reader:
        chosen = [item for item in reader.connections if item.msgcount and item.topic in (
            topics.image, topics.detections, topics.segmentation)]
        expected = {item.topic for item in chosen}
        if topics.image not in expected:
            raise DataError(f'bag {path} has no images on {topics.image}')
        waiting: OrderedDict[int, _Pending] = OrderedDict()
        for connection, time, message in bag_messages(reader, path, chosen):
            stamp = message_stamp(message)
            pending = waiting.setdefault(stamp, _Pending())
            pending.messages[connection.topic] = message
            if connection.topic != topics.image:
                pending.recorded = max(pending.recorded, time)
            if pending.messages.keys() == expected:
                for older in sorted(item for item in waiting if item <= stamp):
                    yield from _frame(path, topics, older, waiting.pop(older))
            elif len(waiting) > _MOST_WAITING:
                oldest = min(waiting)
                yield from _frame(path, topics, oldest, waiting.pop(oldest))
        for stamp in sorted(waiting):
            yield from _frame(path, topics, stamp, waiting[stamp])


def count_messages(path: Path) -> dict[str, int]:
    """Return the number of messages of each topic; DataError where the bag cannot be read."""
    with opened_bag(path) as reader:
        counts: dict[str, int] = {}
        for connection in reader.connections:
            counts[connection.topic] = counts.get(connection.topic, 0) + connection.msgcount
    return counts


def last_diagnostics(path: Path, topics: ResultTopics, node: str) -> dict[str, dict[str, str]]:
    """Return what `node` last said of itself: task ('images', 'latency', ...) -> key -> value."""
    found: dict[str, dict[str, str]] = {}
    with opened_bag(path) as reader:
        chosen = [item for item in reader.connections if item.topic == topics.diagnostics]
        for _, _, message in bag_messages(reader, path, chosen) if chosen else ():
            for status in message.status:
                name, _, task = status.name.partition(': ')
                if name == node:
                    found[task] = {item.key: item.value for item in status.values}
    return found


@dataclass
class _Pending:
    messages: dict[str, Any] = field(default_factory=dict)
    recorded: int = 0


def _frame(path: Path, topics: ResultTopics, stamp: int,
           pending: _Pending) -> Iterator[RecordedFrame]:
    message = pending.messages.get(topics.image)
    if message is None:  # results of an image that the recorder lost
        return
    image = image_pixels(message, f'bag {path}: image {stamp} of {topics.image}')
    detections = pending.messages.get(topics.detections)
    segmentation = pending.messages.get(topics.segmentation)
    label_map = None
    if segmentation is not None:
        label_map = raw_image(segmentation).view(np.uint8)
    processed = detections is not None or segmentation is not None
    yield RecordedFrame(
        stamp, image, processed, None if detections is None else _detections(detections),
        label_map, (pending.recorded - stamp) / 1e9 if processed else None)


def _detections(message: Any) -> Detections:
    count = len(message.detections)
    boxes = np.empty((count, 4), np.float32)
    scores = np.empty(count, np.float32)
    classes = np.empty(count, np.int32)
    for row, item in enumerate(message.detections):
        x, y = item.bbox.center.position.x, item.bbox.center.position.y
        half_x, half_y = item.bbox.size_x / 2, item.bbox.size_y / 2
        boxes[row] = x - half_x, y - half_y, x + half_x, y + half_y
        best = item.results[0].hypothesis
        try:
            classes[row] = int(best.class_id)
        except ValueError:
            raise DataError(f'class_id {best.class_id!r} is not the number of a class; record '
                            'with the parameter class_id_format: index') from None
        scores[row] = best.score
    return Detections(boxes, scores, classes)
