from dataclasses import replace

import numpy as np
import pytest

from mtl_perception.evaluation.bootstrap import bootstrap, Comparison
from mtl_perception.evaluation.evidence import SetEvidence
from mtl_perception.evaluation.matching import AREAS, ImageMatches, IOUS, Matches
from mtl_perception.evaluation.segmentation import PixelCounts


def evidence(right: list[bool], pixels: list[int]) -> SetEvidence:
    """Return one object an image, found or not, and so many of 10 pixels right."""
    items = [ImageMatches(
        np.full((len(AREAS), len(IOUS), 1), hit), np.zeros((len(AREAS), len(IOUS), 1), bool),
        np.array([hit]), np.zeros(1, bool), np.ones(len(AREAS), np.int64)) for hit in right]
    matches = Matches.of(items, [np.array([0.5], np.float32)] * len(items))
    confusion = np.array([[[count, 10 - count]] for count in pixels])
    counts = PixelCounts(('road',), confusion, np.full((len(pixels), 1), np.nan))
    return SetEvidence(len(right), {'car': matches}, {}, counts)


def named(rows: tuple[Comparison, ...], name: str, label: str = '') -> Comparison:
    (found,) = [item for item in rows if (item.metric.name, item.metric.label) == (name, label)]
    return found


GOOD = evidence([True] * 18 + [False] * 2, [9] * 20)
WEAK = evidence([True] * 9 + [False] * 11, [8] * 20)


def test_interval_of_share_agrees_with_theory() -> None:
    pixels = replace(evidence([True] * 400, [0, 10] * 200), detection={})
    one = named(bootstrap([{'a': pixels}], 2000, 1).sets['a'], 'pixel_accuracy').models[0]
    # The standard error of a share of a half in 400 draws is 0.025.
    assert one.value == 0.5
    assert (one.low, one.high) == pytest.approx((0.451, 0.549), abs=0.006)


def test_constant_difference_has_zero_width_interval() -> None:
    result = bootstrap([{'a': WEAK}, {'a': GOOD}], 200, 0)
    (difference,) = named(result.sets['a'], 'iou', 'road').differences
    assert (difference.low, difference.value, difference.high) == pytest.approx((.1, .1, .1))
    (difference,) = named(result.sets['a'], 'ap50', 'car').differences
    assert 0 < difference.low < difference.value < difference.high


def test_model_compared_with_itself_has_no_difference() -> None:
    result = bootstrap([{'a': WEAK}, {'a': WEAK}], 50, 0)
    for item in result.sets['a']:
        for one in item.differences:
            assert one.value in (0, pytest.approx(np.nan, nan_ok=True))
            assert one.low in (0, pytest.approx(np.nan, nan_ok=True))


def test_interval_depends_on_seed() -> None:
    assert str(bootstrap([{'a': WEAK}], 50, 7)) == str(bootstrap([{'a': WEAK}], 50, 7))
    assert str(bootstrap([{'a': WEAK}], 50, 7)) != str(bootstrap([{'a': WEAK}], 50, 8))


def test_no_samples_give_scores_without_intervals() -> None:
    one = named(bootstrap([{'a': GOOD}], 0, 0).sets['a'], 'iou', 'road').models[0]
    assert one.value == pytest.approx(0.9)
    assert np.isnan(one.low) and np.isnan(one.high)


def test_overall_is_the_mean_over_the_sets() -> None:
    result = bootstrap([{'a': GOOD, 'b': WEAK}], 10, 0)
    assert named(result.overall, 'iou').models[0].value == pytest.approx((0.9 + 0.8) / 2)
    assert named(result.overall, 'ap50').models[0].value == pytest.approx(
        sum(named(result.sets[name], 'ap50', '').models[0].value for name in 'ab') / 2)


def test_only_common_tasks_are_compared() -> None:
    boxes = SetEvidence(20, GOOD.detection, {}, None)
    result = bootstrap([{'a': GOOD}, {'a': boxes}], 5, 0)
    assert {item.metric.task for item in result.sets['a']} == {'detection'}
