"""Bags with images and boxes as ROS 1 and distributions of ROS 2 wrote them, without ROS."""

from collections.abc import Iterator
import contextlib
from pathlib import Path
import sqlite3
from typing import Any

import numpy as np

SECOND = 10 ** 9
DISTRIBUTIONS = ('noetic', 'foxy', 'galactic', 'humble')

_POSE = 'geometry_msgs/PoseWithCovariance pose'
_COMMON = {
    'Detection2DArray': 'std_msgs/Header header\nvision_msgs/Detection2D[] detections',
    'BoundingBox2D': 'geometry_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y'}
_DETECTION = ('std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\n'
              'vision_msgs/BoundingBox2D bbox\n')
_NESTED = {'ObjectHypothesis': 'string class_id\nfloat64 score',
           'ObjectHypothesisWithPose': f'vision_msgs/ObjectHypothesis hypothesis\n{_POSE}',
           'Detection2D': f'{_DETECTION}string id'}
_VISION_MSGS: dict[str, dict[str, str]] = {
    'noetic': {**_COMMON, 'ObjectHypothesisWithPose': f'int64 id\nfloat64 score\n{_POSE}',
               'Detection2D': f'{_DETECTION}sensor_msgs/Image source_img'},
    'foxy': {**_COMMON, 'ObjectHypothesisWithPose': f'string id\nfloat64 score\n{_POSE}',
             'Detection2D': f'{_DETECTION}sensor_msgs/Image source_img\nbool is_tracking\n'
                            'string tracking_id'},
    'galactic': {**_COMMON, **_NESTED},
    'humble': {**_COMMON, **_NESTED, 'Point2D': 'float64 x\nfloat64 y',
               'Pose2D': 'vision_msgs/Point2D position\nfloat64 theta',
               'BoundingBox2D': 'vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y'}}

Row = tuple[tuple[float, float, float, float, float], list[tuple[Any, float]]]
"""Centre x and y, size and angle of a box, and the class and score of each hypothesis."""


class PastBag:
    """Writes messages of a distribution."""

    def __init__(self, writer: Any, distribution: str) -> None:
        from rosbags.typesys import get_types_from_msg, get_typestore, Stores
        self._writer = writer
        self._distribution = distribution
        self._is_ros_1 = distribution == 'noetic'
        name = 'ROS1_NOETIC' if self._is_ros_1 else f'ROS2_{distribution.upper()}'
        self._store = get_typestore(Stores[name])
        for kind, text in _VISION_MSGS[distribution].items():
            self._store.register(get_types_from_msg(text, f'vision_msgs/msg/{kind}'))
        self._connections: dict[str, Any] = {}

    def image(self, recorded: int, stamp: int, value: int = 0,
              size: tuple[int, int] = (40, 30), topic: str = '/image') -> None:
        """Write a grey image whose pixels all have `value`."""
        self._write(topic, 'sensor_msgs/msg/Image', self._image(stamp, value, size), recorded)

    def detections(self, recorded: int, stamp: int, rows: list[Row],
                   topic: str = '/truth/detections') -> None:
        """Write a message with these boxes."""
        found = []
        for (x, y, width, height, theta), hypotheses in rows:
            if self._distribution == 'humble':
                centre = self._make('vision_msgs/msg/Pose2D',
                                    self._make('vision_msgs/msg/Point2D', x, y), theta)
            else:
                centre = self._make('geometry_msgs/msg/Pose2D', x, y, theta)
            box = self._make('vision_msgs/msg/BoundingBox2D', centre, width, height)
            results = [self._result(*hypothesis) for hypothesis in hypotheses]
            rest = {'noetic': [self._image(0, 0, (0, 0))],
                    'foxy': [self._image(0, 0, (0, 0)), False, '']}.get(self._distribution, [''])
            found.append(self._make('vision_msgs/msg/Detection2D', self._header(stamp), results,
                                    box, *rest))
        kind = 'vision_msgs/msg/Detection2DArray'
        self._write(topic, kind, self._make(kind, self._header(stamp), found), recorded)

    def _result(self, name: Any, score: float) -> Any:
        pose = self._make(
            'geometry_msgs/msg/PoseWithCovariance', self._make(
                'geometry_msgs/msg/Pose', self._make('geometry_msgs/msg/Point', 0.0, 0.0, 0.0),
                self._make('geometry_msgs/msg/Quaternion', 0.0, 0.0, 0.0, 1.0)), np.zeros(36))
        kind = 'vision_msgs/msg/ObjectHypothesisWithPose'
        if self._distribution in ('noetic', 'foxy'):
            return self._make(kind, name, score, pose)
        return self._make(kind, self._make('vision_msgs/msg/ObjectHypothesis', name, score), pose)

    def _image(self, stamp: int, value: int, size: tuple[int, int]) -> Any:
        width, height = size
        return self._make('sensor_msgs/msg/Image', self._header(stamp), height, width, 'mono8', 0,
                          width, np.full(width * height, value, np.uint8))

    def _header(self, stamp: int) -> Any:
        time = self._make('builtin_interfaces/msg/Time', stamp // SECOND, stamp % SECOND)
        first = [0] if self._is_ros_1 else []
        return self._make('std_msgs/msg/Header', *first, time, 'camera')

    def _make(self, kind: str, *values: Any) -> Any:
        return self._store.types[kind](*values)

    def _write(self, topic: str, kind: str, message: Any, recorded: int) -> None:
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(
                topic, kind, typestore=self._store)
        serialize = self._store.serialize_ros1 if self._is_ros_1 else self._store.serialize_cdr
        self._writer.write(self._connections[topic], recorded, serialize(message, kind))


@contextlib.contextmanager
def past_bag(path: Path, distribution: str = 'humble', storage: str = 'mcap',
             compression: str = '') -> Iterator[PastBag]:
    """
    Write the bag `path`; of `noetic` it is a file, of the others a folder.

    `compression`: '', 'file', 'message' or 'storage' (zstd). `storage` 'sqlite3 of Humble' has no
    definitions.
    """
    from rosbags import rosbag1, rosbag2
    path.parent.mkdir(parents=True, exist_ok=True)
    if distribution == 'noetic':
        with rosbag1.Writer(path) as writer:
            yield PastBag(writer, distribution)
        return
    plugin = rosbag2.StoragePlugin[storage.split()[0].upper()]
    writer = rosbag2.Writer(path, version=8, storage_plugin=plugin)
    if compression:
        writer.set_compression(rosbag2.CompressionMode[compression.upper()],
                               rosbag2.CompressionFormat.ZSTD)
    with writer:
        yield PastBag(writer, distribution)
    if storage == 'sqlite3 of Humble':
        with contextlib.closing(sqlite3.connect(path / f'{path.name}.db3')) as database:
            for table in ('message_definitions', 'schema', 'metadata'):
                database.execute(f'DROP TABLE {table}')
            database.execute('ALTER TABLE topics DROP COLUMN type_description_hash')
            database.commit()
