"""Counts, rates and percentiles of frames."""

import pytest

from mtl_perception.nodes import frame_statistics
from mtl_perception.nodes.frame_statistics import FrameStatistics, StageTimes


class Clock:
    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(frame_statistics, 'time', clock)
    return clock


def times(run, age=0.01):
    return StageTimes(age, wait=0.001, preprocess=0.002, run=run, postprocess=0.003, publish=0.004)


def test_statistics_before_first_frame(clock):
    summary = FrameStatistics().summary()
    assert (summary.received, summary.processed, summary.dropped) == (0, 0, {})
    assert (summary.rate_in, summary.rate_out, summary.silence) == (0, 0, None)
    assert summary.percentiles == {}


def test_counts_rates_and_percentiles(clock):
    statistics = FrameStatistics(window=10.0)
    for frame in range(100):
        statistics.receive()
        if frame % 2:
            statistics.drop('newer image')
        else:
            statistics.process(times(run=0.1 + frame / 1000))
        clock.now += 0.1
    summary = statistics.summary()
    assert (summary.received, summary.processed) == (100, 50)
    assert summary.dropped == {'newer image': 50}
    assert summary.rate_in == pytest.approx(10.0, rel=0.02)
    assert summary.rate_out == pytest.approx(5.0, rel=0.03)
    assert summary.silence == pytest.approx(0.1)
    # 0.100, 0.102 .. 0.198: middle, 95 and 99 of 100.
    assert summary.percentiles['run'] == pytest.approx((0.149, 0.1931, 0.19702))
    assert summary.percentiles['total'] == pytest.approx((0.159, 0.2031, 0.20702))


def test_frames_before_window_count_in_totals_only(clock):
    statistics = FrameStatistics(window=10.0)
    statistics.receive()
    statistics.process(times(run=9.0))
    clock.now += 11
    statistics.receive()
    statistics.process(times(run=0.1))
    summary = statistics.summary()
    assert (summary.received, summary.processed) == (2, 2)
    assert summary.rate_in == pytest.approx(0.1)
    assert summary.percentiles['run'] == pytest.approx((0.1, 0.1, 0.1))


def test_memory_is_bounded_and_rate_correct(clock):
    statistics = FrameStatistics(window=10.0, most=50)
    for _ in range(1000):
        clock.now += 0.01
        statistics.receive()
    assert statistics.summary().rate_in == pytest.approx(100, rel=0.05)


def test_image_without_stamp_has_no_age(clock):
    statistics = FrameStatistics()
    statistics.process(times(run=0.1, age=None))
    assert 'age' not in statistics.summary().percentiles
    statistics.process(times(run=0.1, age=0.02))
    assert statistics.summary().percentiles['age'][0] == pytest.approx(0.02)
