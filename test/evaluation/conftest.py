"""Bags as the recorder writes them, written without ROS."""

from collections.abc import Callable, Iterator
import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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
