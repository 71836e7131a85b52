"""The file metadata.yaml of a rosbag2 bag, in version 8, which all ROS 2 distributions read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
import os
from pathlib import Path
from typing import Any

import yaml

from mtl_perception.bags.crash_safe_file import sync_folder

METADATA = 'metadata.yaml'

IMAGE = 'sensor_msgs/msg/Image'
COMPRESSED_IMAGE = 'sensor_msgs/msg/CompressedImage'


@dataclass(frozen=True)
class MessageType:
    """A message type with its definition, as stored in a bag."""

    name: str
    """`package/msg/Type`."""
    definition: str
    """Text of the definition and of all types that it contains (`ros2msg`)."""
    digest: str
    """`RIHS01_...` (REP 2011)."""


@dataclass(frozen=True)
class BagTopic:
    """A topic of a bag."""

    name: str
    type: MessageType
    qos: str = ''
    """Profiles offered by publishers, in the format of `qos_text`."""
    is_latched: bool = False
    """Whether each file of the bag starts with the latest messages of the topic."""


@dataclass
class MessageSpan:
    """Number of messages, and the time span of their recording."""

    count: int = 0
    first: int = 0
    """Nanoseconds since the epoch."""
    last: int = 0

    def add(self, stamp: int) -> None:
        """Count a message recorded at `stamp`."""
        self.first = min(self.first, stamp) if self.count else stamp
        self.last = max(self.last, stamp) if self.count else stamp
        self.count += 1

    def to_dict(self) -> dict[str, Any]:
        """Return the span in the format of the metadata."""
        return {
            'starting_time': {'nanoseconds_since_epoch': self.first},
            'duration': {'nanoseconds': self.last - self.first},
            'message_count': self.count}


@dataclass
class BagFile:
    """A file of a bag."""

    name: str
    span: MessageSpan = field(default_factory=MessageSpan)


def qos_text(profiles: Sequence[dict[str, Any]]) -> str:
    """Return quality-of-service profiles as stored in a bag, with rosbag2's keys and numbers."""
    return yaml.safe_dump(list(profiles), sort_keys=False).strip() if profiles else ''


def write_metadata(folder: Path, files: Sequence[BagFile], total: MessageSpan,
                   topics: Sequence[tuple[BagTopic, int]]) -> None:
    """
    Write or replace the metadata of a bag atomically; `topics` have their message counts.

    Raises OSError if it cannot be written; the previous one is then kept.
    """
    text = yaml.safe_dump({'rosbag2_bagfile_information': {
        'version': 8,
        'storage_identifier': 'mcap',
        **total.to_dict(),
        'topics_with_message_count': [{
            'topic_metadata': {
                'name': topic.name,
                'type': topic.type.name,
                'serialization_format': 'cdr',
                'offered_qos_profiles': topic.qos,
                'type_description_hash': topic.type.digest},
            'message_count': count} for topic, count in topics],
        'compression_format': '',
        'compression_mode': '',
        'relative_file_paths': [file.name for file in files],
        'files': [{'path': file.name, **file.span.to_dict()} for file in files],
        'custom_data': None,
        'ros_distro': os.environ.get('ROS_DISTRO', 'rosbags')}}, sort_keys=False)
    part = folder / f'.{METADATA}.part'
    with part.open('w', encoding='utf-8') as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(folder / METADATA)
    sync_folder(folder)
