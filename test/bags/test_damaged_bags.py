"""No damage to a bag ends in anything but its images and boxes or a DataError."""

import math
from pathlib import Path

from fuzzing import damaged, fuzz_examples
from hypothesis import given, settings
import numpy as np
from past_bags import past_bag
import pytest

from mtl_perception.bags.images import image_topic, is_bag, read_images
from mtl_perception.bags.results import count_messages, read_frames, ResultTopics
from mtl_perception.data.readers.bag import BagOptions, BagSet
from mtl_perception.data.set_spec import BoxLabels, SetSpec
from mtl_perception.errors import DataError

TOPICS = ResultTopics(detections='/truth/detections')
KINDS = {
    'mcap': ('humble', 'mcap', '', 'bag/bag.mcap'),
    'mcap_compressed': ('galactic', 'mcap', 'storage', 'bag/bag.mcap'),
    'mcap_messages': ('humble', 'mcap', 'message', 'bag/bag.mcap'),
    'sqlite3': ('humble', 'sqlite3', '', 'bag/bag.db3'),
    'sqlite3_humble': ('foxy', 'sqlite3 of Humble', '', 'bag/bag.db3'),
    'sqlite3_file': ('humble', 'sqlite3', 'file', 'bag/bag.db3.zstd'),
    'metadata': ('humble', 'mcap', '', 'bag/metadata.yaml'),
    'ros_1': ('noetic', '', '', 'bag.bag')}


def bag_set(root: Path, name: str) -> BagSet:
    return BagSet(SetSpec(
        'set', 'bag', root, {'val': name}, BoxLabels({'3': 0, '7': 1}, (0, 1)), None, 1, 0,
        (1, 1), {}, BagOptions()))


def read_all(root: Path, name: str) -> int:
    """Read the bag in each way; return the number of good samples."""
    path = root / name
    is_bag(path)
    try:
        count_messages(path)
    except DataError as error:
        assert str(path) in str(error)
        return 0
    for read in (lambda: list(read_images(path, image_topic(path))),
                 lambda: [frame.image.shape for frame in read_frames(path, TOPICS)]):
        try:
            read()
        except DataError as error:
            assert str(path) in str(error)
    data = bag_set(root, name)
    good = 0
    for index in range(len(data.stems('val'))):
        try:
            sample = data.read('val', index)
        except DataError as error:
            assert str(path) in str(error)
            continue
        good += 1
        height, width = sample.image.shape[:2]
        assert sample.boxes is not None
        edges = sample.boxes.boxes
        assert np.isfinite(edges).all() and (edges >= 0).all()
        assert (edges[:, 2:] <= (width, height)).all() and (edges[:, 2:] > edges[:, :2]).all()
    return good


@pytest.mark.slow
@pytest.mark.timeout(60 + fuzz_examples())
@pytest.mark.parametrize('kind', KINDS)
def test_damaged_bag_is_read_or_named(tmp_path_factory: pytest.TempPathFactory,
                                      kind: str) -> None:
    root = tmp_path_factory.mktemp(kind)
    distribution, storage, compression, file = KINDS[kind]
    name = file.partition('/')[0]
    three = 3 if distribution == 'noetic' else '3'
    with past_bag(root / name, distribution, storage, compression) as bag:
        for number in range(1, 3):
            bag.image(10 * number, number, number, size=(8, 6))
            bag.detections(10 * number + 1, number, [
                ((4, 3, 4, 2, number * math.pi / 2), [(three, 0.5)])])
    assert read_all(root, name) == 2

    @settings(max_examples=fuzz_examples())
    @given(damaged((root / file).read_bytes()))
    def check(data: bytes) -> None:
        (root / file).write_bytes(data)
        read_all(root, name)

    check()
