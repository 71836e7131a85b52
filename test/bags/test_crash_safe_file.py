"""The file is cut after every single system call, and read with two readers."""

import os
import random

import pytest

from mtl_perception.bags import crash_safe_file
from mtl_perception.bags.crash_safe_file import CrashSafeFile


class CutError(Exception):
    """The process was killed."""


class Calls:
    """The system calls of the module under test; all but the first `most` are not made."""

    def __init__(self, most=1 << 30):
        self.most = most
        self.made = []

    def __getattr__(self, name):
        real = getattr(os, name)
        if name not in ('pwrite', 'fdatasync', 'fsync', 'ftruncate'):
            return real

        def call(*args):
            if len(self.made) >= self.most:
                raise CutError
            self.made.append((name, *args[1:]))
            return real(*args)

        return call


def write(path, strings, commits=6, step=4096, texts=range(5)):
    """Write a file; yield what is committed before each commit."""
    from mcap.writer import CompressionType, Writer

    random.seed(8)
    stream = CrashSafeFile(path, step)
    writer = Writer(stream, compression=CompressionType.ZSTD)
    writer.start(profile='ros2', library='test')
    stream.commit()
    topic = strings.topic('/text')
    schema = writer.register_schema(topic.type.name, 'ros2msg', topic.type.definition.encode())
    channel = writer.register_channel(
        topic.name, 'cdr', schema, {'offered_qos_profiles': topic.qos})
    number = 0
    for _ in range(commits):
        for _ in texts:
            number += 1
            # Text that cannot be compressed, of lengths that bring headers to every place.
            text = f'{number} ' + random.randbytes(random.randint(0, 400)).hex()
            writer.add_message(channel, number, strings.data(text), number)
        writer.flush()
        yield number - len(texts)
        stream.commit()
    yield number
    stream.begin_summary()
    writer.finish()
    stream.finish()
    stream.close()
    yield number


def test_committed_data_is_readable_after_kill(tmp_path, strings, monkeypatch):
    calls = Calls()
    monkeypatch.setattr(crash_safe_file, 'os', calls)
    assert list(write(tmp_path / 'whole.mcap', strings))[-1] == 30
    assert len(strings.with_mcap(tmp_path / 'whole.mcap')) == 30
    grown = 0
    for most in range(4, len(calls.made)):
        cut = Calls(most)
        monkeypatch.setattr(crash_safe_file, 'os', cut)
        path = tmp_path / f'{most}.mcap'
        committed = 0
        with pytest.raises(CutError):
            for number in write(path, strings):
                committed = number
        # The new footer is there, and the padding still ends at the old one.
        if cut.made[-1][1:2] == (crash_safe_file._FOOTER,):
            grown += 1
            continue
        for messages in (strings.with_mcap(path), strings.with_rosbags(path)):
            assert [stamp for _, stamp, _ in messages] == list(range(1, len(messages) + 1))
            assert committed <= len(messages) <= committed + 5
            assert all(int(text.split()[0]) == stamp for _, stamp, text in messages)
    assert 1 <= grown <= 10


def test_headers_do_not_cross_blocks(tmp_path, strings, monkeypatch):
    calls = Calls()
    monkeypatch.setattr(crash_safe_file, 'os', calls)
    list(write(tmp_path / 'a.mcap', strings, commits=800, step=1 << 20, texts=range(1)))
    places = [offset for name, *rest in calls.made if name == 'pwrite'
              for data, offset in [rest] if len(data) == 9]
    assert len(places) >= 800
    assert all(place % 512 <= 512 - 9 for place in places)
    assert len(strings.with_mcap(tmp_path / 'a.mcap')) == 800
    assert len(strings.with_rosbags(tmp_path / 'a.mcap')) == 800


def test_unsynced_data_may_be_lost_on_power_cut(tmp_path, strings, monkeypatch):
    """Of the writes since the last sync, any may have reached the disk."""
    calls = Calls()
    monkeypatch.setattr(crash_safe_file, 'os', calls)
    steps = write(tmp_path / 'a.mcap', strings, step=1 << 16)
    expected = []
    for number in steps:
        expected.append((len(calls.made), number))
    synced = bytearray()
    waiting = []
    checked = 0
    for index, (name, *rest) in enumerate(calls.made[:expected[-2][0]]):
        if name == 'pwrite':
            waiting.append((bytes(rest[0]), rest[1]))
        if name not in ('fdatasync', 'fsync') or index < expected[0][0]:
            if name == 'pwrite' and index < expected[0][0]:
                put(synced, *waiting.pop())
            continue
        least = max(number for at, number in expected if at <= index or number == 0)
        for chosen in range(1 << len(waiting)):
            image = bytearray(synced)
            for bit, (data, offset) in enumerate(waiting):
                if chosen >> bit & 1:
                    put(image, data, offset)
            (tmp_path / 'cut.mcap').write_bytes(image)
            for read in (strings.with_mcap, strings.with_rosbags):
                assert len(read(tmp_path / 'cut.mcap')) >= least - 5
            checked += 1
        for data, offset in waiting:
            put(synced, data, offset)
        waiting = []
    assert checked > 20


def put(image, data, offset):
    image.extend(bytes(max(0, offset + len(data) - len(image))))
    image[offset:offset + len(data)] = data


def test_full_disk_keeps_committed_data(tmp_path, strings, monkeypatch):
    class Full(Calls):
        def __getattr__(self, name):
            if name == 'pwrite' and len(self.made) > 8:
                def refuse(*_):
                    raise OSError(28, 'No space left on device')
                return refuse
            return super().__getattr__(name)

    monkeypatch.setattr(crash_safe_file, 'os', Full())
    committed = 0
    with pytest.raises(OSError, match='No space'):
        for number in write(tmp_path / 'a.mcap', strings, step=1 << 16):
            committed = number
    assert committed
    assert len(strings.with_mcap(tmp_path / 'a.mcap')) == committed
    assert len(strings.with_rosbags(tmp_path / 'a.mcap')) == committed


def test_file_without_summary_is_readable(tmp_path, strings):
    stream = CrashSafeFile(tmp_path / 'a.mcap', 1 << 16)
    from mcap.writer import Writer

    writer = Writer(stream)
    writer.start(profile='ros2', library='test')
    schema = writer.register_schema(
        strings.type.name, 'ros2msg', strings.type.definition.encode())
    channel = writer.register_channel('/text', 'cdr', schema, {'offered_qos_profiles': ''})
    writer.add_message(channel, 1, strings.data('one'), 1)
    writer.flush()
    stream.commit()
    writer.add_message(channel, 2, strings.data('lost'), 2)
    writer.flush()
    stream.finish_without_summary()
    stream.close()
    assert (tmp_path / 'a.mcap').stat().st_size < 4096
    assert strings.with_mcap(tmp_path / 'a.mcap') == [('/text', 1, 'one')]
    assert strings.with_rosbags(tmp_path / 'a.mcap') == [('/text', 1, 'one')]


def test_file_without_content_is_removed(tmp_path):
    CrashSafeFile(tmp_path / 'a.mcap').close()
    assert list(tmp_path.iterdir()) == []
