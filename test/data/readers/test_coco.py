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
    (changed('images', 1, 'id', value='3'), r"images\[1\]: `id` is '3', not of type int"),
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
     'annotation 11: box .* is not finite'),
    (changed('annotations', 0, 'bbox', value=[1, 2, 50, 3]),
     'annotation 11: box 1, 2, 51, 5 .* lies outside the image of 40x30'),
    (changed('annotations', 0, 'bbox', value=[1, 2, 0, 3]), 'annotation 11: box .* no area'),
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
