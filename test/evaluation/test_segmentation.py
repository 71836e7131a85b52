import math

import numpy as np
import pytest

from mtl_perception.data.set_spec import MaskLabels
from mtl_perception.evaluation.segmentation import SegmentationScorer

ROAD, GRASS, GROUND, SEA = range(4)
# Source labels: tarmac is road, open is grass or ground, odd is not known.
LABELS = MaskLabels(('tarmac', 'open', 'odd'), np.array(
    [[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]], bool))


def test_merged_iou_of_small_example() -> None:
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


def test_images_are_accumulated() -> None:
    scorer = SegmentationScorer(LABELS)
    scorer.add(np.array([[0, 0]], np.uint8), np.array([[ROAD, ROAD]], np.uint8))
    scorer.add(np.array([[0], [1]], np.uint8), np.array([[GRASS], [GROUND]], np.uint8))
    scores = scorer.scores()
    assert scores.iou == pytest.approx({'tarmac': 2 / 3, 'open': 1 / 2})
    assert scores.mean == pytest.approx(7 / 12)
    assert scorer.confusion().tolist() == [[2, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]


def test_label_absent_from_ground_truth_is_not_in_mean() -> None:
    scorer = SegmentationScorer(LABELS)
    scorer.add(np.array([[0, 0]], np.uint8), np.array([[ROAD, GRASS]], np.uint8))
    scores = scorer.scores()
    assert scores.iou == pytest.approx({'tarmac': 1 / 2, 'open': 0})
    assert scores.mean == pytest.approx(1 / 2)


def test_unlabelled_images_have_no_score() -> None:
    scorer = SegmentationScorer(LABELS)
    scorer.add(np.array([[2, 255]], np.uint8), np.array([[ROAD, ROAD]], np.uint8))
    scores = scorer.scores()
    assert math.isnan(scores.mean)
    assert all(math.isnan(iou) for iou in scores.iou.values())


def test_value_beyond_classes_counts_as_wrong() -> None:
    scorer = SegmentationScorer(LABELS)
    scorer.add(np.array([[0, 0]], np.uint8), np.array([[ROAD, 255]], np.uint8))
    assert scorer.scores().iou['tarmac'] == pytest.approx(1 / 2)


def test_different_sizes_are_rejected() -> None:
    with pytest.raises(ValueError, match='differ in size'):
        SegmentationScorer(LABELS).add(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8))


def test_whole_image_scores_of_small_example() -> None:
    mask = np.array([[0, 0, 0, 1, 2]], np.uint8)
    seen = np.array([[ROAD, ROAD, GRASS, GROUND, ROAD]], np.uint8)
    scorer = SegmentationScorer(LABELS)
    assert scorer.add(mask, seen) == pytest.approx((2 / 3 + 1 / 2) / 2)
    scores = scorer.scores()
    assert scores.pixel_accuracy == pytest.approx(3 / 4)
    assert scores.frequency_weighted == pytest.approx((3 * 2 / 3 + 1 * 1 / 2) / 4)
    assert scores.predicted == {'tarmac': 2, 'open': 2}
    assert scores.confusion == ((2, 1, 0), (0, 1, 0))
    assert all(math.isnan(value) for value in scores.boundary.values())


def test_boundaries_are_scored_on_merged_labels() -> None:
    mask = np.zeros((40, 40), np.uint8)
    mask[:, 20:] = 1
    seen = np.full((40, 40), ROAD, np.uint8)
    seen[:, 20:] = GRASS
    # Both are `open`: no border between them.
    seen[20:, 20:] = GROUND
    scorer = SegmentationScorer(LABELS, boundaries=True)
    scorer.add(mask, seen)
    assert scorer.scores().boundary == {'tarmac': 1, 'open': 1}
    assert scorer.scores().boundary_mean == 1


@pytest.mark.parametrize('seed', range(3))
def test_scores_agree_with_torchmetrics(seed: int) -> None:
    torch = pytest.importorskip('torch')
    torchmetrics = pytest.importorskip('torchmetrics.classification')
    rng = np.random.default_rng(seed)
    kinds = 5
    scorer = SegmentationScorer(MaskLabels(tuple('abcde'), np.eye(kinds, dtype=bool)))
    metrics = {average: torchmetrics.MulticlassJaccardIndex(
        kinds, average=average, ignore_index=255) for average in ('none', 'macro', 'weighted')}
    accuracy = torchmetrics.MulticlassAccuracy(kinds, average='micro', ignore_index=255)
    for _ in range(4):
        mask = rng.integers(0, kinds, (24, 31), dtype=np.uint8)
        seen = np.where(rng.random(mask.shape) < 0.6, mask, rng.integers(
            0, kinds, mask.shape, dtype=np.uint8)).astype(np.uint8)
        mask[rng.random(mask.shape) < 0.1] = 255
        scorer.add(mask, seen)
        for metric in (*metrics.values(), accuracy):
            metric.update(torch.from_numpy(seen).long(), torch.from_numpy(mask).long())
    scores = scorer.scores()
    assert list(scores.iou.values()) == pytest.approx(metrics['none'].compute().tolist(), abs=1e-6)
    assert scores.mean == pytest.approx(float(metrics['macro'].compute()), abs=1e-6)
    assert scores.frequency_weighted == pytest.approx(
        float(metrics['weighted'].compute()), abs=1e-6)
    assert scores.pixel_accuracy == pytest.approx(float(accuracy.compute()), abs=1e-6)
