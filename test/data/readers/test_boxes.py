import math

import numpy as np
import pytest

from mtl_perception.data.readers.boxes import BoxList
from mtl_perception.data.set_spec import BoxLabels
from mtl_perception.errors import DataError

LABELS = BoxLabels({'car': 0, 'crowd': None}, complete=(0, 1), by_length={'car': (20.0, 1)})


def test_boxes_and_ignore_regions_are_kept_apart() -> None:
    boxes = BoxList(LABELS, 40, 30)
    boxes.add('car', (1, 2, 3, 4), 'x')
    boxes.add('crowd', (5, 6, 7, 8), 'x')
    boxes.add('car', (9, 10, 11, 12), 'x', ignore=True)
    truth = boxes.truth()
    assert truth.boxes.tolist() == [[1, 2, 3, 4]]
    assert truth.classes.tolist() == [0]
    assert truth.ignore.tolist() == [[5, 6, 7, 8], [9, 10, 11, 12]]


def test_types_and_shapes_where_there_is_no_box() -> None:
    truth = BoxList(LABELS, 40, 30).truth()
    assert truth.boxes.shape == truth.ignore.shape == (0, 4)
    assert truth.classes.shape == (0,)
    assert truth.boxes.dtype == truth.ignore.dtype == np.float32
    assert truth.classes.dtype == np.int32


def test_long_box_is_of_the_other_class() -> None:
    boxes = BoxList(LABELS, 40, 30)
    boxes.add('car', (0, 0, 19.9, 5), 'x')
    boxes.add('car', (0, 0, 20, 5), 'x')
    boxes.add('car', (0, 0, 5, 20), 'x')
    assert boxes.truth().classes.tolist() == [0, 1, 1]


def test_small_overshoot_is_clipped() -> None:
    boxes = BoxList(LABELS, 40, 30)
    boxes.add('car', (-2, -1, 42, 31), 'x')
    assert boxes.truth().boxes.tolist() == [[0, 0, 40, 30]]


@pytest.mark.parametrize(('box', 'problem'), [
    ((-2.1, 0, 5, 5), 'lies outside the image of 40x30 pixels'),
    ((0, -2.1, 5, 5), 'lies outside'),
    ((0, 0, 42.1, 5), 'lies outside'),
    ((0, 0, 5, 32.1), 'lies outside'),
    ((5, 0, 5, 5), 'has no area'),
    ((7, 0, 5, 5), 'has no area'),
    ((40, 0, 41, 5), 'has no area'),
    ((0, 0, math.nan, 5), 'is not finite'),
    ((0, 0, math.inf, 5), 'is not finite'),
])
def test_wrong_box_is_an_error(box: tuple[float, float, float, float], problem: str) -> None:
    with pytest.raises(DataError, match=rf'^file: line 3: box .*{problem}'):
        BoxList(LABELS, 40, 30).add('car', box, 'file: line 3')


def test_class_without_a_mapping_is_an_error() -> None:
    with pytest.raises(DataError, match=r"^file: line 3: class 'tank' has no mapping"):
        BoxList(LABELS, 40, 30).add('tank', (1, 2, 3, 4), 'file: line 3')
