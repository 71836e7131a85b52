"""Due tasks by rate, with a fake clock."""

import numpy as np
import pytest

from mtl_perception.nodes.task_rates import TaskRates

BOTH = ('detection', 'segmentation')


def taken(stamps, rates, wanted=('detection',)):
    """Return the times at which `detection` was due."""
    due = TaskRates()
    return [now for now in stamps if 'detection' in due.due(wanted, rates, now)]


@pytest.mark.parametrize('rate', [0.1, 1.0, 7.0, 9.9, 10.0, 29.0, 30.0])
@pytest.mark.parametrize('jitter', [0.0, 0.003, 0.008])
def test_mean_rate_does_not_exceed_bound(rate, jitter):
    rng = np.random.default_rng(0)
    stamps = np.arange(3000) / 30 + rng.uniform(-jitter, jitter, 3000)
    found = taken(stamps, {'detection': rate})
    assert len(found) == pytest.approx(100 * rate, rel=0.01, abs=1.6)
    assert len(found) <= 100 * rate + 2
    # At most one period is made up for, over any number of frames.
    for count in (1, 2, 5):
        spans = np.array(found[count:]) - np.array(found[:-count])
        assert (spans >= max(count - 1, 0.5) / rate - 1e-9).all()


def test_every_frame_of_slower_camera_is_processed():
    stamps = np.arange(100) / 5
    assert taken(stamps, {'detection': 10.0}) == stamps.tolist()
    # Skipped periods are not made up for.
    burst = [*stamps, *(stamps[-1] + np.arange(1, 50) * 0.001)]
    assert len(taken(burst, {'detection': 10.0})) == 100


@pytest.mark.parametrize('rates', [{}, {'detection': 0.0}])
def test_every_frame_is_due_without_bound(rates):
    assert len(taken(np.arange(100) / 1000, rates)) == 100


def test_new_rate_applies_immediately():
    due = TaskRates()
    now = 0.0
    assert due.due(['detection'], {'detection': 0.01}, now)
    assert not due.due(['detection'], {'detection': 0.01}, now + 0.2)
    assert due.due(['detection'], {'detection': 10.0}, now + 0.2)
    assert not due.due(['detection'], {'detection': 10.0}, now + 0.24)
    assert due.due(['detection'], {'detection': 0.0}, now + 0.21)
    assert not due.due(['detection'], {'detection': 10.0}, now + 0.22)
    assert due.due(['detection'], {'detection': 10.0}, now + 0.31)


def test_tasks_have_separate_rates_and_resumed_task_is_due():
    due = TaskRates()
    rates = {'detection': 10.0, 'segmentation': 1.0}
    assert due.due(BOTH, rates, 0.0) == {*BOTH}
    assert due.due(BOTH, rates, 0.1) == {'detection'}
    assert due.due(['detection'], rates, 0.2) == {'detection'}
    assert due.due(BOTH, rates, 0.3) == {*BOTH}
    assert due.due((), rates, 0.31) == frozenset()
    assert due.due(BOTH, rates, 0.32) == {*BOTH}
