"""No damage to an annotation file or list ends in anything but samples or a DataError."""

from collections.abc import Callable
import json
from pathlib import Path
from typing import Any

import cv2
from fuzzing import damaged, fuzz_examples
from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest
import yaml

from mtl_perception.data.manifest import load_manifest
from mtl_perception.data.readers import open_set
from mtl_perception.data.set_spec import Manifest
from mtl_perception.errors import ConfigError, DataError

pytestmark = pytest.mark.slow

WIDTH, HEIGHT = 40, 30

VOC = """<?xml version="1.0" encoding="UTF-8"?>
<annotation><size><width>40</width><height>30</height></size>
<object><name>car</name><difficult>0</difficult>
<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>11.5</xmax><ymax>22</ymax></bndbox></object>
<object><name>bus</name><difficult>1</difficult>
<bndbox><xmin>5</xmin><ymin>5</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>
"""
COCO = {
    'images': [{'id': 1, 'file_name': 'a.png', 'width': 40, 'height': 30},
               {'id': 2, 'file_name': 'b.png', 'width': 40, 'height': 30}],
    'categories': [{'id': 1, 'name': 'car'}, {'id': 2, 'name': 'road'}],
    'annotations': [
        {'id': 1, 'image_id': 1, 'category_id': 1, 'bbox': [1, 2, 10, 20.5], 'iscrowd': 0,
         'area': 99.5, 'segmentation': [[1, 2, 11, 2, 11, 22]]},
        {'id': 2, 'image_id': 2, 'category_id': 2, 'bbox': [0, 0, 4, 3], 'iscrowd': '1',
         'segmentation': {'size': [30, 40], 'counts': [100, 50, 1050]}},
        {'id': 3, 'image_id': 2, 'category_id': 2, 'bbox': [0, 0, 4, 3],
         'segmentation': {'size': [30, 40], 'counts': 'k36h' + 50 * '0' + 'Y9'}}]}
CVAT = """<annotations><version>1.1</version>
<image id="0" name="a.png" width="40" height="30">
<box label="car" xtl="5.0" ytl="6.0" xbr="15.0" ybr="9.0" rotation="30.00" z_order="1"/>
<polygon label="road" points="1.0,2.0;30.5,2.0;20.0,25.0"/>
<ellipse label="car" cx="20" cy="15" rx="4" ry="2" rotation="10"/>
<mask label="road" rle="2, 3, 1" left="4" top="5" width="3" height="2"/></image>
</annotations>
"""
LINES = {'yolo': '0 0.5 0.5 0.25 0.25\n1 0.25 0.25 0.125 0.0625\n',
         'visdrone': '1,2,10,20,1,4,0,0\n3,4,5,6,0,9,0,1,\n0,0,8,8,0,0,0,0\n',
         'dota': 'imagesource:x\n10 5 15 10 10 15 5 10 car 0\n1 2 11 2 11 22 1 22 bus 1\n',
         'uavdt': '1,1,2,3,10,8,1,1,1\n1,2,4,3,10,8,1,1,3\n',
         'list': 'a\n\nb\n', 'classes': 'car\nbus\n'}
BOXES = {'classes': {'car': 'car', 'bus': 'bus'}, 'complete': ['car']}
KINDS: dict[str, tuple[dict[str, Any], str, bytes]] = {
    'voc': ({'reader': 'voc'}, 'annotations/a.xml', VOC.encode()),
    'voc_utf16': ({'reader': 'voc'}, 'annotations/a.xml',
                  VOC.replace('UTF-8', 'UTF-16').encode('utf-16')),
    'voc_gb2312': ({'reader': 'voc'}, 'annotations/a.xml',
                   VOC.replace('UTF-8', 'GB2312').encode('gb2312')),
    'list': ({'reader': 'voc'}, 'val.txt', LINES['list'].encode()),
    'list_utf16': ({'reader': 'voc'}, 'val.txt', LINES['list'].encode('utf-16')),
    'coco': ({'reader': 'coco', 'masks': {'road': 'road'}, 'splits': {'val': 'val.json'}},
             'val.json', json.dumps(COCO).encode()),
    'cvat': ({'reader': 'cvat', 'masks': {'road': 'road'}, 'splits': {'val': 'val.xml'}},
             'val.xml', CVAT.encode()),
    'yolo': ({'reader': 'yolo'}, 'labels/a.txt', LINES['yolo'].encode()),
    'yolo_classes': ({'reader': 'yolo'}, 'classes.txt', LINES['classes'].encode()),
    'visdrone': ({'reader': 'visdrone'}, 'annotations/a.txt', LINES['visdrone'].encode()),
    'dota': ({'reader': 'dota'}, 'labelTxt/a.txt', LINES['dota'].encode()),
    'uavdt': ({'reader': 'uavdt', 'splits': {'val': ['M']}, 'options': {
        'images': 'frames', 'labels': '.'}}, 'M_gt_whole.txt', LINES['uavdt'].encode())}


@pytest.fixture(scope='module')
def valid_set(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that writes the set of a kind, which is valid, and its manifest."""
    def write(kind: str) -> Path:
        root = tmp_path_factory.mktemp(kind)
        folder = root / 'set'
        for name in ('images', 'frames/M', 'labels', 'annotations', 'labelTxt'):
            (folder / name).mkdir(parents=True)
        image = np.full((HEIGHT, WIDTH, 3), 9, np.uint8)
        for name in ('images/a.png', 'images/b.png', 'frames/M/img1.png'):
            cv2.imwrite(str(folder / name), image)
        for stem in 'ab':
            (folder / 'annotations' / f'{stem}.xml').write_text(VOC)
            for reader, name in (('yolo', 'labels'), ('visdrone', 'annotations'),
                                 ('dota', 'labelTxt')):
                (folder / name / f'{stem}.txt').write_text(LINES[reader])
        (folder / 'val.txt').write_text(LINES['list'])
        (folder / 'classes.txt').write_text(LINES['classes'])
        entry, file, content = KINDS[kind]
        (folder / file).write_bytes(content)
        boxes = {**BOXES, 'classes': {**BOXES['classes'], 'van': 'car'}}
        (root / 'm.yaml').write_text(yaml.safe_dump({
            'root': '.', 'detection': {'names': ['car', 'bus']},
            'segmentation': {'names': ['road', 'grass']},
            'sets': {'set': {'splits': {'val': 'val.txt'}, 'boxes': boxes, **entry}}}))
        return root
    return write


def read_all(manifest: Manifest, names: tuple[str, ...]) -> int:
    """Read the set and return the number of its good samples, having checked them."""
    good = 0
    try:
        data = open_set(manifest.sets[0], manifest)
        stems = data.stems('val')
    except DataError as error:
        assert any(name in str(error) for name in names), error
        return 0
    for index in range(len(stems)):
        try:
            sample = data.read('val', index)
        except DataError as error:
            assert any(name in str(error) for name in names), error
            continue
        good += 1
        assert sample.boxes is not None and sample.image.shape == (HEIGHT, WIDTH, 3)
        for edges in (sample.boxes.boxes, sample.boxes.ignore):
            assert np.isfinite(edges).all() and (edges >= 0).all()
            assert (edges[:, 2:] <= (WIDTH, HEIGHT)).all()
            assert (edges[:, 2:] > edges[:, :2]).all()
        assert set(sample.boxes.classes.tolist()) <= {0, 1}
        assert sample.boxes.areas is None or (sample.boxes.areas > 0).all()
        if sample.mask is not None:
            assert set(np.unique(sample.mask).tolist()) <= {0, 255}
    return good


@pytest.mark.timeout(60 + fuzz_examples())
@pytest.mark.parametrize('kind', KINDS)
def test_damaged_annotation_is_read_or_named(
        valid_set: Callable[[str], Path], kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('MTL_DATA', raising=False)
    root = valid_set(kind)
    manifest = load_manifest(root / 'm.yaml')
    _, file, content = KINDS[kind]
    names = (Path(file).name, str(root / 'set'))
    assert read_all(manifest, names) == (1 if kind in ('cvat', 'uavdt') else 2)

    @settings(max_examples=fuzz_examples())
    @given(damaged(content))
    def check(data: bytes) -> None:
        (root / 'set' / file).write_bytes(data)
        read_all(manifest, names)

    check()


@pytest.mark.timeout(60 + fuzz_examples())
@pytest.mark.parametrize('kind', ['coco', 'uavdt'])
def test_damaged_manifest_is_read_or_named(
        valid_set: Callable[[str], Path], kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('MTL_DATA', raising=False)
    root = valid_set(kind)
    path = root / 'm.yaml'

    @settings(max_examples=fuzz_examples())
    @given(damaged(path.read_bytes()), st.just(path))
    def check(data: bytes, path: Path) -> None:
        path.write_bytes(data)
        try:
            manifest = load_manifest(path)
        except (DataError, ConfigError) as error:
            assert str(error).startswith(f'{path}: ')
            return
        for spec in manifest.sets:
            try:
                data_set = open_set(spec, manifest)
                for split in spec.splits:
                    data_set.stems(split)
            except (DataError, ConfigError) as error:
                assert '\n' not in str(error)

    check()
