"""The recorder node: topics into a rosbag2 bag in MCAP, without a rosbag2 installed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
import time
from typing import Any, Literal

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer, WriterError

from mtl_perception.errors import ConfigError, DataError, MtlError
from mtl_perception.nodes.bag_types import empty_typestore, message_class, register_type
from mtl_perception.nodes.distributions import CALLBACKS_GET_INFO
from mtl_perception.nodes.parameters import AcceptsSameValues, declare
from mtl_perception.nodes.process import Stop
from mtl_perception.nodes.recorder_parameters import RecorderParameters

_LOOK_EVERY = 0.1
"""Seconds between two looks for topics that nobody publishes yet."""

_BAG_VERSION: Literal[8] = 8
"""The older of the metadata versions that the library writes: every ROS 2 since reads it."""


@dataclass
class RecordedTopic:
    """A topic to record and what has come of it."""

    name: str
    type: str
    """`package/msg/Type`, empty until somebody publishes it."""
    subscription: Subscription | None = None
    connection: Connection | None = None
    messages: int = field(default=0)


class RecorderNode(AcceptsSameValues):
    """
    Writes the serialised messages of some topics, as they come, with the time of their arrival.

    Each topic is subscribed to as soon as it has a publisher, with the quality of service that
    all its publishers offer. Messages go to the file at once; the index follows when the process
    is asked to end, so that the bag is whole.
    """

    def __init__(self, stop: Stop) -> None:
        """Create the bag; ConfigError or DataError says why it cannot be."""
        super().__init__('recorder_node')
        self._stop = stop
        self._settings = declare(self, RecorderParameters)
        if not self._settings.topics:
            raise ConfigError('parameter topics is empty: name the topics to record')
        if not self._settings.output:
            raise ConfigError('parameter output is empty: name the folder of the bag')
        self._topics = [self._topic(text) for text in self._settings.topics]
        self._path = Path(self._settings.output).expanduser()
        self._types = empty_typestore()
        for topic in self._topics:
            if topic.type:
                message_class(topic.type)
                register_type(self._types, topic.type)
        self._writer = _open_bag(self._path)
        self._timer = self.create_timer(_LOOK_EVERY, self._subscribe_to_new)

    def start(self) -> None:
        """Begin to look for the topics."""
        self.get_logger().info(
            f'recording {", ".join(topic.name for topic in self._topics)} to {self._path}')
        self._subscribe_to_new()

    def close(self) -> None:
        """Finish the bag and say what is in it; DataError where it could not be finished."""
        for topic in self._topics:
            if topic.subscription is not None:
                self.destroy_subscription(topic.subscription)
        try:
            self._writer.close()
        except OSError as error:
            raise DataError(f'bag {self._path} could not be finished: {error}') from None
        counts = ', '.join(f'{topic.name} {topic.messages}' for topic in self._topics)
        self.get_logger().info(f'recorded to {self._path}: {counts}')

    def _topic(self, text: str) -> RecordedTopic:
        name, _, kind = text.partition(':')
        try:
            return RecordedTopic(self.resolve_topic_name(name), kind)
        except Exception as error:  # rclpy's errors for names have no common class
            raise ConfigError(
                f'parameter topics: {name!r} is not a topic name: {" ".join(str(error).split())}',
                ) from None

    def _subscribe_to_new(self) -> None:
        try:
            for topic in self._topics:
                if topic.subscription is None:
                    self._subscribe(topic)
        except MtlError as error:
            self._stop(error)

    def _subscribe(self, topic: RecordedTopic) -> None:
        publishers = self.get_publishers_info_by_topic(topic.name)
        kinds = sorted({info.topic_type for info in publishers})
        if not topic.type:
            if not kinds:
                return
            if len(kinds) > 1:
                raise ConfigError(
                    f'{topic.name} is published as {" and ".join(kinds)}: '
                    f'choose one with {topic.name}:TYPE')
            topic.type = kinds[0]
        register_type(self._types, topic.type)
        offered = [info.qos_profile for info in publishers if info.topic_type == topic.type]
        topic.connection = self._writer.add_connection(
            topic.name, topic.type, typestore=self._types,
            offered_qos_profiles=[_bag_qos(profile) for profile in offered])
        topic.subscription = self.create_subscription(
            message_class(topic.type), topic.name, self._writer_of(topic),
            _common_profile(offered, self._settings.queue_depth), raw=True)
        self.get_logger().info(f'subscribed to {topic.name} ({topic.type})')

    def _writer_of(self, topic: RecordedTopic) -> Callable[..., None]:
        """Return a callback with as many arguments as this rclpy passes: rclpy counts them."""
        def write_at_arrival(data: bytes, info: Any) -> None:
            self._write(topic, data, info['received_timestamp'])

        def write_now(data: bytes) -> None:
            self._write(topic, data, 0)

        return write_at_arrival if CALLBACKS_GET_INFO else write_now

    def _write(self, topic: RecordedTopic, data: bytes, arrival: int) -> None:
        """Write a message; `arrival` is in ns since the epoch, 0 where nobody told it."""
        assert topic.connection is not None
        stamp = arrival or time.time_ns()
        try:
            self._writer.write(topic.connection, stamp, data)
        except OSError as error:
            self._stop(DataError(f'bag {self._path} cannot be written: {error}'))
        topic.messages += 1


def _open_bag(path: Path) -> Writer:
    try:
        writer = Writer(path, version=_BAG_VERSION, storage_plugin=StoragePlugin.MCAP)
        writer.open()
    except (WriterError, OSError) as error:
        raise DataError(f'bag {path} cannot be created: {error}') from None
    return writer


def _common_profile(offered: list[QoSProfile], depth: int) -> QoSProfile:
    """Return the best profile that is compatible with all offered ones."""
    reliable = bool(offered) and all(
        profile.reliability == ReliabilityPolicy.RELIABLE for profile in offered)
    latched = bool(offered) and all(
        profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for profile in offered)
    return QoSProfile(
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=(
            DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE))


def _bag_qos(profile: QoSProfile) -> Qos:
    """Return a profile as the bag library writes it; its policies have rclpy's names."""
    def duration(value: Any) -> QosTime:
        seconds, nanoseconds = divmod(value.nanoseconds, 10**9)
        return QosTime(seconds, nanoseconds)

    return Qos(
        QosHistory[profile.history.name], profile.depth,
        QosReliability[profile.reliability.name], QosDurability[profile.durability.name],
        duration(profile.deadline), duration(profile.lifespan),
        QosLiveliness[profile.liveliness.name], duration(profile.liveliness_lease_duration),
        profile.avoid_ros_namespace_conventions)
