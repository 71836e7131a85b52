import math

import numpy as np
import pytest

from mtl_perception.data.manifest import MaskLabels
from mtl_perception.evaluation.segmentation import SegmentationScorer

ROAD, GRASS, GROUND, SEA = range(4)
# Source labels: tarmac is road, open is grass or ground, odd is not known.
LABELS = MaskLabels(('tarmac', 'open', 'odd'), np.array(
    [[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]], bool))


def test_merged_iou_by_hand() -> None:
    mask = np.array([[0, 0, 0, 0, 1, 1, 1, 1, 2, 255]], np.uint8)
    seen = np.array([[ROAD, ROAD, GRASS, SEA, GRASS, GROUND, ROAD, SEA, ROAD, ROAD]], np.uint8)
    scorer = SegmentationScorer(LABELS)
    scorer.add(mask, seen)
    scores = scorer.scores()
    # tarmac: 2 right, 2 missed, 1 `open` taken for it; the odd and the unlabelled do not count.
    assert scores.iou['tarmac'] == pytest.approx(2 / 5)
    # open: grass and ground are both right: 2; 2 missed; 1 tarmac taken for it.
    assert scores.iou['open'] == pytest.approx(2 / 5)
    assert set(scores.iou) == {'tarmac', 'open'}
    assert scores.pixels == {'tarmac': 4, 'open': 4}
    assert scores.mean == pytest.approx(2 / 5)


def test_pictures_add_up() -> None:
    scorer = SegmentationScorer(LABELS)
    scorer.add(np.array([[0, 0]], np.uint8), np.array([[ROAD, ROAD]], np.uint8))
    scorer.add(np.array([[0], [1]], np.uint8), np.array([[GRASS], [GROUND]], np.uint8))
    scores = scorer.scores()
    assert scores.iou == pytest.approx({'tarmac': 2 / 3, 'open': 1 / 2})
    assert scores.mean == pytest.approx(7 / 12)
    assert scorer.confusion().tolist() == [[2, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]


def test_label_that_the_truth_lacks_is_not_in_the_mean() -> None:
    scorer = SegmentationScorer(LABELS)
    scorer.add(np.array([[0, 0]], np.uint8), np.array([[ROAD, GRASS]], np.uint8))
    scores = scorer.scores()
    assert scores.iou == pytest.approx({'tarmac': 1 / 2, 'open': 0})
    assert scores.mean == pytest.approx(1 / 2)


def test_nothing_labelled_has_no_score() -> None:
    scorer = SegmentationScorer(LABELS)
    scorer.add(np.array([[2, 255]], np.uint8), np.array([[ROAD, ROAD]], np.uint8))
    scores = scorer.scores()
    assert math.isnan(scores.mean)
    assert all(math.isnan(iou) for iou in scores.iou.values())


def test_value_beyond_the_classes_is_wrong() -> None:
    scorer = SegmentationScorer(LABELS)
    scorer.add(np.array([[0, 0]], np.uint8), np.array([[ROAD, 255]], np.uint8))
    assert scorer.scores().iou['tarmac'] == pytest.approx(1 / 2)


def test_sizes_must_agree() -> None:
    with pytest.raises(ValueError, match='differ in size'):
        SegmentationScorer(LABELS).add(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8))
