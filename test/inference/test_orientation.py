import math

import cv2
import numpy as np
import pytest

from mtl_perception.errors import ConfigError
from mtl_perception.inference.orientation import check_oriented, orient
from mtl_perception.inference.results import Detections
from mtl_perception.labels import LabelSet
from mtl_perception.spec import ModelSpec

SPEC = ModelSpec(
    detection=LabelSet.of('person', 'car'), segmentation=LabelSet.of('road', 'vehicle'),
    pixel_classes={'car': 'vehicle'})
PERSON, CAR = range(2)
VEHICLE = 1


def drawn(length, width, degrees, size=(120, 120)):
    """Return a label map with one rectangle in its middle, and the rectangle's upright hull."""
    label_map = np.zeros(size[::-1], np.uint8)
    corners = cv2.boxPoints(((size[0] / 2, size[1] / 2), (length, width), degrees))
    cv2.fillPoly(label_map, [np.rint(corners * 16 - 8).astype(np.int32)], VEHICLE, shift=4)
    return label_map, [*corners.min(axis=0), *corners.max(axis=0)]


def detections(*boxes, classes):
    return Detections(np.array(boxes, np.float32).reshape(-1, 4), np.ones(len(boxes), np.float32),
                      np.array(classes, np.int32))


def difference(one, other):
    """Return the angle between two axes in degrees, 0..90."""
    return abs((one - other + 90) % 180 - 90)


@pytest.mark.parametrize('degrees', range(-85, 91, 5))
@pytest.mark.parametrize('length, width', [(60, 25), (30, 13), (22, 10)])
def test_oriented_box_is_the_rectangle(length, width, degrees):
    label_map, box = drawn(length, width, degrees)
    [found] = orient(detections(box, classes=[CAR]), label_map, SPEC)
    assert found[:2] == pytest.approx([60, 60], abs=0.01)
    assert difference(math.degrees(found[4]), degrees) < 3
    assert abs(found[4]) <= math.pi / 2 + 1e-6
    assert found[2:4] == pytest.approx([length, width], abs=2)


def test_pixels_of_neighbours_outside_the_box_do_not_turn_it():
    label_map, box = drawn(60, 25, 0)
    label_map[75:90] = VEHICLE
    [found] = orient(detections(box, classes=[CAR]), label_map, SPEC)
    assert abs(math.degrees(found[4])) < 2


@pytest.mark.parametrize('length, width, degrees, index', [
    (60, 25, 30, PERSON), (30, 30, 20, CAR), (4, 3, 30, CAR)])
def test_upright_box_stays_without_an_axis(length, width, degrees, index):
    """A class without pixels, a square and a few pixels have none."""
    label_map, box = drawn(length, width, degrees)
    [found] = orient(detections(box, classes=[index]), label_map, SPEC)
    assert found[4] == 0
    assert found[2:4] == pytest.approx([box[2] - box[0], box[3] - box[1]])


def test_boxes_at_the_border_and_none_at_all():
    label_map, _ = drawn(30, 10, 45, size=(40, 40))
    whole = [0, 0, 40, 40]
    found = orient(detections(whole, [39.5, 39.5, 40, 40], classes=[CAR, CAR]), label_map, SPEC)
    assert math.degrees(found[0, 4]) == pytest.approx(45, abs=2) and found[1, 4] == 0
    assert orient(detections(classes=[]), label_map, SPEC).shape == (0, 5)


@pytest.mark.parametrize('spec', [
    ModelSpec(detection=LabelSet.of('car')),
    ModelSpec(detection=LabelSet.of('car'), segmentation=LabelSet.of('road')),
    SPEC.only({'detection'})])
def test_models_that_cannot_orient_boxes_are_rejected(spec):
    check_oriented(SPEC)
    with pytest.raises(ConfigError, match='box_format oriented'):
        check_oriented(spec)
