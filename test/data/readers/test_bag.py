"""Bags with ground truth, as the recorder node writes them."""

from collections.abc import Callable
import contextlib
from importlib import util
import math
from pathlib import Path
import re
from typing import Any

import numpy as np
from past_bags import DISTRIBUTIONS, past_bag
import pytest

from mtl_perception.data.box_counts import BoxCounts
from mtl_perception.data.check import check
from mtl_perception.data.data_set import left_out
from mtl_perception.data.manifest import load_manifest
from mtl_perception.data.readers import DataSet
from mtl_perception.data.readers.merged import MergedSet
from mtl_perception.errors import DataError

pytest.importorskip('rosbags')

Opener = Callable[..., DataSet]
SECOND = 10 ** 9
BOXES = {'classes': {'car': 'car', '7': 'bus'}, 'complete': ['car', 'bus']}
MASKS = {'tarmac': 'road', 'green': 'grass'}
ENTRY: dict[str, Any] = {'reader': 'bag', 'boxes': BOXES, 'masks': MASKS,
                         'splits': {'train': ['flight']}}


def bag_writer() -> Any:
    """Return the class that writes bags for the tests of evaluation."""
    path = Path(__file__).parents[2] / 'bags' / 'conftest.py'
    spec = util.spec_from_file_location('bag_writer', path)
    assert spec is not None and spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.BagWriter


def write_bag(folder: Path, fill: Callable[[Any], None]) -> None:
    from rosbags.rosbag2 import StoragePlugin, Writer
    folder.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(Writer(folder, version=8, storage_plugin=StoragePlugin.MCAP)) as bag:
        bag.open()
        fill(bag_writer()(bag))


def pixels(value: int) -> np.ndarray:
    return np.full((30, 40, 3), value, np.uint8)


def flight(bag: Any) -> None:
    """Write three images; the second has no ground truth, which is recorded after the images."""
    for number in range(3):
        stamp = (number + 1) * SECOND
        bag.image('/image', stamp, pixels(10 * number), 'rgb8', recorded=stamp + 5)
    for number in (2, 0):
        stamp = (number + 1) * SECOND
        bag.detections('/truth/detections', stamp,
                       [(1, 2, 11, 22, 1.0, '7'), (5, 5, 9, 9, 1.0, 'car')], 9 * SECOND + number)
        mask = np.full((30, 40), number % 2, np.uint8)
        mask[0, 0], mask[0, 1] = 255, 1
        bag.image('/truth/segmentation', stamp, mask, 'mono8', recorded=9 * SECOND, padding=4)


def test_images_with_ground_truth(tmp_path: Path, open_tree: Opener) -> None:
    write_bag(tmp_path / 'set' / 'flight', flight)
    data = open_tree(**ENTRY)
    assert list(data.stems('train')) == [f'flight/{SECOND}', f'flight/{3 * SECOND}']
    for index, value in ((1, 20), (0, 0), (1, 20)):
        sample = data.read('train', index)
        assert (sample.image == value).all()
        assert sample.boxes is not None and sample.mask is not None
        assert sample.boxes.boxes.tolist() == [[1, 2, 11, 22], [5, 5, 9, 9]]
        assert sample.boxes.classes.tolist() == [1, 0]
        assert sample.mask[0, :3].tolist() == [255, 1, 0] and sample.mask.shape == (30, 40)


def test_label_info_names_numeric_ids(tmp_path: Path, open_tree: Opener) -> None:
    def labelled(bag: Any) -> None:
        flight(bag)
        kind = 'vision_msgs/msg/LabelInfo'
        for topic, names in (('detections', {7: 'car'}),
                             ('segmentation', {0: 'green', 1: 'tarmac'})):
            classes = [bag.type('vision_msgs/msg/VisionClass')(number, name)
                       for number, name in names.items()]
            bag.write(f'/truth/{topic}/label_info', kind,
                      bag.type(kind)(bag.header(SECOND), classes, 0.0), SECOND)
    write_bag(tmp_path / 'set' / 'flight', labelled)
    sample = open_tree(**ENTRY).read('train', 0)
    assert sample.boxes is not None and sample.mask is not None
    assert sample.boxes.classes.tolist() == [0, 0]
    assert sample.mask[0, :3].tolist() == [255, 0, 1]


def read_all(data: DataSet) -> None:
    for index in range(len(data.stems('train'))):
        data.read('train', index)


@pytest.mark.parametrize(('entry', 'problem'), [
    ({'splits': {'train': ['nowhere']}}, 'bag .*nowhere cannot be read'),
    ({'splits': {'train': ['../flight']}}, "'../flight' is not a name inside"),
    ({'options': {'image_topic': '/camera'}}, 'bag .*flight has no /camera; it has /image'),
    ({'options': {'detections_topic': '/image'}},
     'bag .*flight: /image has sensor_msgs/msg/Image, not vision_msgs/msg/Detection2DArray'),
    ({'boxes': {'classes': {'car': 'car'}, 'complete': ['car']}},
     rf"image {SECOND}: detection 0: class '7' has no mapping"),
    ({'masks': {'tarmac': 'road'}}, rf'image {SECOND}: label map: value 1 at x 1, y 0'),
])
def test_mismatch_is_named(tmp_path: Path, open_tree: Opener, entry: dict[str, Any],
                                    problem: str) -> None:
    write_bag(tmp_path / 'set' / 'flight', flight)
    with pytest.raises(DataError, match=problem):
        read_all(open_tree(**{**ENTRY, **entry}))


def test_bag_without_ground_truth(tmp_path: Path, open_tree: Opener) -> None:
    write_bag(tmp_path / 'set' / 'flight',
              lambda bag: bag.image('/image', SECOND, pixels(1), 'rgb8'))
    with pytest.raises(DataError, match='has no /truth/detections; it has /image'):
        read_all(open_tree(**ENTRY))


def test_broken_bag_is_one_line(tmp_path: Path, open_tree: Opener) -> None:
    write_bag(tmp_path / 'set' / 'flight', flight)
    file, = (tmp_path / 'set' / 'flight').glob('*.mcap')
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(DataError, match=r'^bag .*flight (cannot be read|is broken)'):
        read_all(open_tree(**ENTRY))


PAST: dict[str, Any] = {
    'reader': 'bag', 'splits': {'train': ['old']},
    'boxes': {'classes': {'car': 'car', '7': 'car', '3': 'bus'}, 'complete': ['car', 'bus']}}


@pytest.mark.parametrize('distribution', DISTRIBUTIONS)
@pytest.mark.parametrize('storage', ['mcap', 'sqlite3 of Humble'])
def test_bags_of_past_distributions(
        tmp_path: Path, open_tree: Opener, distribution: str, storage: str) -> None:
    name = 'old.bag' if distribution == 'noetic' else 'old'
    seven, three = (7, 3) if distribution == 'noetic' else ('7', '3')
    with past_bag(tmp_path / 'set' / name, distribution, storage) as bag:
        bag.image(5, 5)
        bag.detections(6, 5, [((20, 15, 16, 4, 0), [(three, 0.1), (seven, 0.9)]),
                              ((20, 15, 16, 4, -math.pi / 2), [(three, 0.9)])])
    boxes = open_tree(**{**PAST, 'splits': {'train': [name]}}).read('train', 0).boxes
    assert boxes is not None
    assert boxes.boxes.tolist() == [[12, 13, 28, 17], [18, 7, 22, 23]]
    assert boxes.classes.tolist() == [0, 1]
    assert boxes.counts == BoxCounts(listed=2, rotated=1)


def test_rotated_box_at_the_edge_is_clipped(tmp_path: Path, open_tree: Opener) -> None:
    with past_bag(tmp_path / 'set' / 'old') as bag:
        bag.image(5, 5)
        bag.detections(6, 5, [((20, 2, 16, 4, math.pi / 2), [('car', 1.0)]),
                              ((60, 15, 4, 4, 0.5), [('car', 1.0)])])
    boxes = open_tree(**PAST).read('train', 0).boxes
    assert boxes is not None and boxes.boxes.tolist() == [[18, 0, 22, 10]]
    assert boxes.counts == BoxCounts(listed=2, rotated=1, clipped=1, outside=1)


def test_images_without_stamps_are_paired_by_time(tmp_path: Path, open_tree: Opener) -> None:
    with past_bag(tmp_path / 'set' / 'old') as bag:
        for number in range(1, 5):
            bag.image(10 * number, 0, number)
            bag.detections(10 * number + 1, 0, [((5 * number, 5, 4, 4, 0), [('car', 1.0)])])
        bag.image(50, 99, 5)
        bag.detections(51, 99, [((25, 5, 4, 4, 0), [('car', 1.0)])])
    data = open_tree(**PAST)
    assert list(data.stems('train')) == ['old/10', 'old/20', 'old/30', 'old/40', 'old/99']
    for index in range(5):
        sample = data.read('train', index)
        assert sample.boxes is not None
        assert sample.image[0, 0, 0] * 5 == sample.boxes.boxes[0, 0] + 2
    assert left_out(data, 'train') == {}


def test_ambiguous_stamps_are_an_entry_and_lost_messages_are_counted(
        tmp_path: Path, open_tree: Opener) -> None:
    with past_bag(tmp_path / 'set' / 'old') as bag:
        for time, stamp in ((10, 0), (20, 0), (30, 30), (40, 40)):
            bag.image(time, stamp)
        for time, stamp in ((21, 0), (31, 30), (41, 41), (42, 42)):
            bag.detections(time, stamp, [])
    data = open_tree(**PAST)
    assert list(data.stems('train')) == ['old/30', 'old/0']
    assert data.read('train', 0).boxes is not None
    with pytest.raises(DataError, match=r'^bag .*old: 2 images, 1 of /truth/detections have the '
                       'stamp 0, and which of them belong together cannot be told'):
        data.read('train', 1)
    counts = {'images without ground truth left out': 1, 'ground truth without an image': 2}
    assert left_out(data, 'train') == left_out(MergedSet(data, {}), 'train') == counts
    report = check(load_manifest(tmp_path / 'manifest.yaml', tmp_path))
    for text, count in counts.items():
        assert re.search(rf'^  {text} +{count}$', report.table(), re.MULTILINE)
    assert report.to_dict()['splits'][0]['left_out'] == counts
