import numpy as np
import pytest

from mtl_perception.bags.metadata import BagTopic, MessageType
from mtl_perception.bags.writer import BagWriter
from mtl_perception.evaluation.bag_tail import BagTail

SECOND = 10**9
BEGIN = 1_700_000_000 * SECOND


def test_messages_are_seen_before_the_bag_is_finished(write_bag, tmp_path):
    # The writer writes a chunk for every 1 MiB.
    pixels = np.zeros((600, 600, 3), np.uint8)
    tail = BagTail(tmp_path / 'bag' / 'bag.mcap', {'/image', '/found'})
    assert list(tail.read()) == []
    seen = []
    with write_bag() as bag:
        for number in range(6):
            bag.image('/image', BEGIN + number, pixels, 'rgb8', recorded=BEGIN + 10 * number)
            bag.image('/unwanted', BEGIN + number, pixels, 'rgb8')
            bag.detections('/found', BEGIN + number,
                           [(0.0, 0.0, 1.0, 1.0, 0.5, '0')] * number, BEGIN + 20 * number)
            seen += tail.read()
            assert len(seen) >= 2 * number - 2
        assert seen
    seen += tail.read()
    assert list(tail.read()) == []
    images = [message for message in seen if message.topic == '/image']
    found = [message for message in seen if message.topic == '/found']
    assert len(images) + len(found) == len(seen)
    assert [message.recorded - BEGIN for message in images] == [0, 10, 20, 30, 40, 50]
    assert [message.stamp - BEGIN for message in images] == list(range(6))
    assert [message.length for message in found] == list(range(6))
    assert all(len(message.data) <= 4096 for message in seen)


@pytest.mark.parametrize('frame_id', ['', 'a', 'ab', 'abc', 'abcd', 'a/longer_name'])
def test_length_after_any_frame_id(write_bag, tmp_path, frame_id):
    with write_bag() as bag:
        bag.header = lambda stamp, _='', make=bag.header: make(stamp, frame_id)
        bag.detections('/found', BEGIN + 5, [(0.0, 0.0, 1.0, 1.0, 0.5, '0')] * 3, BEGIN)
    (message,) = BagTail(tmp_path / 'bag' / 'bag.mcap', {'/found'}).read()
    assert message.length == 3
    assert message.stamp == BEGIN + 5


def test_half_a_chunk_is_waited_for(write_bag, tmp_path):
    with write_bag() as bag:
        bag.image('/image', BEGIN, np.zeros((20, 20, 3), np.uint8), 'rgb8')
    whole = (tmp_path / 'bag' / 'bag.mcap').read_bytes()
    growing = tmp_path / 'growing.mcap'
    tail = BagTail(growing, {'/image'})
    for end in (0, 5, 8, 12, 200, 800):
        growing.write_bytes(whole[:end])
        assert list(tail.read()) == []
    growing.write_bytes(whole)
    assert len(list(tail.read())) == 1


def test_a_bag_of_the_recorder_is_followed_past_its_padding(tmp_path):
    bag = BagWriter(tmp_path / 'flight')
    topic = BagTopic('/text', MessageType('std_msgs/msg/String', 'string data', 'RIHS01_0'))
    tail = BagTail(tmp_path / 'flight' / 'flight_0.mcap', {'/text'})
    noise = np.random.default_rng(8)
    seen = []
    for number in range(30):
        assert list(tail.read()) == []
        bag.write(topic, number, noise.bytes(700_000))
        bag.commit()
        seen += tail.read()
        assert [message.recorded for message in seen] == list(range(number + 1))
    bag.write(topic, 30, b'at the end')
    assert bag.finish() is None
    assert [message.data for message in tail.read()] == [b'at the end']
    assert list(tail.read()) == []
