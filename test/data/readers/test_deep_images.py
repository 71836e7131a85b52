"""Thermal images of 16 bits in the formats of data sets."""

from collections.abc import Callable
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mtl_perception.data.readers import DataSet
from mtl_perception.stretch import stretched
from test.data.readers.test_bag import write_bag

WIDTH, HEIGHT = 40, 30
COUNTS = np.random.default_rng(0).integers(7200, 8500, (HEIGHT, WIDTH)).astype(np.uint16)
BOXES = {'classes': {'car': 'car'}, 'complete': ['car']}

COCO = json.dumps({
    'images': [{'id': 1, 'file_name': 'a.png', 'width': WIDTH, 'height': HEIGHT}],
    'categories': [], 'annotations': []})
CVAT = """<annotations><version>1.1</version>
<image id="0" name="a.png" width="40" height="30"></image></annotations>"""

SETS: dict[str, dict[str, str]] = {
    'yolo': {'labels/a.txt': '', 'classes.txt': 'car\n', 'train.txt': 'a\n'},
    'voc': {'annotations/a.xml': '<annotation></annotation>', 'train.txt': 'a\n'},
    'coco': {'train.json': COCO}, 'cvat': {'train.xml': CVAT},
    'dota': {'labels/a.txt': ''}, 'visdrone': {'labels/a.txt': ''},
    'uavdt': {'gt/s_gt_whole.txt': ''}}
"""Reader -> the files beside the image."""

OPTIONS: dict[str, dict[str, Any]] = {
    'dota': {'splits': {'train': 'images'}, 'options': {'labels': 'labels'}},
    'visdrone': {'splits': {'train': 'images'}, 'options': {'annotations': 'labels'}},
    'uavdt': {'splits': {'train': ['s']}, 'options': {'images': 'images', 'labels': 'gt'}}}


@pytest.mark.parametrize('black_hot', [False, True])
@pytest.mark.parametrize('reader', SETS)
def test_images_are_stretched_as_the_manifest_says(
        reader: str, black_hot: bool, tmp_path: Path, open_tree: Callable[..., DataSet]) -> None:
    root = tmp_path / 'set'
    image = root / 'images' / ('s/img000001.png' if reader == 'uavdt' else 'a.png')
    image.parent.mkdir(parents=True)
    cv2.imwrite(str(image), COUNTS)
    for name, content in SETS[reader].items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(content)
    entry = {'reader': reader, 'boxes': BOXES, 'splits': {'train': 'train.json'}}
    if reader not in ('coco',):
        entry['splits'] = {'train': 'train.xml' if reader == 'cvat' else 'train.txt'}
    data = open_tree(**{**entry, **OPTIONS.get(reader, {}), 'black_hot': black_hot})
    found = data.read('train', 0).image
    assert np.array_equal(found, np.dstack([stretched(COUNTS, black_hot)] * 3))


@pytest.mark.parametrize(('encoding', 'kind'), [
    ('mono16', np.uint16), ('16UC1', np.uint16), ('32FC1', np.float32)])
@pytest.mark.parametrize('black_hot', [False, True])
def test_images_of_a_bag(encoding: str, kind: Any, black_hot: bool, tmp_path: Path,
                         open_tree: Callable[..., DataSet]) -> None:
    values = COUNTS.astype(kind)

    def fill(bag: Any) -> None:
        # As bytes; the width is that of pixels.
        bag.image('/image', 10**9, values.view((np.uint8, values.itemsize)), encoding)
        bag.detections('/truth/detections', 10**9, [], 2 * 10**9)

    write_bag(tmp_path / 'set' / 'flight', fill)
    data = open_tree(reader='bag', boxes=BOXES, splits={'train': ['flight']}, black_hot=black_hot)
    found = data.read('train', 0).image
    assert np.array_equal(found, np.dstack([stretched(values, black_hot)] * 3))
