import numpy as np
import pytest

from mtl_perception.quantization.ranges import Histogram, measure_ranges


def _mean_error(values, size):
    rounded = np.clip(np.round(values * 127 / size), -127, 127) * size / 127
    return np.square(rounded - values).mean()


@pytest.mark.parametrize('draw', [
    lambda rng: rng.uniform(0, 6, 20000), lambda rng: rng.normal(0, 1, 20000),
    lambda rng: np.concatenate((rng.normal(0, 1, 200000), [400.0]))])
def test_range_is_close_to_best_of_grid(draw):
    values = draw(np.random.default_rng(0)).astype(np.float32)
    histogram = Histogram()
    for part in np.array_split(values, 7):  # the largest value comes last
        histogram.add(part)
    found = histogram.range()
    largest = np.abs(values).max()
    best = min(_mean_error(values, largest * share) for share in np.linspace(0.2, 1, 200))
    assert _mean_error(values, found) <= 1.05 * best + 1e-9
    assert histogram.counts.sum() == len(values)


def test_zero_tensor_has_positive_range():
    histogram = Histogram()
    histogram.add(np.zeros((2, 3), np.float32))
    assert histogram.range() > 0


def test_inputs_of_all_convolutions_are_measured(small, inputs):
    done = []
    ranges = measure_ranges(small, inputs, done.append)
    assert list(ranges) == ['value', 'a.relu', 'b.relu', 'c.relu']
    assert ranges['value'] == pytest.approx(1, abs=0.02)
    assert ranges['a.relu'] > 500
    assert done == [1, 2, 3, 4, 5, 6]
