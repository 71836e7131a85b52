"""The recorder node: topics into a rosbag2 bag in MCAP, without a rosbag2 installed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
import socket
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from std_msgs.msg import Header

from mtl_perception.bags.metadata import (
    BagTopic,
    COMPRESSED_IMAGE,
    IMAGE,
    MessageType,
    qos_text,
)
from mtl_perception.bags.recording import Recording, RecordingLimits, Source
from mtl_perception.bags.writer import BagWriter, SplitRule
from mtl_perception.errors import ConfigError, MtlError, one_line
from mtl_perception.files import expanded
from mtl_perception.nodes import qos
from mtl_perception.nodes.bag_types import empty_typestore, message_class, register_type
from mtl_perception.nodes.diagnostics import present
from mtl_perception.nodes.distributions import CALLBACKS_GET_INFO
from mtl_perception.nodes.parameters import AcceptsSameValues, declare
from mtl_perception.nodes.process import Stop
from mtl_perception.nodes.recorder_parameters import RecorderParameters

_LOOK_EVERY = 0.1
"""Seconds between two searches for topics that have no publisher yet."""

_LOOK_AGAIN_EVERY = 10
"""Searches after which the publishers of subscribed topics are checked again."""

_WAIT_FOR_RAW = 10
"""Searches for a publisher of raw images before compressed ones are recorded instead."""

_DRAIN_WITHIN = 6.0
"""Seconds that what waits gets to be written at the end."""


@dataclass(eq=False)
class RecordedTopic:
    """A topic to record, and its subscription."""

    name: str
    type: str
    """`package/msg/Type`, empty until it is published."""
    subscription: Subscription | None = None
    profile: QoSProfile | None = None
    source: Source | None = None
    compressed_seen: int = 0
    """Searches that found compressed images but no raw ones."""


class RecorderNode(AcceptsSameValues):
    """
    Writes the serialised messages of some topics, with the time of their arrival.

    Each topic is subscribed to as soon as it has a publisher, with the quality of service that
    all its publishers offer. Images are compressed; see `mtl_perception.bags.recording`. Its
    state is published on /diagnostics once a second.
    """

    def __init__(self, stop: Stop) -> None:
        """Create the bag; ConfigError or DataError where that fails."""
        super().__init__('recorder_node')
        self._stop = stop
        self._settings = settings = declare(self, RecorderParameters)
        if not settings.topics:
            raise ConfigError('parameter topics is empty: name the topics to record')
        if not settings.output:
            raise ConfigError('parameter output is empty: name the folder of the bag')
        self._topics = [self._topic(text) for text in settings.topics]
        self._path = expanded(settings.output)
        self._types = empty_typestore()
        for topic in self._topics:
            if topic.type:
                message_class(topic.type)
                register_type(self._types, topic.type)
        bag = BagWriter(self._path, SplitRule(
            settings.max_file_size * 1_000_000, settings.max_file_duration))
        self._recording = Recording(
            bag, RecordingLimits(settings.max_queue_size * 1_000_000,
                                 settings.min_free_space * 1_000_000), self._warn)
        self._looks = 0
        self._said = (time.monotonic(), 0)
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', qos.RESULTS)
        # They continue while ROS time does not advance.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = self.create_timer(_LOOK_EVERY, self._look, clock=steady)
        self._diagnostics_timer = self.create_timer(1.0, self._tell, clock=steady)

    def start(self) -> None:
        """Begin to search for the topics."""
        self.get_logger().info(
            f'recording {", ".join(topic.name for topic in self._topics)} to {self._path}')
        self._look()

    def close(self) -> None:
        """Finish the bag and log its content."""
        for topic in self._topics:
            if topic.subscription is not None:
                self.destroy_subscription(topic.subscription)
        self._recording.close(_DRAIN_WITHIN)
        self.get_logger().info(
            f'recorded to {self._path}: ' + ', '.join(map(_count, self._topics)))

    def _warn(self, text: str) -> None:
        self.get_logger().warning(text)

    def _topic(self, text: str) -> RecordedTopic:
        name, _, kind = text.partition(':')
        try:
            return RecordedTopic(self.resolve_topic_name(name), kind)
        except Exception as error:  # rclpy's errors for names have no common class
            raise ConfigError(
                f'parameter topics: {name!r} is not a topic name: {one_line(error)}',
                ) from None

    def _look(self) -> None:
        """Subscribe to new topics, and again where publishers offer less than before."""
        self._looks += 1
        try:
            for topic in self._topics:
                if topic.subscription is None:
                    self._subscribe(topic)
                elif self._looks % _LOOK_AGAIN_EVERY == 0:
                    self._adapt(topic)
        except MtlError as error:
            self._stop(error)

    def _subscribe(self, topic: RecordedTopic) -> None:
        name = topic.name
        publishers = self.get_publishers_info_by_topic(name)
        kinds = sorted({info.topic_type for info in publishers})
        if not kinds and topic.type in ('', IMAGE):
            name = f'{topic.name}/compressed'
            compressed = self.get_publishers_info_by_topic(name)
            if {info.topic_type for info in compressed} == {COMPRESSED_IMAGE}:
                topic.compressed_seen += 1
                if topic.compressed_seen < _WAIT_FOR_RAW or self._is_listed(name):
                    return
                self._record(topic, name, COMPRESSED_IMAGE, compressed)
                return
            name = topic.name
        kind = topic.type
        if not kind:
            if not kinds:
                return
            if len(kinds) > 1:
                raise ConfigError(
                    f'{topic.name} is published as {" and ".join(kinds)}: '
                    f'choose one with {topic.name}:TYPE')
            kind = kinds[0]
        elif not kinds and kind == IMAGE:
            # It may still be published compressed.
            return
        self._record(topic, name, kind, publishers)

    def _record(self, topic: RecordedTopic, name: str, kind: str, publishers: Any) -> None:
        offered = [info.qos_profile for info in publishers if info.topic_type == kind]
        latched = bool(offered) and all(
            profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for profile in offered)
        text = qos_text([_bag_qos(profile) for profile in offered])
        settings = self._settings
        topic.type = kind
        topic.source = Source(BagTopic(name, self._type(kind), text, latched),
                              kind=settings.image_format, quality=settings.jpeg_quality)
        if kind == IMAGE and settings.image_format != 'raw' and not self._stays_raw(name):
            topic.source.compressed = BagTopic(
                f'{name}/compressed', self._type(COMPRESSED_IMAGE), text, latched)
        self._listen(topic, _common_profile(offered, settings.queue_depth))
        self.get_logger().info(f'subscribed to {name} ({kind})')

    def _adapt(self, topic: RecordedTopic) -> None:
        assert topic.source is not None and topic.profile is not None
        publishers = self.get_publishers_info_by_topic(topic.source.topic.name)
        offered = [info.qos_profile for info in publishers if info.topic_type == topic.type]
        if not offered:
            return
        profile, before = _common_profile(offered, self._settings.queue_depth), topic.profile
        if ((before.reliability, profile.reliability) == (
                ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT)
                or (before.durability, profile.durability) == (
                    DurabilityPolicy.TRANSIENT_LOCAL, DurabilityPolicy.VOLATILE)):
            assert topic.subscription is not None
            self.destroy_subscription(topic.subscription)
            self._listen(topic, profile)

    def _listen(self, topic: RecordedTopic, profile: QoSProfile) -> None:
        assert topic.source is not None
        topic.profile = profile
        topic.subscription = self.create_subscription(
            message_class(topic.type), topic.source.topic.name,
            _callback(self._recording, topic.source), profile, raw=True)

    def _type(self, name: str) -> MessageType:
        register_type(self._types, name)
        definition, _ = self._types.generate_msgdef(name, ros_version=2)
        return MessageType(name, definition, self._types.hash_rihs01(name))

    def _stays_raw(self, name: str) -> bool:
        patterns = self._settings.raw_topics
        return (self._is_listed(f'{name}/compressed')
                or any(fnmatchcase(name, pattern) for pattern in patterns))

    def _is_listed(self, name: str) -> bool:
        return any(topic.name == name for topic in self._topics)

    def _tell(self) -> None:
        before, size_before = self._said
        now, size = time.monotonic(), self._recording.size
        self._said = (now, size)
        try:
            free, least = (f'{number / 1e6:.1f}' for number in self._recording.free())
        except OSError as error:
            free, least = str(error.strerror), ''
        rate = (size - size_before) / max(now - before, 1e-3) / 1e6
        values = {
            'file': self._recording.file,
            'recorded [MB]': f'{size / 1e6:.1f}',
            'rate [MB/s]': f'{rate:.2f}',
            'waiting to be written [MB]': f'{self._recording.waiting / 1e6:.1f}',
            'free space [MB]': free,
            'free space at which recording stops [MB]': least}
        dropped = 0
        for topic in self._topics:
            source = topic.source
            values[f'{topic.name} messages'] = str(source.messages if source else 0)
            values[f'{topic.name} dropped'] = str(source.dropped if source else 0)
            dropped += source.dropped if source else 0
        stopped = self._recording.stopped
        if stopped:
            level, text = DiagnosticStatus.ERROR, f'stopped: {stopped}'
        elif dropped:
            level, text = DiagnosticStatus.WARN, f'recording; {dropped} messages were dropped'
        else:
            level, text = DiagnosticStatus.OK, 'recording'
        self._diagnostics.publish(DiagnosticArray(
            header=Header(stamp=present(self)),
            status=[DiagnosticStatus(
                level=level, name=f'{self.get_fully_qualified_name().lstrip("/")}: recording',
                message=text, hardware_id=socket.gethostname(),
                values=[KeyValue(key=key, value=value) for key, value in values.items()])]))


def _callback(recording: Recording, source: Source) -> Callable[..., None]:
    """Return a callback with as many arguments as this rclpy passes: rclpy counts them."""
    def put_at_arrival(data: bytes, info: Any) -> None:
        # Nanoseconds since the epoch, 0 if unknown.
        recording.put(source, info['received_timestamp'] or time.time_ns(), data)

    def put_now(data: bytes) -> None:
        recording.put(source, time.time_ns(), data)

    return put_at_arrival if CALLBACKS_GET_INFO else put_now


def _count(topic: RecordedTopic) -> str:
    source = topic.source
    if source is None:
        return f'{topic.name} 0'
    return f'{topic.name} {source.messages}' + (
        f' ({source.dropped} dropped)' if source.dropped else '')


def _common_profile(offered: Iterable[QoSProfile], depth: int) -> QoSProfile:
    """Return the best profile that is compatible with all offered ones."""
    offered = list(offered)
    reliable = bool(offered) and all(
        profile.reliability == ReliabilityPolicy.RELIABLE for profile in offered)
    latched = bool(offered) and all(
        profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for profile in offered)
    return QoSProfile(
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=(
            DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE))


def _bag_qos(profile: QoSProfile) -> dict[str, Any]:
    """Return a profile as rosbag2 writes it: the policies are numbers of rmw."""
    def duration(value: Any) -> dict[str, int]:
        seconds, nanoseconds = divmod(value.nanoseconds, 10**9)
        return {'sec': int(seconds), 'nsec': int(nanoseconds)}

    return {
        'history': int(profile.history),
        'depth': int(profile.depth),
        'reliability': int(profile.reliability),
        'durability': int(profile.durability),
        'deadline': duration(profile.deadline),
        'lifespan': duration(profile.lifespan),
        'liveliness': int(profile.liveliness),
        'liveliness_lease_duration': duration(profile.liveliness_lease_duration),
        'avoid_ros_namespace_conventions': bool(profile.avoid_ros_namespace_conventions)}
