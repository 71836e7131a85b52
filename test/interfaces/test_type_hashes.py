"""The installed vision_msgs agrees in all fields with that of other ROS 2 installations."""

import json
import os
from pathlib import Path
import sys

import pytest

messages = pytest.importorskip('vision_msgs.msg')

HASHES = json.loads(
    (Path(__file__).parent / 'vision_msgs_type_hashes.json').read_text(encoding='utf-8'))
OURS = Path(__file__).parents[2] / 'interfaces' / 'vision_msgs' / 'msg'


def installed_description(name: str) -> dict:
    """Return the installed type description (REP 2011) of a message."""
    prefixes = [*os.environ.get('AMENT_PREFIX_PATH', '').split(':'), sys.prefix]
    for prefix in filter(None, prefixes):
        path = Path(prefix) / 'share' / 'vision_msgs' / 'msg' / f'{name}.json'
        if path.is_file():
            return json.loads(path.read_text(encoding='utf-8'))
    pytest.skip('the vision_msgs of this ROS 2 has no type descriptions')


@pytest.mark.parametrize('full_name', HASHES)
def test_hash(full_name):
    hashes = installed_description(full_name.rpartition('/')[2])['type_hashes']
    assert {item['type_name']: item['hash_string'] for item in hashes}[full_name] \
        == HASHES[full_name]


def test_all_definitions_are_compared():
    assert {f'vision_msgs/msg/{path.stem}' for path in OURS.glob('*.msg')} == set(HASHES)


@pytest.mark.parametrize('name', ['Detection2DArray', 'LabelInfo'])
def test_hash_on_the_wire(name, monkeypatch, tmp_path):
    rclpy = pytest.importorskip('rclpy')
    monkeypatch.setenv('ROS_LOG_DIR', str(tmp_path))
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=87)
    try:
        node = rclpy.create_node('type_hash', context=context, enable_rosout=False)
        node.create_publisher(getattr(messages, name), 'hashed', 1)
        endpoint, = node.get_publishers_info_by_topic('/hashed')
        if not hasattr(endpoint, 'topic_type_hash'):
            pytest.skip('this ROS 2 announces no type hashes')
        assert str(endpoint.topic_type_hash) == HASHES[f'vision_msgs/msg/{name}']
    finally:
        rclpy.shutdown(context=context)
