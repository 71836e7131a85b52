"""Message definitions for bags."""

import json
from pathlib import Path

import pytest
from rclpy.serialization import serialize_message
from vision_msgs.msg import Detection2DArray

from mtl_perception.errors import ConfigError
from mtl_perception.nodes.bag_types import empty_typestore, message_class, register_type


@pytest.mark.parametrize('name', [
    'sensor_msgs/msg/Image', 'sensor_msgs/msg/CameraInfo', 'vision_msgs/msg/Detection2DArray',
    'vision_msgs/msg/LabelInfo', 'diagnostic_msgs/msg/DiagnosticArray'])
def test_type_hash_agrees_with_ros(name):
    store = empty_typestore()
    register_type(store, name)
    kind = message_class(name)
    assert store.deserialize_cdr(serialize_message(kind()), name).__msgtype__ == name
    assert store.hash_rihs01(name) == installed_hash(name)


def installed_hash(name):
    package, _, kind = name.split('/')
    from ament_index_python.packages import get_package_share_directory

    path = Path(get_package_share_directory(package)) / 'msg' / f'{kind}.json'
    if not path.is_file():
        pytest.skip('this ROS 2 (Humble) has no type hashes')
    return next(entry['hash_string'] for entry in json.loads(path.read_text())['type_hashes']
                if entry['type_name'] == name)


def test_types_can_be_registered_twice():
    store = empty_typestore()
    for _ in range(2):
        register_type(store, 'vision_msgs/msg/Detection2DArray')
    assert message_class('vision_msgs/msg/Detection2DArray') is Detection2DArray


@pytest.mark.parametrize(('name', 'reason'), [
    ('Image', "'Image' is not a message type"),
    ('sensor_msgs/Image', 'is not a message type'),
    ('os/msg/../path', 'is not a message type'),
    ('sensor_msgs/msg/Imagine', 'is not installed'),
    ('no_such_msgs/msg/Thing', 'is not installed'),
])
def test_unknown_types_are_rejected(name, reason):
    with pytest.raises(ConfigError, match=reason):
        message_class(name)
    with pytest.raises(ConfigError, match=reason):
        register_type(empty_typestore(), name)
