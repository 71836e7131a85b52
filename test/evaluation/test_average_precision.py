import numpy as np
import pytest

from mtl_perception.evaluation import average_precision
from mtl_perception.evaluation.average_precision import (
    coco_precision,
    coco_recall,
    operating_points,
    voc07,
    voc12,
)
from mtl_perception.evaluation.calibration import BINS, calibration
from mtl_perception.evaluation.matching import AREAS, ImageMatches, IOUS, Matches

SHAPE = (len(AREAS), len(IOUS))


def image(right: list[int], objects: int, ignored: tuple[int, ...] = ()) -> ImageMatches:
    hits = np.array(right, bool)
    out = np.isin(np.arange(len(right)), ignored)
    return ImageMatches(np.broadcast_to(hits, (*SHAPE, len(hits))),
                          np.broadcast_to(out, (*SHAPE, len(hits))), hits, out,
                          np.full(len(AREAS), objects))


def random_matches(seed: int, images: int) -> Matches:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 12, images)
    items, scores = [], []
    for count in counts:
        right = (rng.random(count) < 0.5).astype(int).tolist()
        items.append(image(right, sum(right) + int(rng.integers(0, 3))))
        scores.append(-np.sort(-rng.random(count).astype(np.float32)))
    return Matches.of(items, scores)


def drawn(matches: Matches, images: np.ndarray) -> Matches:
    """Return the matches of these images, some of them several times, the long way."""
    items, scores = [], []
    for index in images:
        own = matches.image == index
        items.append(ImageMatches(
            matches.right[..., own], matches.ignored[..., own], matches.voc_right[own],
            matches.voc_ignored[own], matches.objects[:, index]))
        scores.append(matches.scores[own])
    return Matches.of(items, scores)


@pytest.mark.parametrize('block', [1 << 22, 40])
def test_weights_equal_resampled_images(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(average_precision, '_BLOCK', block)
    matches = random_matches(1, 9)
    rng = np.random.default_rng(2)
    draws = rng.integers(0, 9, (20, 9))
    weights = np.stack([np.bincount(draw, minlength=9) for draw in draws])
    ours = [coco_precision(matches, 0, 0, weights).mean(axis=1),
            coco_recall(matches, 0, 0, weights), voc07(matches, weights),
            voc12(matches, weights)]
    once = np.ones((1, 9))
    for index, draw in enumerate(draws):
        again = drawn(matches, draw)
        theirs = [coco_precision(again, 0, 0, once)[0].mean(), coco_recall(again, 0, 0, once)[0],
                  voc07(again, once)[0], voc12(again, once)[0]]
        assert [values[index] for values in ours] == pytest.approx(theirs, abs=1e-12)


def test_sample_without_objects_has_no_score() -> None:
    matches = Matches.of([image([1], 1), image([0], 0)],
                         [np.array([0.9], np.float32), np.array([0.8], np.float32)])
    weights = np.array([[2, 0], [0, 2]])
    assert coco_precision(matches, 0, 0, weights).mean(axis=1) == pytest.approx(
        [1, np.nan], nan_ok=True)
    assert voc12(matches, weights) == pytest.approx([1, np.nan], nan_ok=True)


def test_operating_points_of_small_example() -> None:
    matches = Matches.of([image([1, 0, 1, 0], 4, ignored=(1,))],
                         [np.array([0.9, 0.8, 0.5, 0.5], np.float32)])
    here, best = operating_points(matches, 0.6)
    assert (here.precision, here.recall, here.f1) == pytest.approx((1, 1 / 4, 2 / 5))
    # One threshold takes both detections of 0.5: 2 right, 1 wrong, 4 objects.
    assert best.threshold == pytest.approx(0.5)
    assert (best.precision, best.recall, best.f1) == pytest.approx((2 / 3, 1 / 2, 4 / 7))


def test_unreachable_operating_point() -> None:
    matches = Matches.of([image([1], 1)], [np.array([0.3], np.float32)])
    here, best = operating_points(matches, 0.3)
    assert (here.recall, best.f1) == (1, 1)
    here, _ = operating_points(matches, 0.9)
    assert np.isnan(here.precision)
    assert (here.recall, here.f1) == (0, 0)


def test_calibration_of_small_example() -> None:
    matches = Matches.of([image([1, 1, 0, 0, 1], 4, ignored=(4,))],
                         [np.array([0.95, 0.85, 0.85, 0.15, 0.1], np.float32)])
    result = calibration(matches, 0.5)
    # 0.95 is right (0.05 off), of two at 0.85 half are (0.35 off), 0.15 is wrong (0.15 off).
    assert result.ece == pytest.approx((0.05 + 2 * 0.35 + 0.15) / 4)
    assert result.ece_shown == pytest.approx((0.05 + 2 * 0.35) / 3)
    assert sum(result.detections) == 4
    assert len(result.detections) == len(result.scores) == len(result.precision) == BINS
    assert result.precision[8] == pytest.approx(0.5)
