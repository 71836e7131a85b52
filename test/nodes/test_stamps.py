import numpy as np
import pytest

from mtl_perception.nodes.stamps import FUTURE, PAST, StampMonitor

SECOND = 10**9
NOW = 1_700_000_000 * SECOND


def monitored(stamps):
    monitor = StampMonitor()
    for stamp in stamps:
        monitor.age(int(stamp), int(stamp))
    return monitor.report()


def test_age_of_stamp():
    monitor = StampMonitor()
    assert monitor.age(NOW - SECOND // 4, NOW) == pytest.approx(0.25)
    # Synchronised hosts may differ by a little.
    assert monitor.age(NOW + SECOND // 100, NOW) == pytest.approx(-0.01)
    report = monitor.report()
    assert (report.unset, report.ahead, report.behind, report.trouble) == (0, 0, 0, '')


@pytest.mark.parametrize(('stamp', 'counter', 'words'), [
    (0, 'unset', 'stamps are zero'),
    (NOW + int((FUTURE + 1) * SECOND), 'ahead', '1.05 s ahead'),
    (NOW - int((PAST + 1) * SECOND), 'behind', '61 s behind'),
    (-5 * SECOND, 'behind', 'use_sim_time'),
])
def test_unusable_stamp_is_counted_and_explained(stamp, counter, words):
    monitor = StampMonitor()
    assert monitor.age(stamp, NOW) is None
    report = monitor.report()
    assert {name: getattr(report, name) for name in ('unset', 'ahead', 'behind')} == {
        'unset': 0, 'ahead': 0, 'behind': 0} | {counter: 1}
    assert words in report.trouble
    # The next good one is good.
    assert monitor.age(NOW, NOW) == 0
    assert monitor.report().trouble == ''


def test_stopped_clock_gives_no_age():
    monitor = StampMonitor()
    assert monitor.age(NOW, 0) is None
    report = monitor.report()
    assert (report.ahead, report.behind, report.trouble) == (0, 0, '')


def test_clock_jump_restarts_rate():
    forth = NOW + np.arange(50) * SECOND // 10
    again = NOW + np.arange(50) * SECOND // 20
    report = monitored([*forth, *again])
    assert report.backwards == 1
    assert report.rate == pytest.approx(20) and report.missing == 0


def test_too_few_stamps_have_no_rate():
    report = monitored(NOW + np.arange(5) * SECOND)
    assert (report.rate, report.missing, report.expected) == (None, 0, 0)


def test_missing_images_are_counted_by_gaps():
    stamps = np.delete(NOW + np.arange(100) * SECOND // 30, [5, 6, 7, 40, 77])
    report = monitored(stamps)
    assert report.rate == pytest.approx(30, rel=1e-3)
    assert (report.missing, report.expected) == (5, 99)


def test_two_missing_of_three_images_are_counted():
    random = np.random.default_rng(3)
    kept = np.flatnonzero(random.random(600) < 0.34)
    report = monitored(NOW + kept * SECOND // 30)
    assert report.rate == pytest.approx(30, rel=1e-3)
    assert report.missing == kept[-1] - kept[0] - (len(kept) - 1)


def test_jitter_is_not_counted_as_missing():
    random = np.random.default_rng(5)
    jitter = random.normal(0, 0.1 * SECOND / 30, 300).astype(np.int64)
    report = monitored(NOW + np.arange(300) * SECOND // 30 + jitter)
    assert report.missing <= 3 and report.rate == pytest.approx(30, rel=0.15)


def test_equal_stamps_have_no_rate():
    assert monitored([NOW] * 50).rate is None
