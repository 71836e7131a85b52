import numpy as np
import pytest

from mtl_perception.inference.results import Detections
from mtl_perception.inference.seams import merge_tiles
from mtl_perception.inference.tiles import plan_tiles

NETWORK = (400, 400)


def _clipped(tiles, objects):
    """Return the detections of a perfect network per tile; objects are x0, y0, x1, y1, score."""
    parts = []
    for number, tile in enumerate(tiles):
        boxes = []
        for x0, y0, x1, y1, score in objects:
            box = [max(x0, tile.box[0]), max(y0, tile.box[1]),
                   min(x1, tile.box[2]), min(y1, tile.box[3])]
            if box[2] - box[0] >= 2 and box[3] - box[1] >= 2:
                boxes.append((*box, score - 0.01 * number))
        parts.append(_detections(boxes))
    return parts


def _detections(rows, classes=None):
    values = np.array(rows, np.float32).reshape(-1, 5)
    return Detections(values[:, :4], values[:, 4],
                      np.array(classes or [0] * len(values), np.int32))


def _merged(tiles, parts, threshold=0.6, limit=300):
    found = merge_tiles(tiles, parts, (1.0, 1.0), threshold, limit)
    assert (np.diff(found.scores) <= 0).all()
    return found


@pytest.mark.slow
def test_object_at_any_position_is_detected_once():
    tiles = plan_tiles((1000, 900), NETWORK, '3x3')
    for width, height in ((12, 19), (40, 20), (20, 60)):
        for y in range(3, 880 - height, 171):
            for x in range(0, 1000 - width, 17):
                box = (x, y, x + width, y + height, 0.9)
                found = _merged(tiles, _clipped(tiles, [box]))
                assert found.boxes.tolist() == [list(box[:4])], box


def test_adjacent_objects_are_kept():
    tiles = plan_tiles((1000, 400), NETWORK, '1x3')
    cars = [(x, y, x + 18, y + 40, 0.9 - 1e-4 * x) for x in range(0, 980, 20)
            for y in (100, 141, 182)]
    found = _merged(tiles, _clipped(tiles, cars))
    assert sorted(map(tuple, found.boxes.tolist())) == sorted(car[:4] for car in cars)


def test_an_object_longer_than_the_overlap_is_joined():
    tiles = plan_tiles((1000, 900), NETWORK, '3x3')
    lying = (150, 500, 900, 560, 0.8)
    standing = (700, 20, 760, 880, 0.8)
    large = (120, 130, 880, 790, 0.8)
    for thing in (lying, standing, large):
        found = _merged(tiles, _clipped(tiles, [thing]))
        assert found.boxes.tolist() == [list(thing[:4])]
        assert found.scores[0] == pytest.approx(0.8, abs=0.09)


def test_part_with_higher_score_is_removed():
    tiles = plan_tiles((700, 400), NETWORK, '1x2')
    border = tiles[0].box[2]
    part = (border - 10, 100, border, 140, 0.95)
    whole = (border - 11, 99, border + 50, 141, 0.5)
    found = _merged(tiles, [_detections([part]), _detections([whole])])
    assert found.boxes.tolist() == [list(whole[:4])]


def test_part_without_whole_is_kept():
    tiles = plan_tiles((700, 400), NETWORK, '1x2')
    border = tiles[0].box[2]
    part = (border - 10, 100, border, 140, 0.95)
    far = (border - 10, 300, border + 40, 340, 0.5)
    found = _merged(tiles, [_detections([part]), _detections([far])])
    assert found.boxes.tolist() == [list(part[:4]), list(far[:4])]


def test_classes_are_merged_separately():
    tiles = plan_tiles((700, 400), NETWORK, '1x2')
    middle = (tiles[0].box[2] + tiles[1].box[0]) // 2
    box = (middle - 20, 100, middle + 20, 140)
    found = _merged(tiles, [_detections([(*box, 0.9)], [0]), _detections([(*box, 0.8)], [1])])
    assert found.classes.tolist() == [0, 1]


def test_small_duplicates_are_merged():
    tiles = plan_tiles((700, 400), NETWORK, '1x2')
    middle = (tiles[0].box[2] + tiles[1].box[0]) // 2
    one = (middle, 100, middle + 12, 119, 0.6)
    other = (middle + 3, 102, middle + 15, 121, 0.7)
    found = _merged(tiles, [_detections([one]), _detections([other])])
    assert found.boxes.tolist() == [list(other[:4])]


def test_limit_keeps_best_scores():
    tiles = plan_tiles((700, 400), NETWORK, '1x2')
    left = _detections([(10 * i, 10, 10 * i + 8, 18, 0.1 + 0.01 * i) for i in range(20)])
    right = _detections([(600, 10 * i, 608, 10 * i + 8, 0.9) for i in range(3)])
    found = _merged(tiles, [left, right], limit=5)
    assert found.scores.tolist() == pytest.approx([0.9, 0.9, 0.9, 0.29, 0.28])


def test_no_detections():
    tiles = plan_tiles((700, 400), NETWORK, '1x2')
    found = _merged(tiles, [_detections([]), _detections([])])
    assert found.boxes.shape == (0, 4) and len(found) == 0
