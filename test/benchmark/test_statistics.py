import numpy as np
import pytest

from mtl_perception.benchmark.statistics import Interval, ratio, spread


def rounds(*medians) -> list[np.ndarray]:
    return [np.array([0.9, 1.0, 1.1]) * value for value in medians]


def test_median_is_over_rounds_and_p95_over_frames() -> None:
    found = spread(rounds(1, 2, 9))
    assert found.median == pytest.approx(2)
    assert found.p95 == pytest.approx(np.percentile([.9, 1, 1.1, 1.8, 2, 2.2, 8.1, 9, 9.9], 95))
    assert found.low == pytest.approx(1) and found.high == pytest.approx(9)


def test_interval_has_stated_coverage() -> None:
    random = np.random.default_rng(1)
    held = 0
    for _ in range(200):
        found = spread([random.normal(10, 1, 1) for _ in range(15)])
        held += found.low <= 10 <= found.high
    assert 0.88 <= held / 200 <= 0.995


def test_ratios_are_paired_by_round() -> None:
    # The machine got three times as slow in between: no ratio within a round knows of it.
    found = ratio(rounds(2, 6, 2, 6), rounds(1, 3, 1, 3))
    assert (found.median, found.low, found.high) == pytest.approx((2, 2, 2))


def test_unpaired_rounds_are_excluded() -> None:
    assert ratio(rounds(2, 2, 100), rounds(1, 1)).high == pytest.approx(2)
    assert ratio([], rounds(1)) is None


def test_interval_is_deterministic() -> None:
    times = rounds(3, 1, 4, 1, 5, 9)
    assert spread(times) == spread(times)


def test_constant_value_has_zero_width_interval() -> None:
    assert Interval.exact(1.7).to_dict() == {'median': 1.7, 'low': 1.7, 'high': 1.7}
