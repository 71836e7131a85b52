"""Topics whose messages can be made and read without ROS."""

from pathlib import Path

import pytest

from mtl_perception.bags.metadata import BagTopic, MessageType, qos_text

KIND = 'std_msgs/msg/String'


class Strings:
    """Messages of text."""

    def __init__(self):
        from rosbags.typesys import get_typestore, Stores

        self.store = get_typestore(Stores.ROS2_KILTED)
        definition, _ = self.store.generate_msgdef(KIND, ros_version=2)
        self.type = MessageType(KIND, definition, self.store.hash_rihs01(KIND))

    def topic(self, name, is_latched=False):
        time = {'sec': 0, 'nsec': 0}
        return BagTopic(name, self.type, qos_text([{
            'history': 1, 'depth': 5, 'reliability': 1, 'durability': 1 if is_latched else 2,
            'deadline': time, 'lifespan': time, 'liveliness': 1,
            'liveliness_lease_duration': time, 'avoid_ros_namespace_conventions': False,
        }]), is_latched)

    def data(self, text):
        return bytes(self.store.serialize_cdr(self.store.types[KIND](text), KIND))

    def with_rosbags(self, path: Path) -> list[tuple[str, int, str]]:
        """Return topic, time and text of all messages of a bag."""
        from rosbags.highlevel import AnyReader

        with AnyReader([path]) as reader:
            return [(connection.topic, stamp, reader.deserialize(data, connection.msgtype).data)
                    for connection, stamp, data in reader.messages()]

    def with_mcap(self, path: Path) -> list[tuple[str, int, str]]:
        """Return topic, time and text of all messages of a file."""
        from mcap.reader import make_reader

        with path.open('rb') as file:
            return [(channel.topic, message.log_time, message.data[8:-1].decode())
                    for _, channel, message in make_reader(file).iter_messages()]


@pytest.fixture
def strings():
    return Strings()
