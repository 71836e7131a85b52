"""
The perception node's results in a bag, matched to their images.

Only this module knows how the node's messages are stored in a bag.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rosbags.interfaces import Connection

from mtl_perception.bags.detections import recorded_boxes
from mtl_perception.bags.reading import (
    expected_fields,
    image_pixels,
    message_stamp,
    opened_bag,
)
from mtl_perception.encodings import RawImage
from mtl_perception.errors import DataError
from mtl_perception.inference.results import Detections
from mtl_perception.stretch import SmoothStretch, StretchPixels


@dataclass(frozen=True)
class ResultTopics:
    """The topics of one perception node, and of the images that it processes."""

    image: str = '/image'
    detections: str = '/perception_node/detections'
    segmentation: str = '/perception_node/segmentation'
    camera_info: str = '/camera_info'
    diagnostics: str = '/diagnostics'


@dataclass(frozen=True, eq=False)
class RecordedFrame:
    """An image of a bag with its results."""

    stamp: int
    """Nanoseconds, of the image's header."""
    image: np.ndarray
    """uint8 [height, width, 3] RGB."""
    processed: bool
    """Whether there are results; if not, the frame was dropped."""
    detections: Detections | None
    """None if the model does not detect, or the frame was dropped."""
    label_map: np.ndarray | None
    """uint8 [height, width] class indices, or None."""
    latency: float | None
    """Seconds from the stamp until the last result was recorded; None if dropped."""


def read_frames(path: Path, topics: ResultTopics) -> Iterator[RecordedFrame]:
    """
    Yield all images with the results of their stamps, in the order of recording.

    If there are no images on the topic, those of `TOPIC/compressed` are used. Results are matched
    regardless of their latency while only one image is kept in memory: images and results are read
    in parallel, at separate positions in the bag. Those of more than 8 bits are stretched as one
    stream.
    """
    stretch = SmoothStretch()
    names = (topics.detections, topics.segmentation)
    where = f'bag {path}'
    with opened_bag(path) as reader, opened_bag(path) as results:
        images = (_with_messages(reader.connections, topics.image)
                  or _with_messages(reader.connections, f'{topics.image}/compressed'))
        if not images:
            raise DataError(f'bag {path} has no images on {topics.image}')
        outputs = [item for item in results.connections if item.msgcount and item.topic in names]
        # Stamps of all results: otherwise a dropped frame would wait until the end.
        expected: dict[int, set[str]] = {
            message_stamp(message, where): set() for _, _, message in reader.messages(images)}
        for connection, _, message in results.messages(outputs):
            if (stamp := message_stamp(message, where)) in expected:  # or its image was lost
                expected[stamp].add(connection.topic)
        coming = results.messages(outputs)
        found: dict[int, dict[str, _Result]] = {}
        for _, _, image in reader.messages(images):
            stamp = message_stamp(image, where)
            # Of two images with equal stamps, the first gets the results.
            wanted = expected.pop(stamp, set())
            while wanted - found.get(stamp, {}).keys():
                connection, time, message = next(coming)
                if (other := message_stamp(message, where)) == stamp or other in expected:
                    found.setdefault(other, {})[connection.topic] = _Result(time, message)
            yield _frame(path, topics, stamp, image, found.pop(stamp, {}), partial(
                stretch.frame, stamp=stamp))


def count_messages(path: Path) -> dict[str, int]:
    """Return the number of messages of each topic; DataError if the bag cannot be read."""
    with opened_bag(path) as reader:
        counts: dict[str, int] = {}
        for connection in reader.connections:
            counts[connection.topic] = counts.get(connection.topic, 0) + connection.msgcount
    return counts


def last_diagnostics(path: Path, topics: ResultTopics, node: str) -> dict[str, dict[str, str]]:
    """Return the last diagnostics of `node`: task ('images', 'latency', ...) -> key -> value."""
    found: dict[str, dict[str, str]] = {}
    with opened_bag(path) as reader:
        chosen = [item for item in reader.connections if item.topic == topics.diagnostics]
        for _, _, message in reader.messages(chosen):
            with expected_fields(f'bag {path}: {topics.diagnostics}'):
                for status in message.status:
                    name, _, task = status.name.partition(': ')
                    if name == node:
                        found[task] = {item.key: item.value for item in status.values}
    return found


def _with_messages(connections: list[Connection], topic: str) -> list[Connection]:
    return [item for item in connections if item.msgcount and item.topic == topic]


class _Result(NamedTuple):
    recorded: int
    """Nanoseconds."""
    message: Any


def _frame(path: Path, topics: ResultTopics, stamp: int, message: Any,
           results: dict[str, _Result], stretch: StretchPixels) -> RecordedFrame:
    where = f'bag {path}: image {stamp} of {topics.image}'
    image = image_pixels(message, where, stretch)
    detections = results.get(topics.detections)
    segmentation = results.get(topics.segmentation)
    recorded = max((result.recorded for result in results.values()), default=None)
    return RecordedFrame(
        stamp, image, bool(results),
        None if detections is None else _detections(detections.message, where),
        None if segmentation is None else RawImage.of(segmentation.message).view(np.uint8),
        None if recorded is None else (recorded - stamp) / 1e9)


def _detections(message: Any, where: str) -> Detections:
    found = recorded_boxes(message, where)
    boxes = np.array([item.corners for item in found], np.float32).reshape(-1, 4)
    scores = np.array([item.score for item in found], np.float32)
    classes = np.empty(len(found), np.int32)
    for row, item in enumerate(found):
        try:
            classes[row] = int(item.class_id)
        except (ValueError, OverflowError):
            raise DataError(f'{where}: class_id {item.class_id!r:.60} is not a class index; '
                            'record with the parameter class_id_format: index') from None
    return Detections(boxes, scores, classes)
