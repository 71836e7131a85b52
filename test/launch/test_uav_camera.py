"""The launch file: its arguments and their effects; requires `launch`."""

from dataclasses import fields
import importlib.util
import os
from pathlib import Path
import sys

import pytest
import yaml

pytest.importorskip('launch_ros')

from ament_index_python.packages import PackageNotFoundError
from launch.actions import DeclareLaunchArgument, ExecuteProcess
from launch.utilities import perform_substitutions
from launch_ros.actions import Node

from launch import LaunchContext
from mtl_perception.errors import ConfigError
from mtl_perception.nodes.camera_parameters import CameraParameters
from mtl_perception.nodes.perception_parameters import PerceptionParameters
from mtl_perception.nodes.recorder_parameters import RecorderParameters
from mtl_perception.transport import choose_transport

FILE = Path(__file__).parents[2] / 'launch' / 'uav_camera.launch.py'
KINDS = {
    'perception_node': PerceptionParameters, 'camera_node': CameraParameters,
    'recorder_node': RecorderParameters}
DEFAULTS = {'perception_node': 'uav_camera.yaml', 'camera_node': 'camera_node.yaml'}


@pytest.fixture(scope='module')
def launch_file():
    spec = importlib.util.spec_from_file_location('uav_camera_launch', FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def actions_of(launch_file):
    """Return a function from launch arguments to the started actions, and its context."""
    def actions_of(**arguments):
        context = LaunchContext()
        for entity in launch_file.generate_launch_description().entities:
            if isinstance(entity, DeclareLaunchArgument):
                if entity.name in arguments:
                    context.launch_configurations[entity.name] = arguments[entity.name]
                entity.execute(context)
        return launch_file.make_nodes(context), context

    return actions_of


@pytest.fixture
def nodes_of(actions_of):
    """Return a function from launch arguments to nodes by executable, and their context."""
    def nodes_of(**arguments):
        actions, context = actions_of(**arguments)
        return {action.node_executable: action for action in actions
                if isinstance(action, Node)}, context

    return nodes_of


def parameters_of(node, context):
    """Return the parameter files of a node and the parameters that override them."""
    from launch_ros.utilities import evaluate_parameters

    *files, values = evaluate_parameters(context, node._Node__parameters)
    return [Path(file) for file in files], values


def test_arguments_are_top_level_and_described(launch_file):
    arguments = {
        argument.name: argument
        for argument in launch_file.generate_launch_description().get_launch_arguments()}
    assert set(arguments) == {
        'params_file', 'camera_params_file', 'namespace', 'use_sim_time', 'model', 'runtime',
        'device', 'score_threshold', 'cameras', 'image_topic', 'image_transport', 'camera',
        'source', 'rate', 'record', 'bag', 'recorder', 'rviz', 'log_level', 'on_exit', 'respawn',
        'respawn_delay', 'respawn_max_per_minute'}
    assert all(argument.description for argument in arguments.values())
    for name in ('camera', 'record', 'rviz', 'respawn'):
        assert arguments[name].choices == ['true', 'false']


def test_defaults_equal_parameter_files(launch_file, nodes_of):
    nodes, context = nodes_of()
    assert list(nodes) == ['perception_node', 'camera_node']
    for name, node in nodes.items():
        files, values = parameters_of(node, context)
        assert (files, values) == ([launch_file.CONFIG / DEFAULTS[name]], {})


def test_arguments_become_typed_parameters(nodes_of, tmp_path):
    nodes, context = nodes_of(
        model='off', runtime='onnxruntime', device='cpu', score_threshold='1', source='0',
        rate='15', record='true', bag=str(tmp_path), image_topic='/front/image_raw',
        namespace='front')
    assert list(nodes) == ['perception_node', 'camera_node', 'recorder_node']
    values = {name: parameters_of(node, context)[1] for name, node in nodes.items()}
    assert values['perception_node'] == {
        'model': 'off', 'runtime': 'onnxruntime', 'device': 'cpu', 'score_threshold': 1.0}
    assert values['camera_node'] == {'source': '0', 'rate': 15.0}
    assert values['recorder_node']['output'] == str(tmp_path)
    assert list(values['recorder_node']['topics']) == [
        '/front/image_raw', '/front/camera_info', 'perception_node/detections',
        'perception_node/detections/label_info', 'perception_node/segmentation',
        'perception_node/segmentation/label_info', '/diagnostics']
    for name, given in values.items():
        known = {item.name: item.default for item in fields(KINDS[name])}
        for parameter, value in given.items():
            assert isinstance(value, type(known[parameter])), parameter


@pytest.mark.parametrize(('arguments', 'expected'), [
    ({'camera': 'false'}, ['perception_node']),
])
def test_started_processes(arguments, expected, nodes_of):
    nodes, _ = nodes_of(**arguments)
    assert list(nodes) == expected


def resolved(context, pairs):
    return [tuple(perform_substitutions(context, part) for part in pair) for pair in pairs]


def test_cameras_have_own_nodes_and_share_perception_node(actions_of):
    actions, context = actions_of(
        cameras='front, down', record='true', bag='b', rate='5', image_transport='compressed',
        image_topic='{down: /belly/image_raw}', source='{front: synthetic:1, down: 0}')
    nodes = [action for action in actions if isinstance(action, Node)]
    assert [node.node_executable for node in nodes] == [
        'perception_node', 'camera_node', 'camera_node', 'recorder_node']
    perception, _, down, _ = nodes
    values = [parameters_of(node, context)[1] for node in nodes]
    assert values[0] == {'cameras': ('front', 'down'), 'image_transport': 'compressed'}
    assert values[1] == {'source': 'synthetic:1', 'rate': 5.0, 'frame_id': 'front'}
    assert values[2] == {'source': '0', 'rate': 5.0, 'frame_id': 'down'}
    assert list(values[3]['topics']) == [
        'front/image', '/belly/image_raw', 'front/camera_info', '/belly/camera_info',
        *(f'perception_node/{name}/{result}' for name in ('front', 'down') for result in (
            'detections', 'detections/label_info', 'segmentation', 'segmentation/label_info')),
        '/diagnostics']
    assert resolved(context, perception._Node__remappings) == [
        ('front/image', 'front/image'), ('down/image', '/belly/image_raw')]
    assert resolved(context, down._Node__remappings) == [
        ('image', '/belly/image_raw'), ('camera_info', '/belly/camera_info')]


@pytest.mark.parametrize('arguments', [
    {'cameras': 'front,front'}, {'cameras': 'front,'}, {'image_topic': '{rear: /image}'},
    {'cameras': 'front,down', 'image_topic': '/image'}, {'source': '{front'},
    {'cameras': 'front,down', 'source': '{rear: 0}'}, {'recorder': 'rosbag2', 'record': 'true'},
])
def test_invalid_value_is_rejected_with_argument_name(arguments, actions_of, launch_file,
                                                      monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(launch_file, 'get_package_prefix', missing)
    with pytest.raises(ConfigError, match=f'^launch argument ({"|".join(arguments)}):='):
        actions_of(**arguments)


def test_rosbag2_records_if_installed(launch_file, actions_of, monkeypatch):
    monkeypatch.setattr(launch_file, 'get_package_prefix', lambda _: '/opt/ros')
    monkeypatch.delenv('ROS_DISTRO', raising=False)
    actions, context = actions_of(
        recorder='rosbag2', record='true', bag='b', namespace='uav', image_topic='/nose/image')
    [recorder] = [action for action in actions if isinstance(action, ExecuteProcess)
                  and not isinstance(action, Node)]
    words = [perform_substitutions(context, word) for word in recorder.cmd]
    assert words[:3] == ['ros2', 'bag', 'record'] and words[words.index('--output') + 1] == 'b'
    assert words[words.index('--topics') + 1:] == [
        '/nose/image', '/nose/camera_info', '/uav/perception_node/detections',
        '/uav/perception_node/detections/label_info', '/uav/perception_node/segmentation',
        '/uav/perception_node/segmentation/label_info', '/diagnostics']


def test_environment_is_set_for_rviz_only(launch_file, nodes_of, monkeypatch):
    monkeypatch.setattr(launch_file, 'get_package_prefix', lambda _: '/opt/rviz')
    for name in [name for name in os.environ if name.startswith('FAST')]:
        monkeypatch.delenv(name)
    before = dict(os.environ)
    nodes, context = nodes_of(rviz='true')
    assert dict(context.environment) == before and dict(os.environ) == before
    extra = {name[0].text: value[0].text for name, value in nodes['rviz2'].additional_env}
    assert extra == choose_transport(before).environment


def test_use_sim_time_and_parameter_file_reach_their_nodes(launch_file, nodes_of, tmp_path):
    file = tmp_path / 'params.yaml'
    file.write_text('/**:\n  ros__parameters: {max_detections: 3}\n'
                    '/front/recorder_node:\n  ros__parameters: {queue_depth: 2}\n')
    nodes, context = nodes_of(
        params_file=str(file), use_sim_time='true', record='true', bag='b')
    files = {name: parameters_of(node, context)[0] for name, node in nodes.items()}
    assert files == {'perception_node': [file], 'recorder_node': [file],
                     'camera_node': [launch_file.CONFIG / 'camera_node.yaml']}
    assert all(parameters_of(node, context)[1]['use_sim_time'] is True for node in nodes.values())


def test_unknown_arguments_are_rejected_on_own_command_line_only(launch_file, monkeypatch):
    context = LaunchContext(argv=['model:=x', 'launch-prefix:=nice', 'modle:=x'])
    monkeypatch.setattr(sys, 'argv', ['ros2', 'launch', 'other', 'all.launch.py'])
    launch_file.check_names(context)
    monkeypatch.setattr(sys, 'argv', ['ros2', 'launch', 'mtl_perception', FILE.name])
    with pytest.raises(ConfigError, match=r'argument modle:=x: .* did you mean model\?'):
        launch_file.check_names(context)


def test_rviz_configuration_uses_our_topics(launch_file):
    file = launch_file.CONFIG / 'uav_camera.rviz'
    manager = yaml.safe_load(file.read_text(encoding='utf-8'))['Visualization Manager']
    assert {display['Topic']['Value'] for display in manager['Displays']} == {
        'perception_node/overlay', 'perception_node/segmentation_color'}
