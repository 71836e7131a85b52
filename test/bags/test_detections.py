"""Boxes of bags of any distribution, with and without definitions of their messages."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from past_bags import DISTRIBUTIONS, past_bag, Row
import pytest

from mtl_perception.bags.detections import recorded_boxes
from mtl_perception.bags.reading import opened_bag
from mtl_perception.errors import DataError

NAN = math.nan


def boxes_in(path: Path) -> list[Any]:
    with opened_bag(path) as bag:
        (_, _, message), = bag.messages(bag.connections)
    return recorded_boxes(message, 'x')


@pytest.mark.parametrize('distribution', DISTRIBUTIONS)
@pytest.mark.parametrize('storage', ['mcap', 'sqlite3', 'sqlite3 of Humble'])
def test_boxes_of_each_distribution(tmp_path: Path, distribution: str, storage: str) -> None:
    path = tmp_path / ('bag.bag' if distribution == 'noetic' else 'bag')
    names = (3, 7) if distribution == 'noetic' else ('3', '7')
    with past_bag(path, distribution, storage) as bag:
        bag.detections(5, 5, [((160, 120, 80, 20, 0), [(names[0], 0.1), (names[1], 0.9)]),
                              ((160, 120, 80, 20, math.pi / 2), [(names[0], 0.5)])])
    first, second = boxes_in(path)
    assert (first.corners, first.rotated) == ((120, 110, 200, 130), False)
    assert (first.class_id, first.score) == ('7', 0.9)
    assert (second.corners, second.rotated) == ((150, 80, 170, 160), True)
    assert second.class_id == '3'


@pytest.mark.parametrize(('scores', 'best'), [
    ([0.9, 0.1], 0), ([0.1, 0.9], 1), ([0.5, 0.5], 0), ([NAN, 0.1], 1), ([0.1, NAN], 0),
    ([NAN, NAN], 0), ([0, -1, 2], 2), ([0.0], 0)])
def test_likeliest_hypothesis(tmp_path: Path, scores: list[float], best: int) -> None:
    row: Row = (1, 2, 3, 4, 0), [(str(number), score) for number, score in enumerate(scores)]
    with past_bag(tmp_path / 'bag') as bag:
        bag.detections(5, 5, [row])
    box, = boxes_in(tmp_path / 'bag')
    assert box.class_id == str(best)


def test_detection_without_hypothesis_is_an_error(tmp_path: Path) -> None:
    with past_bag(tmp_path / 'bag') as bag:
        bag.detections(5, 5, [((1, 2, 3, 4, 0), [('a', 1)]), ((1, 2, 3, 4, 0), [])])
    with pytest.raises(DataError, match=r'^x: detection 1: has no class$'):
        boxes_in(tmp_path / 'bag')


@pytest.mark.parametrize('detection', [
    SimpleNamespace(), SimpleNamespace(results=[SimpleNamespace(score=1.0)], bbox=None),
    SimpleNamespace(results=3)])
def test_other_fields_are_an_error(detection: Any) -> None:
    with pytest.raises(DataError, match=r'^x: its message has other fields than its type has'):
        recorded_boxes(SimpleNamespace(detections=[detection]), 'x')
