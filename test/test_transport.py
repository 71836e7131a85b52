from collections import namedtuple
from importlib import metadata
import os
from pathlib import Path
import xml.etree.ElementTree as ElementTree

import pytest

from mtl_perception import transport
from mtl_perception.resources import config_path
from mtl_perception.transport import choose_transport, profile_variable, remedy

NAMESPACE = {'dds': 'http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles'}


KILTED, JAZZY = {'ROS_DISTRO': 'kilted'}, {'ROS_DISTRO': 'jazzy'}


def profile_of(environment):
    """Return the file name of the configured profile, or None."""
    environment = KILTED | environment
    path = choose_transport(environment).environment.get(profile_variable(environment))
    return path and Path(path).name


def test_segment_size_is_set_by_default():
    assert profile_of({}) == 'fastdds.xml'
    assert profile_of({'RMW_IMPLEMENTATION': ''}) == 'fastdds.xml'
    assert profile_of({'FASTDDS_BUILTIN_TRANSPORTS': ''}) == 'fastdds.xml'
    assert profile_of({'RMW_IMPLEMENTATION': 'rmw_fastrtps_dynamic_cpp'}) == 'fastdds.xml'
    assert profile_of({'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SUBNET'}) == 'fastdds.xml'
    # Only one name: newer Fast DDS warns about the older one.
    assert set(choose_transport(KILTED).environment) == {'FASTDDS_DEFAULT_PROFILES_FILE'}
    assert set(choose_transport(JAZZY).environment) == {'FASTRTPS_DEFAULT_PROFILES_FILE'}
    assert not choose_transport(KILTED).warning


@pytest.mark.parametrize(('version', 'name'), [
    ('3.3.15', 'FASTRTPS'), ('7.1.6', 'FASTRTPS'), ('9.1.2', 'FASTDDS')])
@pytest.mark.parametrize('suffix', ['.dist-info', '-py3.11.egg-info'])
def test_wheels_are_recognised_by_rclpy(version, name, suffix, monkeypatch, tmp_path):
    (tmp_path / 'rclpy').mkdir()
    (tmp_path / 'rclpy' / '__init__.py').touch()
    (tmp_path / f'rclpy-{version}{suffix}').mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert profile_variable({}) == f'{name}_DEFAULT_PROFILES_FILE'


@pytest.mark.skipif('ROS_DISTRO' in os.environ, reason='for ROS 2 as wheels')
def test_installed_rclpy_agrees_with_metadata():
    try:
        older = int(metadata.version('rclpy').partition('.')[0]) <= 7
    except metadata.PackageNotFoundError:
        pytest.skip('no rclpy is installed')
    assert profile_variable({}).startswith('FASTRTPS_' if older else 'FASTDDS_')


@pytest.mark.parametrize('setting', [
    {'RMW_IMPLEMENTATION': 'rmw_cyclonedds_cpp'}, {'FASTDDS_BUILTIN_TRANSPORTS': 'UDPv4'},
    {'FASTDDS_DEFAULT_PROFILES_FILE': '/my/profile.xml'},
    {'FASTRTPS_DEFAULT_PROFILES_FILE': '/my/profile.xml'}])
def test_users_choice_is_kept(setting):
    chosen = choose_transport(KILTED | setting)
    assert chosen.environment == {} and not chosen.warning


@pytest.mark.parametrize('name', ['DEFAULT_FASTDDS_PROFILES.xml', 'DEFAULT_FASTRTPS_PROFILES.xml'])
def test_profile_in_current_folder_is_kept(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert profile_of({}) == 'fastdds.xml'
    (tmp_path / name).touch()
    assert profile_of({}) is None
    assert profile_of({'SKIP_DEFAULT_XML_FILE': '1'}) == 'fastdds.xml'


def test_large_data_gives_warning():
    chosen = choose_transport({'FASTDDS_BUILTIN_TRANSPORTS': 'LARGE_DATA?max_msg_size=1MB'})
    assert chosen.environment == {} and 'unset it' in chosen.warning


@pytest.mark.parametrize('setting', [
    {'ROS_LOCALHOST_ONLY': '1'}, {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}])
def test_localhost_setting_is_kept(setting):
    assert profile_of(setting) == 'fastdds_localhost.xml'
    after = setting | choose_transport(setting).environment
    # Settings that would add transports are replaced by the profile.
    assert after['ROS_LOCALHOST_ONLY'] == ''
    assert after['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'SYSTEM_DEFAULT'


def test_static_peers_are_kept():
    setting = {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST', 'ROS_STATIC_PEERS': '192.0.2.1'}
    assert 'ROS_AUTOMATIC_DISCOVERY_RANGE' not in choose_transport(setting).environment
    assert profile_of(setting) == 'fastdds.xml'


def test_full_shared_memory_keeps_default_with_warning(monkeypatch):
    status = namedtuple('status', 'f_bavail f_frsize')
    monkeypatch.setattr(os, 'statvfs', lambda path: status(3 << 8, 4096))
    chosen = choose_transport({})
    assert chosen.environment == {}
    assert '/dev/shm has 3 MB left and not the 18' in chosen.warning
    monkeypatch.setattr(os, 'statvfs', lambda path: status(18 << 8, 4096))
    assert choose_transport({}).environment


@pytest.mark.parametrize('name', ['fastdds.xml', 'fastdds_localhost.xml'])
def test_profiles_match_their_description(name):
    root = ElementTree.parse(config_path(name)).getroot()
    found = {
        item.find('dds:transport_id', NAMESPACE).text: item.find('dds:type', NAMESPACE).text
        for item in root.iterfind('.//dds:transport_descriptor', NAMESPACE)}
    used = [item.text for item in root.iterfind('.//dds:userTransports/*', NAMESPACE)]
    # The default transports, otherwise other processes do not discover ours.
    assert sorted(found[name] for name in used) == ['SHM', 'UDPv4']
    [size] = root.iterfind('.//dds:segment_size', NAMESPACE)
    assert int(size.text) == transport._SEGMENT


def test_remedy_names_variable_of_distribution():
    path = config_path('fastdds.xml')
    assert remedy({'ROS_DISTRO': 'humble'}) == f'FASTRTPS_DEFAULT_PROFILES_FILE={path}'
    assert remedy({'ROS_DISTRO': 'kilted'}) == f'FASTDDS_DEFAULT_PROFILES_FILE={path}'
