from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtl_perception.data.readers import DataSet
from mtl_perception.errors import DataError

ENTRY: dict[str, Any] = {
    'reader': 'yolo',
    'boxes': {'classes': {'auto': 'car', 'omnibus': 'bus', 'blur': None}, 'complete': ['car']}}

Opener = Callable[..., DataSet]


@pytest.fixture
def labels(tree: Path) -> Path:
    (tree / 'labels').mkdir()
    (tree / 'classes.txt').write_text('auto\nomnibus\nblur\n')
    path = tree / 'labels' / 'a.txt'
    path.write_text('0 0.5 0.5 0.25 0.2\n\n1 0.1 0.1 0.2 0.2\n2 0.9 0.9 0.2 0.2\n')
    return path


def test_reads_fractions_of_the_image(labels: Path, open_tree: Opener) -> None:
    sample = open_tree(**ENTRY).read('train', 0)
    assert sample.name == 'set/a'
    assert sample.boxes is not None
    np.testing.assert_allclose(sample.boxes.boxes, [[15, 12, 25, 18], [0, 0, 8, 6]], atol=1e-5)
    assert sample.boxes.classes.tolist() == [0, 1]
    np.testing.assert_allclose(sample.boxes.ignore, [[32, 24, 40, 30]], atol=1e-5)


def test_empty_file_is_an_image_without_objects(labels: Path, open_tree: Opener) -> None:
    labels.write_text('')
    sample = open_tree(**ENTRY).read('train', 0)
    assert sample.boxes is not None
    assert sample.boxes.boxes.shape == (0, 4)


@pytest.mark.parametrize(('line', 'problem'), [
    ('0 0.5 0.5 0.2', "'0 0.5 0.5 0.2' is not a class index and the four numbers"),
    ('0 0.5 0.5 0.2 0.2 0.9', 'is not a class index and the four numbers'),
    ('auto 0.5 0.5 0.2 0.2', 'is not a class index'),
    ('0 0.5 0.5 0.2 wide', 'is not a class index'),
    ('3 0.5 0.5 0.2 0.2', r'class index 3 is not in 0..2 of classes.txt'),
    ('-1 0.5 0.5 0.2 0.2', r'class index -1 is not in 0..2'),
    ('0 20 15 4 4', 'box .* lies outside the image of 40x30'),
    ('0.5 0.5 0.5 0.2 0.2', 'is not a class index'),
    ('0 nan 0.5 0.2 0.2', 'box .* is not finite'),
])
def test_broken_line_is_named(labels: Path, open_tree: Opener, line: str, problem: str) -> None:
    labels.write_text(f'0 0.5 0.5 0.2 0.2\n{line}\n')
    with pytest.raises(DataError, match=rf'^{labels}: line 2: .*{problem}'):
        open_tree(**ENTRY).read('train', 0)


def test_class_without_a_mapping_names_its_line(
        labels: Path, tree: Path, open_tree: Opener) -> None:
    (tree / 'classes.txt').write_text('auto\ntank\n')
    with pytest.raises(DataError, match=r"classes.txt: line 2: class 'tank' has no mapping"):
        open_tree(**ENTRY)


def test_missing_classes(labels: Path, tree: Path, open_tree: Opener) -> None:
    (tree / 'classes.txt').unlink()
    with pytest.raises(DataError, match=r'classes.txt: cannot be read'):
        open_tree(**ENTRY)


def test_missing_labels(labels: Path, open_tree: Opener) -> None:
    labels.unlink()
    with pytest.raises(DataError, match=rf'^{labels}: cannot be read'):
        open_tree(**ENTRY).read('train', 0)
