import os
from pathlib import Path
import subprocess

import pytest
import yaml

from mtl_perception.bags import crash_safe_file
from mtl_perception.bags.writer import BagWriter, SplitRule
from mtl_perception.errors import DataError

SECOND = 10**9


def test_bag_is_readable_during_and_after_writing(tmp_path, strings):
    bag = BagWriter(tmp_path / 'flight')
    assert strings.with_rosbags(bag.path) == []
    one, two = strings.topic('/one'), strings.topic('/two')
    for number in range(5):
        bag.write(one, number * SECOND, strings.data(f'one {number}'))
    bag.commit()
    assert [text for *_, text in strings.with_rosbags(bag.path)] == [
        f'one {number}' for number in range(5)]
    bag.write(two, 5 * SECOND, strings.data('two'))
    assert len(strings.with_rosbags(bag.path)) == 5
    assert bag.finish() is None
    assert sorted(path.name for path in bag.path.iterdir()) == ['flight_0.mcap', 'metadata.yaml']
    assert strings.with_rosbags(bag.path)[-1] == ('/two', 5 * SECOND, 'two')
    assert len(strings.with_mcap(bag.path / 'flight_0.mcap')) == 6
    said = yaml.safe_load((bag.path / 'metadata.yaml').read_text())['rosbag2_bagfile_information']
    assert said['version'] == 8 and said['message_count'] == 6
    assert said['duration']['nanoseconds'] == 5 * SECOND
    assert [(item['topic_metadata']['name'], item['message_count'])
            for item in said['topics_with_message_count']] == [('/one', 5), ('/two', 1)]


def test_bag_contains_definitions_and_qos_profiles(tmp_path, strings):
    from mcap.reader import make_reader

    bag = BagWriter(tmp_path / 'bag')
    bag.write(strings.topic('/one'), 1, strings.data('x'))
    assert bag.finish() is None
    with (bag.path / 'bag_0.mcap').open('rb') as file:
        reader = make_reader(file)
        assert reader.get_header().profile == 'ros2'
        summary = reader.get_summary()
    (schema,), (channel,) = summary.schemas.values(), summary.channels.values()
    assert (schema.name, schema.encoding) == ('std_msgs/msg/String', 'ros2msg')
    assert schema.data.decode() == strings.type.definition
    assert channel.message_encoding == 'cdr'
    assert channel.metadata['topic_type_hash'].startswith('RIHS01_')
    assert yaml.safe_load(channel.metadata['offered_qos_profiles'])[0]['reliability'] == 1
    assert [index.compression for index in summary.chunk_indexes] == ['zstd']


@pytest.mark.parametrize('rule', [SplitRule(size=200_000), SplitRule(duration=0.001)])
def test_each_file_starts_with_latched_messages(rule, tmp_path, strings):
    bag = BagWriter(tmp_path / 'bag', rule)
    names = strings.topic('/names', is_latched=True)
    for text in ('first', 'second', 'first'):
        bag.write(names, 1, strings.data(text))
    stream = strings.topic('/stream')
    for number in range(2, 12):
        bag.write(stream, number, strings.data(os.urandom(30_000).hex()))
    assert bag.finish() is None
    files = sorted(bag.path.glob('bag_*.mcap'))
    assert len(files) >= 3
    for path in files[1:]:
        messages = strings.with_mcap(path)
        repeated = [text for topic, _, text in messages if topic == '/names']
        assert set(repeated) == {'first', 'second'}
    assert repeated == ['second', 'first']
    everything = strings.with_rosbags(bag.path)
    assert [stamp for topic, stamp, _ in everything if topic == '/stream'] == list(range(2, 12))
    said = yaml.safe_load((bag.path / 'metadata.yaml').read_text())['rosbag2_bagfile_information']
    assert said['relative_file_paths'] == [f'bag_{number}.mcap' for number in range(len(files))]
    assert sum(item['message_count'] for item in said['files']) == len(everything)


def test_existing_bag_is_not_overwritten(tmp_path):
    with pytest.raises(DataError, match='exists already'):
        BagWriter(tmp_path)


def test_full_disk_leaves_readable_bag(tmp_path, strings, monkeypatch):
    bag = BagWriter(tmp_path / 'bag')
    topic = strings.topic('/one')
    bag.write(topic, 1, strings.data('kept'))
    bag.commit()

    class Full:
        def __getattr__(self, name):
            return getattr(os, name)

        def pwrite(self, *_):
            raise OSError(28, 'No space left on device')

    monkeypatch.setattr(crash_safe_file, 'os', Full())
    bag.write(topic, 2, strings.data('lost'))
    with pytest.raises(OSError, match='No space'):
        bag.commit()
    trouble = bag.finish()
    assert trouble is not None and trouble.errno == 28
    assert strings.with_rosbags(bag.path) == [('/one', 1, 'kept')]


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / 'disk'
    disk.mkdir()
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=12m', 'none', str(disk)],
                      capture_output=True).returncode:
        pytest.skip('no file system may be mounted')
    yield disk
    subprocess.run(['umount', '-l', str(disk)], check=True)


def test_really_full_disk_leaves_readable_bag(small_disk: Path, strings):
    bag = BagWriter(small_disk / 'bag')
    topic = strings.topic('/one')
    number = 0
    with pytest.raises(OSError, match='No space'):
        for number in range(100):
            bag.write(topic, number, strings.data(os.urandom(200_000).hex()))
            bag.commit()
    bag.finish()
    assert len(strings.with_mcap(bag.path / 'bag_0.mcap')) >= number - 1 > 10
    assert len(strings.with_rosbags(bag.path)) >= number - 1


def test_unfinished_bag_with_decreasing_times_is_readable(tmp_path, strings):
    bag = BagWriter(tmp_path / 'bag')
    topic = strings.topic('/one')
    begin = 10_000 * SECOND
    # One message overtook another; then the clock was set back by an hour.
    for number, time in enumerate((5, 3, 6, -3600 * SECOND, -3599 * SECOND)):
        bag.write(topic, begin + time, strings.data(str(number)))
    bag.commit()
    assert [(stamp - begin, text) for _, stamp, text in strings.with_rosbags(bag.path)] == [
        (5, '0'), (5, '1'), (6, '2'), (-3600 * SECOND, '3'), (-3599 * SECOND, '4')]
    assert sorted(path.name for path in bag.path.glob('*.mcap')) == ['bag_0.mcap', 'bag_1.mcap']
    assert bag.finish() is None
