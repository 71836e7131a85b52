"""
The perception node and, by choice, a camera, a recorder and RViz.

An argument that is left empty leaves its parameter to the parameters file, so that every default
has one place. `ros2 launch mtl_perception uav_camera.launch.py --show-args` lists them all.
"""

from datetime import datetime
from pathlib import Path
from typing import Any

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchContext, LaunchDescription
from mtl_perception.transport import choose_transport

PACKAGE = 'mtl_perception'
CONFIG = Path(__file__).resolve().parents[1] / 'config'
YES_OR_NO = ['true', 'false']

ARGUMENTS = [
    DeclareLaunchArgument(
        'params_file', default_value=str(CONFIG / 'uav_camera.yaml'),
        description='parameters of the nodes, a copy of config/uav_camera.yaml'),
    DeclareLaunchArgument(
        'namespace', default_value='', description='namespace of all nodes'),
    DeclareLaunchArgument(
        'model', default_value='',
        description='path of the model file; empty: as in params_file'),
    DeclareLaunchArgument(
        'runtime', default_value='', description='what runs the model; empty: as in params_file'),
    DeclareLaunchArgument(
        'device', default_value='', description='where it runs; empty: as in params_file'),
    DeclareLaunchArgument(
        'score_threshold', default_value='',
        description='detections of a lower score are left out; empty: as in params_file'),
    DeclareLaunchArgument(
        'image_topic', default_value='image',
        description='topic of the images to look at, which camera:=true publishes'),
    DeclareLaunchArgument(
        'camera', default_value='true', choices=YES_OR_NO,
        description='start the camera node; false: the images come from elsewhere'),
    DeclareLaunchArgument(
        'source', default_value='',
        description='images of the camera node: folder, video file, V4L2 device number, URL, '
        'GStreamer pipeline or synthetic:SEED; empty: as in params_file'),
    DeclareLaunchArgument(
        'rate', default_value='',
        description='images per second of the camera node; empty: as in params_file'),
    DeclareLaunchArgument(
        'record', default_value='false', choices=YES_OR_NO,
        description='record images and results to a bag'),
    DeclareLaunchArgument(
        'bag', default_value='',
        description='folder of the bag; empty: named by date and time, in the current folder'),
    DeclareLaunchArgument(
        'rviz', default_value='false', choices=YES_OR_NO, description='show images in RViz'),
    DeclareLaunchArgument(
        'log_level', default_value='info', choices=['debug', 'info', 'warn', 'error', 'fatal'],
        description='least severity that the nodes log'),
]


def generate_launch_description() -> LaunchDescription:
    """Return the description: arguments and nodes; no variable is set but for a node."""
    return LaunchDescription([
        *ARGUMENTS,
        OpaqueFunction(function=make_nodes),
    ])


def make_nodes(context: LaunchContext) -> list[Node]:
    """Return the nodes that the arguments ask for."""
    values = context.launch_configurations
    topic = values['image_topic']
    folder = topic.rpartition('/')[0]
    info = f'{folder}/camera_info' if '/' in topic else 'camera_info'
    nodes = [_node(values, 'perception_node', [('image', topic)], {
        'model': str, 'runtime': str, 'device': str, 'score_threshold': float})]
    if values['camera'] == 'true':
        nodes.append(_node(
            values, 'camera_node', [('image', topic), ('camera_info', info)],
            {'source': str, 'rate': float}))
    if values['record'] == 'true':
        bag = values['bag'] or f'uav_camera_{datetime.now():%Y_%m_%d-%H_%M_%S}'
        results = [f'perception_node/{name}' for name in (
            'detections', 'detections/label_info', 'segmentation', 'segmentation/label_info')]
        nodes.append(_node(values, 'recorder_node', [], {}, {
            'output': ParameterValue(bag, value_type=str),
            'topics': [topic, info, *results, '/diagnostics']}))
    if values['rviz'] == 'true':
        nodes.append(Node(
            package='rviz2', executable='rviz2', namespace=values['namespace'],
            arguments=['-d', str(CONFIG / 'uav_camera.rviz')],
            # The other nodes choose for themselves.
            additional_env=choose_transport(context.environment).environment))
    return nodes


def _node(values: dict[str, str], name: str, remappings: list[tuple[str, str]],
          arguments: dict[str, type], parameters: dict[str, Any] | None = None) -> Node:
    """Return a node of this package; launch arguments that are not empty become parameters."""
    chosen = {
        argument: ParameterValue(LaunchConfiguration(argument), value_type=kind)
        for argument, kind in arguments.items() if values[argument]}
    return Node(
        package=PACKAGE, executable=name, name=name, namespace=values['namespace'],
        parameters=[values['params_file'], {**chosen, **(parameters or {})}],
        remappings=remappings, output='screen', emulate_tty=True,
        ros_arguments=['--log-level', values['log_level']])
