import math

import numpy as np
import pytest

from mtl_perception.data.samples import BoxTruth
from mtl_perception.evaluation.box_confusion import BoxConfusionCounter
from mtl_perception.inference.results import Detections

pytest.importorskip('pycocotools')

CAR, TREE, BUS = range(3)


def row(*places: float) -> np.ndarray:
    return np.array([[place, 0, place + 10, 10] for place in places], np.float32).reshape(-1, 4)


def found(places: list[float], classes: list[int], scores: list[float]) -> Detections:
    return Detections(row(*places), np.array(scores, np.float32), np.array(classes, np.int32))


def test_counts_of_small_example() -> None:
    counter = BoxConfusionCounter(('car', 'tree', 'bus'), (BUS, CAR), 0.3)
    truth = BoxTruth(row(0, 20, 40, 60), np.array([CAR, BUS, CAR, TREE], np.int32), row(100))
    outcome = counter.add(truth, found(
        [0, 20, 80, 100, 60, 40, 0.5], [CAR, CAR, BUS, CAR, TREE, CAR, CAR],
        [0.9, 0.8, 0.7, 0.6, 0.6, 0.2, 0.3]))
    # A car found, a bus taken for a car, a car missed (0.2 is too low), a bus and a second box on
    # the first car where nothing is; the tree is not labelled completely, the region is ignored.
    assert counter.confusion().names == ('car', 'bus')
    assert counter.confusion().counts == ((1, 0, 1), (1, 0, 0), (1, 1, 0))
    assert outcome.right.tolist() == [True, False, False, False, False]
    assert outcome.partner.tolist() == [0, 1, -1, -2, -1]
    assert outcome.found.tolist() == [True, False, False]
    assert outcome.mistakes == 5
    assert outcome.f1 == pytest.approx(2 / (2 + 5))


def test_closest_pairs_come_first() -> None:
    counter = BoxConfusionCounter(('car',), (CAR,), 0.3)
    outcome = counter.add(BoxTruth(row(0, 4), np.zeros(2, np.int32), row()),
                          found([3, 0], [CAR, CAR], [0.9, 0.8]))
    assert outcome.partner.tolist() == [1, 0]


def test_no_objects_and_no_detections() -> None:
    counter = BoxConfusionCounter(('car',), (CAR,), 0.3)
    outcome = counter.add(BoxTruth(row(), np.zeros(0, np.int32), row()), found([], [], []))
    assert math.isnan(outcome.f1)
    assert counter.confusion().counts == ((0, 0), (0, 0))
