"""A process that writes a bag is killed at any moment."""

import random
import subprocess
import sys
import time

from mcap.reader import make_reader
import pytest
from rosbags.highlevel import AnyReader

CHILD = """
import itertools, random, sys, time
from pathlib import Path
from rosbags.typesys import get_typestore, Stores
from mtl_perception.bags import recording
from mtl_perception.bags.metadata import BagTopic, MessageType
from mtl_perception.bags.writer import BagWriter, SplitRule

recording._COMMIT_EVERY = 0.01  # many commits and files in half a second
store = get_typestore(Stores.ROS2_KILTED)
kind = 'std_msgs/msg/String'
source = recording.Source(BagTopic('/a', MessageType(
    kind, store.generate_msgdef(kind, ros_version=2)[0], store.hash_rihs01(kind))))
written = recording.Recording(
    BagWriter(Path(sys.argv[1]), SplitRule(duration=0.2)), recording.RecordingLimits(free=0),
    lambda line: None)
for number in itertools.count():
    text = f'{number:09}' + random.randbytes(2000).hex()
    data = bytes(store.serialize_cdr(store.types[kind](text), kind))
    print(number, flush=True)
    written.put(source, time.time_ns(), data)
    time.sleep(0.001)
"""


def number_of(data):
    return int(data[8:17])


@pytest.mark.slow
def test_bag_is_readable_after_kill(tmp_path):
    chance = random.Random(1)
    several = 0
    for run in range(20):
        bag = tmp_path / f'bag{run}'
        with subprocess.Popen([sys.executable, '-c', CHILD, bag], text=True,
                              stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            time.sleep(0.1 + 0.4 * chance.random())
            process.kill()
            sent = int(process.stdout.read().split()[-1])
        found = []
        files = sorted(bag.glob('*.mcap'), key=lambda path: int(path.stem.split('_')[1]))
        for path in files:
            with path.open('rb') as file:
                found += [number_of(message.data) for _, _, message in make_reader(
                    file, validate_crcs=True).iter_messages()]
        assert found == list(range(len(found)))
        assert len(found) > sent - 150
        with AnyReader([bag]) as reader:
            read = [number_of(data) for *_, data in reader.messages()]
        # The metadata may not know yet of a file that has just been begun.
        assert read == found[:len(read)] and len(read) > sent - 150
        several += len(files) > 1
    assert several > 5
