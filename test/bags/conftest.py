"""Fixtures for bags and messages, written and read without ROS."""

from collections.abc import Callable, Iterator
import contextlib
from pathlib import Path
from typing import Any

import numpy as np
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


VISION_MSGS = Path(__file__).parents[2] / 'interfaces' / 'vision_msgs' / 'msg'

SECOND = 10**9


class BagWriter:
    """Writes messages by topic; `recorded` is the time of arrival in nanoseconds."""

    def __init__(self, writer: Any) -> None:
        from rosbags.typesys import get_types_from_msg, get_typestore, Stores

        self.writer = writer
        self.store = get_typestore(Stores.ROS2_KILTED)
        for path in VISION_MSGS.glob('*.msg'):
            name = f'vision_msgs/msg/{path.stem}'
            types = get_types_from_msg(path.read_text(encoding='utf-8'), name)
            self.store.register({
                key: value for key, value in types.items() if key not in self.store.fielddefs})
        self.connections = {}

    def type(self, name: str):
        return self.store.types[name]

    def header(self, stamp: int, frame_id: str = 'camera'):
        time = self.type('builtin_interfaces/msg/Time')(stamp // SECOND, stamp % SECOND)
        return self.type('std_msgs/msg/Header')(time, frame_id)

    def write(self, topic: str, kind: str, message, recorded: int) -> None:
        if topic not in self.connections:
            self.connections[topic] = self.writer.add_connection(
                topic, kind, typestore=self.store)
        self.writer.write(
            self.connections[topic], recorded, self.store.serialize_cdr(message, kind))

    def image(self, topic: str, stamp: int, pixels: np.ndarray, encoding: str,
              recorded: int | None = None, padding: int = 0, frame_id: str = 'camera') -> None:
        rows = pixels.reshape(len(pixels), -1)
        rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
        kind = 'sensor_msgs/msg/Image'
        self.write(topic, kind, self.type(kind)(
            self.header(stamp, frame_id), pixels.shape[0], pixels.shape[1], encoding, 0,
            rows.shape[1], rows.ravel()), stamp if recorded is None else recorded)

    def compressed(self, topic: str, stamp: int, data: bytes, recorded: int) -> None:
        kind = 'sensor_msgs/msg/CompressedImage'
        self.write(topic, kind, self.type(kind)(
            self.header(stamp), 'png', np.frombuffer(data, np.uint8)), recorded)

    def detections(self, topic: str, stamp: int, rows: list[tuple], recorded: int) -> None:
        """Write (x0, y0, x1, y1, score, class id) rows."""
        vision = 'vision_msgs/msg/'
        found = []
        for x0, y0, x1, y1, score, class_id in rows:
            pose = self.type(f'{vision}Pose2D')(
                self.type(f'{vision}Point2D')((x0 + x1) / 2, (y0 + y1) / 2), 0.0)
            box = self.type(f'{vision}BoundingBox2D')(pose, x1 - x0, y1 - y0)
            covariance = self.type('geometry_msgs/msg/PoseWithCovariance')(
                self.type('geometry_msgs/msg/Pose')(
                    self.type('geometry_msgs/msg/Point')(0.0, 0.0, 0.0),
                    self.type('geometry_msgs/msg/Quaternion')(0.0, 0.0, 0.0, 1.0)),
                np.zeros(36))
            hypothesis = self.type(f'{vision}ObjectHypothesisWithPose')(
                self.type(f'{vision}ObjectHypothesis')(class_id, score), covariance)
            found.append(self.type(f'{vision}Detection2D')(
                self.header(stamp), [hypothesis], box, ''))
        kind = f'{vision}Detection2DArray'
        self.write(topic, kind, self.type(kind)(self.header(stamp), found), recorded)

    def diagnostics(self, values: dict[str, dict[str, str]], recorded: int) -> None:
        """Write the state of a node: status name -> key -> value."""
        diagnostic = 'diagnostic_msgs/msg/'
        statuses = [
            self.type(f'{diagnostic}DiagnosticStatus')(0, name, '', '', [
                self.type(f'{diagnostic}KeyValue')(key, value) for key, value in pairs.items()])
            for name, pairs in values.items()]
        kind = f'{diagnostic}DiagnosticArray'
        self.write('/diagnostics', kind,
                   self.type(kind)(self.header(recorded), statuses), recorded)


@pytest.fixture
def write_bag(tmp_path) -> Callable[..., contextlib.AbstractContextManager[BagWriter]]:
    """Return a context manager that writes `tmp_path`/NAME and closes it at the end."""
    pytest.importorskip('rosbags')
    from rosbags.rosbag2 import StoragePlugin, Writer

    @contextlib.contextmanager
    def write(name: str = 'bag', storage: str = 'mcap') -> Iterator[BagWriter]:
        with Writer(tmp_path / name, version=8,
                    storage_plugin=StoragePlugin[storage.upper()]) as writer:
            yield BagWriter(writer)

    return write
