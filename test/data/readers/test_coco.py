from collections.abc import Callable
import copy
import json
from pathlib import Path
from typing import Any

import pytest

from mtl_perception.data.readers import DataSet
from mtl_perception.errors import DataError

ENTRY: dict[str, Any] = {
    'reader': 'coco',
    'boxes': {'classes': {'auto': 'car', 'blur': None}, 'complete': ['car']}}
ROOT: dict[str, Any] = {
    'images': [{'id': 7, 'file_name': 'a.png', 'width': 40, 'height': 30},
               {'id': 3, 'file_name': 'sub/b.png', 'width': 40, 'height': 30}],
    'categories': [{'id': 2, 'name': 'auto'}, {'id': 5, 'name': 'blur'}],
    'annotations': [
        {'id': 11, 'image_id': 7, 'category_id': 2, 'bbox': [1, 2, 10, 20.5]},
        {'id': 12, 'image_id': 7, 'category_id': 2, 'bbox': [5, 5, 10, 10], 'iscrowd': 1},
        {'id': 13, 'image_id': 7, 'category_id': 5, 'bbox': [0, 0, 40, 30], 'iscrowd': 0}]}

Opener = Callable[..., DataSet]


@pytest.fixture
def write(tree: Path) -> Callable[[Any], Path]:
    def write_it(root: Any) -> Path:
        path = tree / 'train.json'
        path.write_text(root if isinstance(root, str) else json.dumps(root))
        return path
    return write_it


def changed(*keys: str | int, value: Any) -> dict[str, Any]:
    """Return `ROOT` with `value` at the place that `keys` lead to."""
    root = copy.deepcopy(ROOT)
    place: Any = root
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    return root


def test_reads_boxes_and_ignore_regions(
        write: Callable[[Any], Path], open_tree: Opener) -> None:
    write(ROOT)
    data = open_tree(**ENTRY)
    assert list(data.stems('train')) == ['a', 'sub/b']
    sample = data.read('train', 0)
    assert sample.name == 'set/a'
    assert sample.boxes is not None
    assert sample.boxes.boxes.tolist() == [[1, 2, 11, 22.5]]
    assert sample.boxes.classes.tolist() == [0]
    assert sample.boxes.ignore.tolist() == [[5, 5, 15, 15], [0, 0, 40, 30]]


@pytest.mark.parametrize(('root', 'problem'), [
    ('{"images": [\n}', 'line 2: is not JSON'),
    ('[' * 100000, 'is not JSON that is supported'),
    ([], 'has no list `categories`'),
    ({**ROOT, 'images': {}}, 'has no list `images`'),
    ({**ROOT, 'images': []}, 'lists no image'),
    (changed('categories', 1, 'name', value='tank'),
     r"categories\[1\]: class 'tank' has no mapping"),
    (changed('images', 1, 'id', value=7), r'images\[1\]: id 7 occurs twice'),
    (changed('images', 1, 'id', value='b'), r"images\[1\]: `id` is 'b', not of type int"),
    (changed('images', 1, 'id', value=True), r'images\[1\]: `id` is True, not of type int'),
    (changed('images', 1, 'width', value=40.5), r'images\[1\]: `width` is 40.5, not of type int'),
    (changed('images', 1, 'file_name', value='.'), r"images\[1\]: '.' is not a name inside"),
    (changed('images', 1, 'file_name', value='\ud800'), r'images\[1\]: .* is not a name inside'),
    (changed('annotations', 0, 'iscrowd', value='x'), "annotation 11: `iscrowd` is 'x', not 0"),
    (changed('annotations', 0, 'area', value=[]), r'annotation 11: `area` is \[\], not a number'),
    (changed('images', 0, 'file_name', value='/etc/x.png'), r'images\[0\]: .* not a name inside'),
    (changed('images', 0, value=4), r'images\[0\]: `id` is None, not of type int'),
    (changed('annotations', 2, 'image_id', value=9),
     r'annotations\[2\]: image_id 9 is not in `images`'),
    (changed('annotations', 0, 'category_id', value=9),
     'annotation 11: category_id 9 is not in `categories`'),
    (changed('annotations', 0, 'category_id', value=[2]),
     r'annotation 11: `category_id` is \[2\], not of type int'),
    (changed('annotations', 0, 'bbox', value=[1, 2, 3]), 'annotation 11: bbox .* is not x, y'),
    (changed('annotations', 0, 'bbox', value=[1, 2, 3, None]), 'annotation 11: bbox'),
    (changed('annotations', 0, 'bbox', value=[1, 2, 3, 10 ** 400]), 'annotation 11: bbox'),
    (changed('annotations', 0, 'bbox', value=[1, 2, 3, float('nan')]),
     'annotation 11: bbox .* is not x, y'),
    (changed('annotations', 0, 'bbox', value=[1, 2, 50, 3]),
     'annotation 11: box 1, 2, 51, 5 .* lies outside the image of 40x30'),
    (changed('images', 0, 'width', value=41),
     'lists a.png with 41x30 pixels, but it has 40x30'),
])
def test_broken_file_is_named_with_its_place(
        write: Callable[[Any], Path], open_tree: Opener, root: Any, problem: str) -> None:
    path = write(root)
    with pytest.raises(DataError, match=rf'^{path}: {problem}'):
        data = open_tree(**ENTRY)
        for index in (0, *range(2, len(data.stems('train'))), 1):
            data.read('train', index)


def test_missing_image(write: Callable[[Any], Path], open_tree: Opener) -> None:
    write(ROOT)
    with pytest.raises(DataError, match=r'sub/b.png: cannot be read: No such file'):
        open_tree(**ENTRY).read('train', 1)


@pytest.mark.parametrize(('value', 'ignored'), [
    (0, False), ('0', False), (0.0, False), (False, False), ('false', False), (None, False),
    (1, True), ('1', True), (1.0, True), (True, True), ('true', True)])
def test_crowd_flag_of_any_type(write: Callable[[Any], Path], open_tree: Opener, value: Any,
                                ignored: bool) -> None:
    write(changed('annotations', 0, 'iscrowd', value=value))
    boxes = open_tree(**ENTRY).read('train', 0).boxes
    assert boxes is not None
    assert len(boxes.boxes) == (0 if ignored else 1)
    assert boxes.counts.crowd == (2 if ignored else 1)


def test_numbers_that_are_texts_or_floats(
        write: Callable[[Any], Path], open_tree: Opener) -> None:
    root = copy.deepcopy(ROOT)
    root['images'][0].update(id='7', width='40', height=30.0)
    root['categories'][0]['id'] = '2'
    root['annotations'][0].update(image_id=7.0, category_id=2.0, bbox=['1', '2.0', 10, '20.5'])
    write(root)
    boxes = open_tree(**ENTRY).read('train', 0).boxes
    assert boxes is not None and boxes.boxes.tolist() == [[1, 2, 11, 22.5]]


@pytest.mark.parametrize(('area', 'areas'), [
    (120.5, [120.5]), ('120.5', [120.5]), (0, None), (-1, None), (None, None)])
def test_area_of_the_object(write: Callable[[Any], Path], open_tree: Opener, area: Any,
                            areas: list[float] | None) -> None:
    write(changed('annotations', 0, 'area', value=area))
    boxes = open_tree(**ENTRY).read('train', 0).boxes
    assert boxes is not None
    assert (boxes.areas.tolist() if boxes.areas is not None else None) == areas


def test_names_of_windows_and_names_that_differ_by_suffix(
        write: Callable[[Any], Path], tree: Path, open_tree: Opener) -> None:
    (tree / 'images' / 'sub').mkdir()
    image = (tree / 'images' / 'a.png').read_bytes()
    (tree / 'images' / 'sub' / 'b.png').write_bytes(image)
    (tree / 'images' / 'a.jpg').write_bytes(image)
    root = changed('images', 1, 'file_name', value='sub\\b.png')
    root['images'].append({**root['images'][0], 'id': 9, 'file_name': 'a.jpg'})
    root['annotations'][0]['image_id'] = 9
    write(root)
    data = open_tree(**ENTRY)
    assert list(data.stems('train')) == ['a.png', 'sub/b', 'a.jpg']
    found = [data.read('train', index).boxes for index in range(3)]
    assert [len(item.boxes) for item in found if item] == [0, 0, 1]


def test_byte_order_mark(write: Callable[[Any], Path], open_tree: Opener) -> None:
    path = write(ROOT)
    text = path.read_text()
    for encoding in ('utf-8-sig', 'utf-16'):
        path.write_text(text, encoding)
        assert list(open_tree(**ENTRY).stems('train')) == ['a', 'sub/b']


@pytest.mark.parametrize(('changes', 'box'), [
    ({'attributes': {'rotation': 90.0}}, [4, 12, 24, 18]),
    ({'attributes': {'rotation': '-90'}, 'segmentation': []}, [4, 12, 24, 18]),
    ({'attributes': {'rotation': 0.0}}, [11, 5, 17, 25]),
    ({'attributes': {'rotation': 'left'}}, [11, 5, 17, 25]),
    ({'attributes': ['rotation']}, [11, 5, 17, 25]),
    ({'attributes': {'rotation': 90}, 'segmentation': [[11, 5, 17, 5, 17, 25]]}, [11, 5, 17, 25]),
])
def test_box_turned_in_cvat(write: Callable[[Any], Path], open_tree: Opener,
                            changes: dict[str, Any], box: list[float]) -> None:
    root = changed('annotations', 0, 'bbox', value=[11, 5, 6, 20])
    root['annotations'][0].update(changes)
    write(root)
    boxes = open_tree(**ENTRY).read('train', 0).boxes
    assert boxes is not None and boxes.boxes.tolist() == [box]
    assert boxes.counts.rotated == (box[0] == 4)
