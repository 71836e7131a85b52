import math

import cv2
import numpy as np
import pytest

from mtl_perception.evaluation.boundary import boundary_f


def halves(column: int, size: tuple[int, int] = (100, 100)) -> np.ndarray:
    labels = np.zeros(size, np.uint8)
    labels[:, column:] = 1
    return labels


def test_equal_borders_score_one() -> None:
    assert boundary_f(halves(40), halves(40), 2).tolist() == [1, 1]


def test_border_matches_within_tolerance_only() -> None:
    # 0.75 % of the diagonal of 400 x 300 is 3.75 pixels.
    truth = halves(200, (300, 400))
    assert boundary_f(truth, halves(203, (300, 400)), 2).tolist() == [1, 1]
    assert boundary_f(truth, halves(204, (300, 400)), 2).tolist() == [0, 0]


def test_precision_and_recall_of_small_example() -> None:
    truth, seen = halves(50), halves(50)
    # A border of its own in the prediction: of both labels a second column, far off.
    seen[:, 80:] = 0
    assert boundary_f(truth, seen, 2) == pytest.approx(2 * 0.5 / 1.5)


def test_label_without_border_has_no_score_and_missed_label_scores_zero() -> None:
    same = np.zeros((50, 50), np.uint8)
    assert np.isnan(boundary_f(same, halves(20, (50, 50)), 2)).all()
    assert boundary_f(halves(20, (50, 50)), same, 2).tolist() == [0, 0]


def test_unknown_pixels_have_no_border() -> None:
    truth = halves(50)
    truth[:, 45:55] = 2
    assert np.isnan(boundary_f(truth, halves(50), 2)).all()


def test_class_without_label_borders_others_without_score() -> None:
    seen = halves(50)
    seen[seen == 1] = 2
    f = boundary_f(halves(50), seen, 2)
    assert f.tolist() == [1, 0]


@pytest.mark.parametrize('size', [(1, 1), (1, 2000), (2000, 1), (3, 5)])
def test_images_of_odd_shapes(size: tuple[int, int]) -> None:
    labels = np.zeros(size, np.uint8)
    labels[size[0] // 2:, size[1] // 2:] = 1
    f = boundary_f(labels, labels, 2)
    assert ((f == 1) | np.isnan(f)).all()


def test_borders_of_large_images_are_subsampled() -> None:
    assert boundary_f(halves(2000, (40, 5000)), halves(2012, (40, 5000)), 2).tolist() == [1, 1]


@pytest.mark.parametrize('labels', [3, 12, 70])
def test_score_agrees_with_distance_transform(labels: int) -> None:
    rng = np.random.default_rng(labels)
    truth, seen = (cv2.resize(rng.integers(0, labels, (9, 12), dtype=np.uint8), (240, 180),
                              interpolation=cv2.INTER_NEAREST) for _ in range(2))
    seen = np.where(rng.random(truth.shape) < 0.5, truth, seen)
    reach = 0.0075 * math.hypot(*truth.shape)
    f = boundary_f(truth, seen, labels)
    for label in range(labels):
        true, found = (_border(values, label) for values in (truth, seen))
        if not true.any():
            assert np.isnan(f[label])
            continue
        precision, recall = (
            (cv2.distanceTransform((~there).astype(np.uint8), cv2.DIST_L2,
                                   cv2.DIST_MASK_PRECISE)[here] <= reach).mean()
            for here, there in ((found, true), (true, found)))
        expected = 2 * precision * recall / (precision + recall) if precision + recall else 0
        assert f[label] == pytest.approx(expected, abs=1e-9)


def _border(labels: np.ndarray, label: int) -> np.ndarray:
    own = labels == label
    padded = np.pad(labels, 1, mode='edge')
    differs = np.zeros_like(own)
    for y, x in ((0, 1), (2, 1), (1, 0), (1, 2)):
        differs |= padded[y:y + own.shape[0], x:x + own.shape[1]] != labels
    return own & differs
