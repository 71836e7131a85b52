"""Bags with ground truth: images, and detections and label maps that somebody corrected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtl_perception.bags.reading import (
    bag_messages,
    box_corners,
    COMPRESSED_IMAGE,
    IMAGE,
    image_pixels,
    message_stamp,
    opened_bag,
)
from mtl_perception.data.readers.boxes import BoxList
from mtl_perception.data.readers.index_masks import check_labels, check_size
from mtl_perception.data.readers.lists import inside, Listed, read_list, split_of
from mtl_perception.data.readers.registry import ReaderOptions, register_reader
from mtl_perception.data.samples import BoxTruth, Sample
from mtl_perception.data.set_spec import ListSplit, SetSpec
from mtl_perception.encodings import check_image, FrameError, RawImage
from mtl_perception.errors import DataError
from mtl_perception.labels import IGNORE_LABEL

_INFO = '/label_info'
_DETECTIONS = 'vision_msgs/msg/Detection2DArray'


@dataclass(frozen=True)
class _Frame:
    name: str
    bag: Path
    image_time: int
    """When the image was recorded, in nanoseconds, by which it is found again."""
    stamp: int
    truth_times: dict[str, int]
    """Topic -> when its message of this stamp was recorded."""
    problem: str = ''


@dataclass(frozen=True)
class _Names:
    """What class ids of a topic mean; by its LabelInfo, where the bag has one."""

    known: dict[str, str]

    def of(self, class_id: str) -> str:
        return self.known.get(class_id, class_id)


class BagOptions(ReaderOptions):
    """Options of the reader `bag`."""

    image_topic: str = '/image'
    detections_topic: str = '/truth/detections'
    segmentation_topic: str = '/truth/segmentation'


@register_reader('bag', BagOptions, boxes=True, masks=True, image_files=False,
                 default_splits={'train': 'train', 'val': 'val'})
class BagSet:
    """
    Bags with images and their ground truth, as the recorder node writes them.

    The ground truth has the message types of the perception node's results
    (vision_msgs/Detection2DArray and a `mono8` sensor_msgs/Image), the stamps of the images, and
    the topics of the set's options. `<topic>/label_info`, where the bag has it, names the numeric
    class ids; otherwise the id is the name of the class, and mask values are indices of the labels
    in the manifest. An image without all of the ground truth that the set has in the manifest is
    left out. A split is a bag, or a list of bags, in the path of the set.
    """

    def __init__(self, spec: SetSpec) -> None:
        self.spec = spec
        self._options = BagOptions.of(spec)
        self._splits: dict[str, list[_Frame]] = {}
        self._names: dict[tuple[Path, str], _Names] = {}

    def stems(self, split: str) -> Sequence[str]:
        """Return '<bag>/<stamp in nanoseconds>' of the split's images with ground truth."""
        return [frame.name for frame in self._load(split)]

    def read(self, split: str, index: int) -> Sample:
        """Return the split's image `index` with its ground truth; DataError where it is broken."""
        frame = self._load(split)[index]
        if frame.problem:
            raise DataError(frame.problem)
        where = f'bag {frame.bag}: image {frame.stamp}'
        image_topic = self._options.image_topic
        messages = _messages(frame, {image_topic: frame.image_time, **frame.truth_times})
        image = image_pixels(messages[image_topic], where, self.spec.stretch)
        height, width = image.shape[:2]
        boxes = mask = None
        if self.spec.boxes is not None:
            topic = self._options.detections_topic
            boxes = self._boxes(messages[topic], self._names[frame.bag, topic],
                                width, height, where)
        if self.spec.masks is not None:
            topic = self._options.segmentation_topic
            mask = self._mask(messages[topic], self._names[frame.bag, topic], where)
            check_size(mask, where, width, height)
        return Sample(f'{self.spec.name}/{frame.name}', np.ascontiguousarray(image), boxes, mask)

    def _boxes(self, message: Any, names: _Names, width: int, height: int,
               where: str) -> BoxTruth:
        assert self.spec.boxes is not None
        boxes = BoxList(self.spec.boxes, width, height)
        for number, item in enumerate(message.detections):
            place = f'{where}: detection {number}'
            if not item.results:
                raise DataError(f'{place}: has no class')
            boxes.add(names.of(item.results[0].hypothesis.class_id), box_corners(item.bbox), place)
        return boxes.truth()

    def _mask(self, message: Any, names: _Names, where: str) -> np.ndarray:
        assert self.spec.masks is not None
        raw = RawImage.of(message)
        try:
            if check_image(raw).pixel_bytes != 1 or raw.encoding not in ('mono8', '8UC1'):
                raise FrameError(f'encoding {raw.encoding!r:.40} is not of a label map; use mono8')
        except FrameError as error:
            raise DataError(f'{where}: label map: {error}') from None
        mask = raw.view(np.uint8)
        if names.known:
            table = np.full(256, IGNORE_LABEL - 1, np.uint8)
            table[IGNORE_LABEL] = IGNORE_LABEL
            for value in range(IGNORE_LABEL):
                name = names.known.get(str(value))
                if name in self.spec.masks.names:
                    table[value] = self.spec.masks.names.index(name)
            unknown = table[mask] == IGNORE_LABEL - 1
            if unknown.any():
                value = int(mask[unknown][0])
                raise DataError(f'{where}: label map: value {value} '
                                f'({names.of(str(value))}) is no label of `masks`')
            return table[mask]
        check_labels(mask, f'{where}: label map', len(self.spec.masks.names))
        return np.array(mask)

    def _load(self, split: str) -> list[_Frame]:
        if split not in self._splits:
            frames: list[_Frame] = []
            for item in self._bags(split):
                try:
                    if item.problem:
                        raise DataError(item.problem)
                    frames += self._scan(item.name, inside(self.spec.path, item.name, item.where))
                except DataError as error:
                    frames.append(_Frame(item.name, self.spec.path, 0, 0, {}, str(error)))
            self._splits[split] = frames
        return self._splits[split]

    def _bags(self, split: str) -> list[Listed]:
        entry = split_of(self.spec, split)
        where = f'split {split} of {self.spec.name}'
        if isinstance(entry, str):
            return (read_list(self.spec.path / entry) if entry.endswith('.txt')
                    else [Listed(entry, where)])
        if isinstance(entry, ListSplit) and isinstance(entry.source, str):
            found = read_list(self.spec.path / entry.source)
        else:
            found = [Listed(name, where) for name in entry.source]
        left_out = {item.name for item in read_list(self.spec.path / entry.without)} \
            if entry.without else set()
        return [item for item in found if item.name not in left_out]

    def _scan(self, name: str, path: Path) -> list[_Frame]:
        """Return the images of the bag with ground truth; DataError where there are none."""
        options = self._options
        truth = [topic for topic, labels in (
            (options.detections_topic, self.spec.boxes),
            (options.segmentation_topic, self.spec.masks)) if labels is not None]
        infos = {topic: f'{topic}{_INFO}' for topic in truth}
        times: dict[str, dict[int, int]] = {
            topic: {} for topic in (options.image_topic, *truth)}
        with opened_bag(path) as reader:
            kinds = {item.topic: item.msgtype for item in reader.connections}
            for topic in times:
                if topic not in kinds:
                    raise DataError(f'bag {path} has no {topic}; it has '
                                    + ', '.join(sorted(kinds)))
            for topic, types in ((options.image_topic, (IMAGE, COMPRESSED_IMAGE)),
                                 (options.detections_topic, (_DETECTIONS,)),
                                 (options.segmentation_topic, (IMAGE,))):
                if kinds.get(topic, types[0]) not in types:
                    raise DataError(f'bag {path}: {topic} has {kinds[topic]}, not '
                                    + ' or '.join(types))
            known: dict[str, dict[str, str]] = {topic: {} for topic in truth}
            chosen = [item for item in reader.connections
                      if item.topic in times or item.topic in infos.values()]
            for connection, time, message in bag_messages(reader, path, chosen):
                if connection.topic in times:
                    times[connection.topic][message_stamp(message)] = time
                    continue
                for topic, info in infos.items():
                    if info == connection.topic:
                        known[topic] = {str(item.class_id): item.class_name
                                        for item in message.class_map}
        for topic in truth:
            self._names[path, topic] = _Names(known[topic])
        frames = [
            _Frame(f'{name}/{stamp}', path, time, stamp,
                   {topic: times[topic][stamp] for topic in truth})
            for stamp, time in sorted(times[options.image_topic].items())
            if all(stamp in times[topic] for topic in truth)]
        if not frames:
            raise DataError(f'bag {path}: no image of {options.image_topic} has ground truth of '
                            f'its stamp on {" and ".join(truth)}')
        return frames


def _messages(frame: _Frame, times: dict[str, int]) -> dict[str, Any]:
    """Return the frame's messages of these topics, by when they were recorded."""
    found: dict[str, Any] = {}
    with opened_bag(frame.bag) as reader:
        for topic, time in times.items():
            chosen = [item for item in reader.connections if item.topic == topic]
            for _, _, message in bag_messages(reader, frame.bag, chosen, time, time + 1):
                if message_stamp(message) == frame.stamp:
                    found[topic] = message
            if topic not in found:
                raise DataError(f'bag {frame.bag}: the message of {frame.stamp} on {topic} is '
                                'gone')
    return found
