from itertools import combinations

import numpy as np
import pytest

from mtl_perception import drawing
from mtl_perception.drawing import color_label_map, draw_overlay
from mtl_perception.inference.results import Detections, Perception, Timings
from mtl_perception.labels import LabelSet
from mtl_perception.spec import ModelSpec

THINGS = LabelSet(('car', 'person'), ((250, 140, 0), (0, 40, 120)))
STUFF = LabelSet(('road', 'water', 'ground'), ((200, 0, 0), (0, 0, 200), (0, 200, 0)))
SPEC = ModelSpec(detection=THINGS, segmentation=STUFF)


def _seen(boxes=(), classes=None, label_map=None, size=(200, 150)):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    detections = Detections(
        boxes, np.linspace(0.9, 0.5, len(boxes), dtype=np.float32),
        np.array(classes or [0] * len(boxes), np.int32))
    return Perception(*size, detections, label_map, Timings(0, 0, 0))


def _grey(width=200, height=150):
    return np.full((height, width, 3), 100, np.uint8)


def _has(drawn, color):
    return (drawn == color).all(axis=-1)


def test_label_map_colours_and_black_for_no_class():
    label_map = np.array([[0, 1, 2], [3, 254, 255]], np.uint8)
    assert color_label_map(label_map, STUFF).tolist() == [
        [[200, 0, 0], [0, 0, 200], [0, 200, 0]], [[0, 0, 0]] * 3]


def test_tint_has_requested_opacity():
    label_map = np.zeros((150, 200), np.uint8)
    drawn = draw_overlay(_grey(), _seen(label_map=label_map), SPEC, mask_opacity=0.25)
    assert (drawn == [125, 75, 75]).all()
    assert np.array_equal(
        draw_overlay(_grey(), _seen(label_map=label_map), SPEC, mask_opacity=0), _grey())


def test_borders_between_classes_are_opaque():
    label_map = np.zeros((150, 200), np.uint8)
    label_map[:, 100:] = 1
    drawn = draw_overlay(_grey(), _seen(label_map=label_map), SPEC)
    opaque = _has(drawn, STUFF.colors[0]) | _has(drawn, STUFF.colors[1])
    columns = np.flatnonzero(opaque.any(axis=0))
    assert opaque[:, columns].all() and set(columns) <= {99, 100} and len(columns) >= 1


def test_pixels_without_class_are_unchanged():
    label_map = np.full((150, 200), 255, np.uint8)
    label_map[:70] = 2
    drawn = draw_overlay(_grey(), _seen(label_map=label_map), SPEC)
    assert (drawn[72:] == 100).all() and (drawn[:60] != 100).any(axis=-1).all()


def test_smaller_label_map_covers_whole_image():
    label_map = np.array([[0, 1]], np.uint8)
    drawn = draw_overlay(_grey(), _seen(label_map=label_map), SPEC)
    assert (drawn[:, :95, 0] > drawn[:, :95, 2]).all()
    assert (drawn[:, 105:, 0] < drawn[:, 105:, 2]).all()


@pytest.mark.parametrize('size', [(200, 150), (640, 480), (1920, 1080)])
def test_boxes_are_drawn_around_objects(size):
    box = (size[0] // 3, size[1] // 3, size[0] // 2, size[1] // 2)
    drawn = draw_overlay(_grey(*size), _seen([box], size=size), SPEC)
    inside = (slice(box[1] + 1, box[3] - 1), slice(box[0] + 1, box[2] - 1))
    assert (drawn[inside] == 100).all()
    colored = _has(drawn, THINGS.colors[0])
    for y, x in ((box[1], slice(box[0], box[2])), (box[3] - 1, slice(box[0], box[2])),
                 (slice(box[1], box[3]), box[0]), (slice(box[1], box[3]), box[2] - 1)):
        assert colored[y, x].all()
    changed = np.argwhere((drawn != 100).any(axis=-1))
    assert (np.abs(changed - [box[1], box[0]]).min(axis=1) < size[1]).all()


def test_lines_and_text_scale_with_image():
    def changed(size):
        box = (size[0] // 3, size[1] // 3, size[0] // 2, size[1] // 2)
        drawn = draw_overlay(_grey(*size), _seen([box], size=size), SPEC)
        return (drawn != 100).any(axis=-1).sum()

    assert changed((1920, 1080)) > 2 * changed((640, 480))


def test_names_do_not_overlap(monkeypatch):
    """Rows of parked cars, as dense as possible."""
    places = []
    draw = drawing._draw_name

    def remembered(*arguments):
        places.append(draw(*arguments))
        return places[-1]

    monkeypatch.setattr(drawing, '_draw_name', remembered)
    rng = np.random.default_rng(0)
    boxes = [(x, y, x + 18, y + 9) for x in range(20, 600, 24) for y in range(100, 300, 60)]
    boxes += [(x, y, x + 12, y + 12) for x, y in rng.uniform(0, 460, (30, 2))]
    draw_overlay(_grey(640, 480), _seen(boxes, size=(640, 480)), SPEC)
    drawn = [place for place in places if place[2] > place[0]]
    assert len(places) == len(boxes) and len(drawn) >= 20

    def overlap(one, other):
        return (one[0] < other[2] and other[0] < one[2]
                and one[1] < other[3] and other[1] < one[3])

    assert not any(overlap(one, other) for one, other in combinations(drawn, 2))
    assert not any(overlap(one, np.rint(box)) for one in drawn for box in boxes)


@pytest.mark.parametrize('box', [(0, 0, 30, 20), (170, 0, 200, 20), (0, 130, 30, 150),
                                 (170, 130, 200, 150), (0, 0, 200, 150), (90, 0, 100, 150)])
def test_name_stays_inside_image(box):
    drawn = draw_overlay(_grey(), _seen([box]), SPEC)
    dark_on_color = _has(drawn, THINGS.colors[0])
    assert dark_on_color.sum() > 150


def test_names_are_legible_on_their_colour():
    for index, letters in ((0, 'dark'), (1, 'light')):
        drawn = draw_overlay(_grey(400, 300), _seen([(100, 100, 180, 160)], [index],
                                                      size=(400, 300)), SPEC)
        plate = drawn[80:98, 100:150].astype(int)
        assert (plate.min() < 60) if letters == 'dark' else (plate.min(axis=-1).max() > 200)


def test_missing_task_is_not_drawn():
    nothing = Perception(200, 150, None, None, Timings(0, 0, 0))
    assert np.array_equal(draw_overlay(_grey(), nothing, SPEC), _grey())


def test_image_is_not_modified():
    image = _grey()
    image.flags.writeable = False
    drawn = draw_overlay(image[:, ::-1], _seen([(10, 10, 50, 50)]), SPEC)
    assert not np.shares_memory(drawn, image) and drawn.flags.c_contiguous
    assert (image == 100).all()
