import importlib.util
import os
from pathlib import Path
import time

import pytest

from mtl_perception.demo.processes import node_environment, NodeProcesses
from mtl_perception.errors import ConfigError, MtlError

needs_ros = pytest.mark.skipif(
    importlib.util.find_spec('rclpy') is None, reason='needs ROS 2 (rclpy)')


def alive(pid: int) -> bool:
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except FileNotFoundError:
        return False


def test_environment_is_isolated_unless_the_user_sets_it(tmp_path, monkeypatch):
    for name in ('ROS_DOMAIN_ID', 'ROS_LOG_DIR', 'ROS_AUTOMATIC_DISCOVERY_RANGE', 'ROS_DISTRO'):
        monkeypatch.delenv(name, raising=False)
    domains = {node_environment(tmp_path)['ROS_DOMAIN_ID'] for _ in range(60)}
    assert len(domains) > 20
    assert all(1 <= int(domain) <= 101 for domain in domains)
    assert node_environment(tmp_path)['ROS_LOG_DIR'].startswith(str(tmp_path))
    monkeypatch.setenv('ROS_DOMAIN_ID', '42')
    assert node_environment(tmp_path)['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'LOCALHOST'
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'SUBNET')
    environment = node_environment(tmp_path)
    assert environment['ROS_DOMAIN_ID'] == '42'
    assert environment['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'SUBNET'
    assert 'ROS_DOMAIN_ID' in os.environ and os.environ['ROS_DOMAIN_ID'] == '42'


def test_missing_ros_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(ConfigError, match='make setup'):
        NodeProcesses(tmp_path)


@needs_ros
@pytest.mark.slow
def test_failed_node_is_quoted_and_the_others_end(tmp_path):
    # A name that YAML or a shell would take apart.
    missing = tmp_path / "no: such, folder's \"name\" [1]"
    with pytest.raises(MtlError) as caught, NodeProcesses(tmp_path / 'logs') as nodes:
        nodes.start('recorder_node', {'output': str(tmp_path / 'bag'), 'topics': ['/image']})
        nodes.start('camera_node', {'source': str(missing), 'rate': 5.0})
        pids = [process.pid for process in nodes._processes.values()]
        while True:
            nodes.check(may_end='camera_node')
            time.sleep(0.05)
    assert 'camera_node ended (exit code 1): ' in str(caught.value)
    assert missing.name in str(caught.value).replace('\\', '')
    assert '\n' not in str(caught.value)
    assert not any(alive(pid) for pid in pids)
    assert (tmp_path / 'bag' / 'metadata.yaml').is_file()


@needs_ros
@pytest.mark.slow
def test_stopped_node_ends_in_good_order(tmp_path):
    with NodeProcesses(tmp_path / 'logs') as nodes:
        nodes.start('recorder_node', {'output': str(tmp_path / 'bag'), 'topics': ['/image']})
        end = time.monotonic() + 60
        while not (tmp_path / 'bag').is_dir() and time.monotonic() < end:
            nodes.check()
            time.sleep(0.05)
        assert nodes.running('recorder_node')
        nodes.stop('recorder_node')
        assert not nodes.running('recorder_node')
        nodes.check()
    assert 'recorded to' in nodes.log('recorder_node').read_text()
