import math

import numpy as np
import pytest

from mtl_perception.data.box_counts import BoxCounts
from mtl_perception.data.readers.boxes import BoxList
from mtl_perception.data.set_spec import BoxLabels
from mtl_perception.errors import DataError

LABELS = BoxLabels({'car': 0, 'crowd': None}, complete=(0, 1), by_length={'car': (20.0, 1)})


def test_boxes_and_ignore_regions_are_kept_apart() -> None:
    boxes = BoxList(LABELS, 40, 30)
    boxes.add('car', (1, 2, 3, 4), 'x')
    boxes.add('crowd', (5, 6, 7, 8), 'x')
    boxes.add('car', (9, 10, 11, 12), 'x', ignore='difficult')
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
    ((0, 0, math.nan, 5), 'is not finite'),
    ((0, 0, math.inf, 5), 'is not finite'),
])
def test_wrong_box_is_an_error(box: tuple[float, float, float, float], problem: str) -> None:
    with pytest.raises(DataError, match=rf'^file: line 3: box .*{problem}'):
        BoxList(LABELS, 40, 30).add('car', box, 'file: line 3')


def test_class_without_a_mapping_is_an_error() -> None:
    with pytest.raises(DataError, match=r"^file: line 3: class 'tank' has no mapping"):
        BoxList(LABELS, 40, 30).add('tank', (1, 2, 3, 4), 'file: line 3')


def test_what_is_dropped_is_counted() -> None:
    boxes = BoxList(LABELS, 40, 30)
    for box in ((1, 2, 3, 4), (1, 2, 3, 4), (5, 0, 5, 5), (7, 0, 5, 5), (40, 0, 41, 5),
                (3, 3, 3 + 1e-9, 5)):
        boxes.add('car', box, 'x')
    boxes.add('crowd', (1, 2, 3, 4), 'x')
    boxes.add('car', (1, 2, 3, 4), 'x', ignore='crowd')
    boxes.ignore((5, 5, 5, 9), 'x')
    boxes.ignore((5, 5, 6, 9), 'x')
    truth = boxes.truth()
    assert truth.boxes.tolist() == [[1, 2, 3, 4]]
    assert truth.ignore.tolist() == [[1, 2, 3, 4], [5, 5, 6, 9]]
    assert truth.counts == BoxCounts(
        listed=10, duplicate=2, no_area=4, outside=1, unmapped=1, ignored=1)
    assert truth.counts.dropped == 7
    assert (truth.counts + truth.counts).dropped == 14


def test_boxes_of_another_class_or_place_are_no_duplicates() -> None:
    boxes = BoxList(BoxLabels({'car': 0, 'van': 0, 'bus': 1}, complete=(0, 1)), 40, 30)
    for name, x1 in (('car', 9), ('bus', 9), ('car', 9.5), ('van', 9)):
        boxes.add(name, (1, 2, x1, 4), 'x')
    assert boxes.truth().classes.tolist() == [0, 1, 0]


@pytest.mark.parametrize(('box', 'kept', 'cause'), [
    ((-9, 1, 4, 6), [[0, 1, 4, 6]], 'clipped'),
    ((35, 25, 50, 50), [[35, 25, 40, 30]], 'clipped'),
    ((50, 1, 60, 6), [], 'outside'),
    ((1, -60, 6, -40), [], 'outside'),
])
def test_rotated_box_is_clipped_at_the_edge(
        box: tuple[float, float, float, float], kept: list[list[float]], cause: str) -> None:
    boxes = BoxList(LABELS, 40, 30)
    boxes.add('car', box, 'x', rotated=True)
    truth = boxes.truth()
    assert truth.boxes.tolist() == kept
    assert truth.counts == BoxCounts(listed=1, rotated=len(kept), **{cause: 1})


def test_areas_are_those_given_or_those_of_the_boxes() -> None:
    boxes = BoxList(LABELS, 40, 30)
    boxes.add('car', (0, 0, 4, 5), 'x')
    assert boxes.truth().areas is None
    boxes.add('car', (1, 0, 4, 5), 'x', area=7.5)
    areas = boxes.truth().areas
    assert areas is not None and areas.tolist() == [20, 7.5]


@pytest.mark.parametrize('box', [(81, 1, 90, 6), (1, -60, 6, -41), (1e39, 1, 2e39, 6)])
def test_rotated_box_far_away_is_an_error(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(DataError, match=r'^x: box .* lies outside the image of 40x30 pixels'):
        BoxList(LABELS, 40, 30).add('car', box, 'x', rotated=True)
