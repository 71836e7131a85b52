import os
import threading
import time

import pytest

from mtl_perception.bags.recording import Recording, RecordingLimits, Source
from mtl_perception.bags.writer import BagWriter


@pytest.fixture
def record(tmp_path):
    """Return a function that creates a recording, and a list of its warnings."""
    made = []

    def make(**limits):
        warnings = []
        bag = BagWriter(tmp_path / 'bag')
        made.append(Recording(bag, RecordingLimits(**limits), warnings.append))
        return made[-1], bag, warnings

    yield make
    for recording in made:
        recording.close(1.0)


def wait_until(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_queued_messages_are_written_at_close(record, strings, tmp_path):
    recording, _, warnings = record(free=0)
    source = Source(strings.topic('/one'))
    for number in range(500):
        recording.put(source, number, strings.data(str(number)))
    recording.close(5.0)
    assert [text for *_, text in strings.with_rosbags(tmp_path / 'bag')] == [
        str(number) for number in range(500)]
    assert (source.messages, source.dropped) == (500, 0)
    assert not warnings and not recording.stopped


@pytest.mark.slow
def test_message_is_readable_after_a_second(record, strings, tmp_path):
    recording, *_ = record(free=0)
    recording.put(Source(strings.topic('/one')), 1, strings.data('x'))
    time.sleep(2)
    assert strings.with_rosbags(tmp_path / 'bag') == [('/one', 1, 'x')]


def test_messages_beyond_queue_are_dropped_and_counted(record, strings, monkeypatch):
    recording, bag, warnings = record(queue=10_000, free=0)
    gate = threading.Event()
    write = bag.write
    monkeypatch.setattr(bag, 'write', lambda *args: gate.wait() and write(*args))
    source, small = Source(strings.topic('/large')), Source(strings.topic('/small'))
    for number in range(10):
        recording.put(source, number, strings.data('x' * 4000))
    recording.put(small, 11, strings.data('x'))
    assert recording.waiting <= 10_000
    gate.set()
    recording.close(5.0)
    assert source.messages + source.dropped == 10 and source.dropped >= 7
    assert small.messages == 1
    assert len(warnings) == 1 and f'/large {source.dropped}' in warnings[0]


@pytest.mark.slow
def test_recording_stops_at_free_space_limit_with_complete_bag(record, strings, tmp_path,
                                                               monkeypatch):
    recording, _, warnings = record(free=1_000_000_000)
    source = Source(strings.topic('/one'))
    recording.put(source, 1, strings.data('x'))
    wait_until(lambda: source.messages)
    real = os.statvfs
    space = real(tmp_path)

    class Small:
        f_blocks, f_frsize, f_bavail = space.f_blocks, space.f_frsize, 7

    monkeypatch.setattr(os, 'statvfs', lambda path: Small)
    wait_until(lambda: warnings)
    assert 'min_free_space' in recording.stopped
    recording.put(source, 2, strings.data('too late'))
    assert source.dropped == 1
    recording.close(1.0)
    assert strings.with_rosbags(tmp_path / 'bag') == [('/one', 1, 'x')]
    assert len(warnings) == 1 and 'recording stopped' in warnings[0]


@pytest.mark.slow
def test_disk_failure_ends_recording_only(record, strings, tmp_path, monkeypatch):
    recording, bag, warnings = record(free=0)
    source = Source(strings.topic('/one'))

    def fail():
        raise OSError(5, 'Input/output error')

    recording.put(source, 1, strings.data('x'))
    wait_until(lambda: source.messages)
    monkeypatch.setattr(bag, 'commit', fail)
    wait_until(lambda: warnings)
    assert recording.stopped == 'Input/output error'
    assert len(warnings) == 1
    assert strings.with_rosbags(tmp_path / 'bag') == [('/one', 1, 'x')]
