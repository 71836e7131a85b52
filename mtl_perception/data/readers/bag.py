"""Bags with ground truth: images, and detections and label maps that somebody corrected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mtl_perception.bags.detections import DETECTIONS, recorded_boxes
from mtl_perception.bags.pairing import paired, Recorded
from mtl_perception.bags.reading import (
    COMPRESSED_IMAGE,
    expected_fields,
    IMAGE,
    image_pixels,
    message_stamp,
    opened_bag,
)
from mtl_perception.data.readers.boxes import BoxList
from mtl_perception.data.readers.index_masks import check_labels, check_size
from mtl_perception.data.readers.lists import inside, Listed, portable, read_list, split_of
from mtl_perception.data.readers.registry import ReaderOptions, register_reader
from mtl_perception.data.samples import BoxTruth, Sample
from mtl_perception.data.set_spec import ListSplit, SetSpec
from mtl_perception.encodings import check_image, FrameError, RawImage
from mtl_perception.errors import DataError
from mtl_perception.labels import IGNORE_LABEL

_INFO = '/label_info'


@dataclass(frozen=True)
class _Frame:
    name: str
    bag: Path
    messages: dict[str, Recorded] = field(default_factory=dict)
    """Topic -> the frame's message, which is found again by its times."""
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
    the topics of the set's options. Where several images have one stamp, such as 0, the time of
    recording decides; see `bags.pairing`. The likeliest hypothesis of a detection is its class,
    and the upright hull of a rotated box is its box. `<topic>/label_info`, where the bag has it,
    names the numeric class ids; otherwise the id is the name of the class, and mask values are
    indices of the labels in the manifest. An image without all of the ground truth that the set
    has in the manifest is left out. A split is a bag, or a list of bags, in the path of the set.
    """

    def __init__(self, spec: SetSpec) -> None:
        self.spec = spec
        self._options = BagOptions.of(spec)
        self._splits: dict[str, list[_Frame]] = {}
        self._names: dict[tuple[Path, str], _Names] = {}
        self._left_out: dict[str, Counter[str]] = {}

    def stems(self, split: str) -> Sequence[str]:
        """
        Return '<bag>/<stamp in nanoseconds>' of the split's images with ground truth.

        Where several have one stamp, it is the time of recording.
        """
        return [frame.name for frame in self._load(split)]

    def left_out(self, split: str) -> Mapping[str, int]:
        """Return the numbers of images and of messages with ground truth that have no partner."""
        self._load(split)
        return {text: count for text, count in self._left_out[split].items() if count}

    def read(self, split: str, index: int) -> Sample:
        """Return the split's image `index` with its ground truth; DataError where it is broken."""
        frame = self._load(split)[index]
        if frame.problem:
            raise DataError(frame.problem)
        image_topic = self._options.image_topic
        where = f'bag {frame.bag}: image {frame.name.rpartition("/")[2]}'
        messages = _messages(frame)
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
        for number, item in enumerate(recorded_boxes(message, where)):
            boxes.add(names.of(item.class_id), item.corners, f'{where}: detection {number}',
                      rotated=item.rotated)
        return boxes.truth()

    def _mask(self, message: Any, names: _Names, where: str) -> np.ndarray:
        assert self.spec.masks is not None
        with expected_fields(f'{where}: label map'):
            return self._labels(RawImage.of(message), names, f'{where}: label map')

    def _labels(self, raw: RawImage, names: _Names, where: str) -> np.ndarray:
        assert self.spec.masks is not None
        try:
            if check_image(raw).pixel_bytes != 1 or raw.encoding not in ('mono8', '8UC1'):
                raise FrameError(f'encoding {raw.encoding!r:.40} is not of a label map; use mono8')
        except FrameError as error:
            raise DataError(f'{where}: {error}') from None
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
                raise DataError(f'{where}: value {value} ({names.of(str(value))}) is no label of '
                                '`masks`')
            return table[mask]
        check_labels(mask, where, len(self.spec.masks.names))
        return np.array(mask)

    def _load(self, split: str) -> list[_Frame]:
        if split not in self._splits:
            frames: list[_Frame] = []
            left_out: Counter[str] = Counter()
            for item in self._bags(split):
                try:
                    if item.problem:
                        raise DataError(item.problem)
                    frames += self._scan(item.name, inside(self.spec.path, item.name, item.where),
                                         left_out)
                except DataError as error:
                    frames.append(_Frame(item.name, self.spec.path, problem=str(error)))
            self._left_out[split] = left_out
            self._splits[split] = frames
        return self._splits[split]

    def _bags(self, split: str) -> list[Listed]:
        entry = split_of(self.spec, split)
        where = f'split {split} of {self.spec.name}'
        if isinstance(entry, str):
            return (read_list(self.spec.path / entry) if entry.endswith('.txt')
                    else [Listed(portable(entry), where)])
        if isinstance(entry, ListSplit) and isinstance(entry.source, str):
            found = read_list(self.spec.path / entry.source)
        else:
            found = [Listed(portable(name), where) for name in entry.source]
        left_out = {item.name for item in read_list(self.spec.path / entry.without)} \
            if entry.without else set()
        return [item for item in found if item.name not in left_out]

    def _scan(self, name: str, path: Path, left_out: Counter[str]) -> list[_Frame]:
        """Return the images of the bag with ground truth; DataError where there are none."""
        options = self._options
        truth = [topic for topic, labels in (
            (options.detections_topic, self.spec.boxes),
            (options.segmentation_topic, self.spec.masks)) if labels is not None]
        found, known = self._messages(path, truth)
        for topic in truth:
            self._names[path, topic] = _Names(known[topic])
        pairs = paired(found[options.image_topic], {topic: found[topic] for topic in truth})
        left_out['images without ground truth left out'] += pairs.images
        left_out['ground truth without an image'] += pairs.messages
        frames = [
            _Frame(f'{name}/{pair.image.stamp if pair.unique else pair.image.time}', path,
                   {options.image_topic: pair.image, **pair.messages}) for pair in pairs.pairs]
        frames += [
            _Frame(f'{name}/{stamp}', path, problem=f'bag {path}: {counts} have the stamp {stamp},'
                   ' and which of them belong together cannot be told by the times of recording')
            for stamp, counts in pairs.ambiguous.items()]
        if not frames:
            raise DataError(f'bag {path}: no image of {options.image_topic} has ground truth of '
                            f'its stamp on {" and ".join(truth)}')
        return frames

    def _messages(self, path: Path, truth: list[str]) -> tuple[
            dict[str, list[Recorded]], dict[str, dict[str, str]]]:
        """Return topic -> its messages, and topic of ground truth -> its names of class ids."""
        options = self._options
        infos = {f'{topic}{_INFO}': topic for topic in truth}
        found: dict[str, list[Recorded]] = {topic: [] for topic in (options.image_topic, *truth)}
        known: dict[str, dict[str, str]] = {topic: {} for topic in truth}
        with opened_bag(path) as bag:
            kinds = {item.topic: item.msgtype for item in bag.connections}
            for topic in found:
                if topic not in kinds:
                    raise DataError(f'bag {path} has no {topic}; it has '
                                    + ', '.join(sorted(kinds)))
            for topic, types in ((options.image_topic, (IMAGE, COMPRESSED_IMAGE)),
                                 (options.detections_topic, (DETECTIONS,)),
                                 (options.segmentation_topic, (IMAGE,))):
                if topic in found and kinds[topic] not in types:
                    raise DataError(f'bag {path}: {topic} has {kinds[topic]}, not '
                                    + ' or '.join(types))
            chosen = [item for item in bag.connections
                      if item.topic in found or item.topic in infos]
            for connection, time, message in bag.messages(chosen):
                where = f'bag {path}: {connection.topic}'
                if connection.topic in found:
                    found[connection.topic].append(
                        Recorded(time, message_stamp(message, where)))
                    continue
                with expected_fields(where):
                    known[infos[connection.topic]] = {
                        str(item.class_id): item.class_name for item in message.class_map}
        return found, known


def _messages(frame: _Frame) -> dict[str, Any]:
    """Return the frame's messages, by topic."""
    found: dict[str, Any] = {}
    with opened_bag(frame.bag) as bag:
        for topic, wanted in frame.messages.items():
            chosen = [item for item in bag.connections if item.topic == topic]
            for _, time, message in bag.messages(chosen, wanted.time, wanted.time + 1):
                stamp = message_stamp(message, f'bag {frame.bag}: {topic}')
                if Recorded(time, stamp) == wanted:
                    found[topic] = message
            if topic not in found:
                raise DataError(f'bag {frame.bag}: the message of {wanted.stamp} on {topic} is '
                                'gone')
    return found
