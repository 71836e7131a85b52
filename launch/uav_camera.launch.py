"""
The perception node and, by choice, a camera, a recorder and RViz.

An argument that is left empty leaves its parameter to the parameters file, so that every default
has one place. `ros2 launch mtl_perception uav_camera.launch.py --show-args` lists them all.
"""

from collections.abc import Callable
from datetime import datetime
from functools import partial
import math
import os
from pathlib import Path
import re
import sys
from typing import Any

from ament_index_python.packages import get_package_prefix, PackageNotFoundError
from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction
from launch.logging import get_logger
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
import yaml

from launch import Action, LaunchContext, LaunchDescription
from mtl_perception.errors import ConfigError
from mtl_perception.nearest import suggestion
from mtl_perception.nodes.launched import LAUNCH_PID
from mtl_perception.supervision import ON_EXIT, SHUTDOWN, Supervisor
from mtl_perception.transport import choose_transport

PACKAGE = 'mtl_perception'
RESULTS = (
    'detections', 'detections/label_info', 'segmentation', 'segmentation/label_info')
CONFIG = Path(__file__).resolve().parents[1] / 'config'
PARAMS_FILES = {'params_file': CONFIG / 'uav_camera.yaml',
                'camera_params_file': CONFIG / 'camera_node.yaml'}
YES_OR_NO = ['true', 'false']
EMPTY_OR_YES_OR_NO = ['', *YES_OR_NO]
RECORDERS = ['mtl', 'rosbag2']

ARGUMENTS = [
    DeclareLaunchArgument(
        'params_file', default_value=str(PARAMS_FILES['params_file']),
        description='parameters of the perception node, a copy of config/uav_camera.yaml; also '
        'of each other node that a key of the file names, and `/**` then counts for that node, '
        'too'),
    DeclareLaunchArgument(
        'camera_params_file', default_value=str(PARAMS_FILES['camera_params_file']),
        description='parameters of the camera node, a copy of config/camera_node.yaml; those of '
        'params_file go over them'),
    DeclareLaunchArgument(
        'namespace', default_value='', description='namespace of all nodes'),
    DeclareLaunchArgument(
        'use_sim_time', default_value='', choices=EMPTY_OR_YES_OR_NO,
        description='whether all nodes take the time from /clock; empty: as in params_file, '
        'else false'),
    DeclareLaunchArgument(
        'model', default_value='',
        description='path of the model file; empty: as in params_file'),
    DeclareLaunchArgument(
        'runtime', default_value='', description='what runs the model; empty: as in params_file'),
    DeclareLaunchArgument(
        'device', default_value='', description='where it runs; empty: as in params_file'),
    DeclareLaunchArgument(
        'score_threshold', default_value='',
        description='lowest score of a published detection (0 to 1); empty: as in '
        'params_file'),
    DeclareLaunchArgument(
        'cameras', default_value='',
        description='names of several cameras for the one perception node, with commas between '
        "them: 'front,down'; each has topics of its own (front/image in, "
        'perception_node/front/... out) and, with camera:=true, a camera node; empty: one camera '
        'without a name'),
    DeclareLaunchArgument(
        'image_topic', default_value='',
        description='topic of the images to process, which camera:=true publishes; empty: image, '
        "or NAME/image of each camera; for several cameras '{front: /nose/image_raw, down: ...}'"),
    DeclareLaunchArgument(
        'image_transport', default_value='', choices=['', 'auto', 'raw', 'compressed'],
        description='how images are received; empty: as in params_file'),
    DeclareLaunchArgument(
        'camera', default_value='true', choices=YES_OR_NO,
        description='start the camera node; false: the images come from elsewhere'),
    DeclareLaunchArgument(
        'source', default_value='',
        description='images of the camera node: folder, video file, V4L2 device number, URL, '
        'GStreamer pipeline or synthetic:SEED; empty: as in camera_params_file; for several '
        "cameras '{front: /dev/video0, down: synthetic:2}'"),
    DeclareLaunchArgument(
        'rate', default_value='',
        description='images per second of the camera node; empty: as in camera_params_file'),
    DeclareLaunchArgument(
        'record', default_value='false', choices=YES_OR_NO,
        description='record images and results to a bag'),
    DeclareLaunchArgument(
        'bag', default_value='',
        description='folder of the bag; empty: named by date and time, in the current folder'),
    DeclareLaunchArgument(
        'recorder', default_value='mtl', choices=RECORDERS,
        description='what records: mtl, the recorder node of this package (JPEG images, stops '
        'before the disk is full), or rosbag2 (`ros2 bag record`: images as they come)'),
    DeclareLaunchArgument(
        'rviz', default_value='false', choices=YES_OR_NO,
        description='show images in RViz; what becomes of RViz changes nothing for the nodes'),
    DeclareLaunchArgument(
        'log_level', default_value='info', choices=['debug', 'info', 'warn', 'error', 'fatal'],
        description='least severity that the nodes log'),
    DeclareLaunchArgument(
        'on_exit', default_value=SHUTDOWN, choices=list(ON_EXIT),
        description='what the end of a node does to the others: shutdown ends the launch, with '
        "exit code 1 and the node's error as last line where it failed, with 0 where it came to "
        'its end, as a camera at the end of a video that does not loop; ignore lets the others '
        'go on, and the exit code reports the failure in the end'),
    DeclareLaunchArgument(
        'respawn', default_value='false', choices=YES_OR_NO,
        description='restart a node that fails; one that ends regularly is not restarted'),
    DeclareLaunchArgument(
        'respawn_delay', default_value='2.0',
        description='seconds until a node that failed starts again'),
    DeclareLaunchArgument(
        'respawn_max_per_minute', default_value='5',
        description='a node that is to start again more often than this ends the launch with '
        'exit code 1'),
]

# `ros2 launch --launch-prefix` passes its options on as launch arguments.
OPTIONS_OF_LAUNCH = ('launch-prefix', 'launch-prefix-filter')


def generate_launch_description() -> LaunchDescription:
    """Return the description: arguments and nodes; no variable is set but for a node."""
    return LaunchDescription([
        *ARGUMENTS,
        OpaqueFunction(function=check_names),
        OpaqueFunction(function=make_nodes),
    ])


def check_names(context: LaunchContext) -> None:
    """
    Raise ConfigError for an argument of the command line that this file does not have.

    Only where the command line names this file: otherwise the arguments are those of the launch
    file that includes this one.
    """
    if Path(__file__).name not in [Path(word).name for word in sys.argv]:
        return
    known = [argument.name for argument in ARGUMENTS]
    for word in context.argv:
        name = word.partition(':=')[0]
        if name not in known and name not in OPTIONS_OF_LAUNCH:
            raise ConfigError(f'launch argument {word}: there is none of that name; '
                              + suggestion(name, known, 'there are'))


def make_nodes(context: LaunchContext) -> list[Action]:
    """Return the nodes that the arguments ask for; ConfigError names an impossible argument."""
    values = context.launch_configurations
    supervisor = Supervisor(
        on_exit=values['on_exit'], respawn=values['respawn'] == 'true',
        respawn_delay=_number(values, 'respawn_delay', low=0),
        respawn_max_per_minute=int(_number(values, 'respawn_max_per_minute', low=1)))
    cameras = _cameras(values)
    topics = _for_each(values, 'image_topic', cameras, lambda name: _in(name, 'image'))
    sources = _for_each(values, 'source', cameras, lambda _: '')
    params = _file(values, 'params_file')
    transport: dict[str, Any] = {'cameras': cameras} if cameras != [''] else {}
    if values['image_transport']:
        transport['image_transport'] = values['image_transport']
    nodes = [_node(values, 'perception_node', [params], [
        (_in(name, 'image'), topics[name]) for name in cameras], {
        'model': str, 'runtime': str, 'device': str, 'score_threshold': float}, transport)]
    if values['camera'] == 'true':
        nodes += [_camera(values, name, topics[name], sources[name]) for name in cameras]
    supervised = [supervisor.watch(node) for node in nodes]
    if values['record'] == 'true':
        supervised.append(_recorder(values, supervisor, params, [
            *(topics[name] for name in cameras), *(_info(topics[name]) for name in cameras),
            *(f'perception_node/{_in(name, result)}' for name in cameras for result in RESULTS),
            '/diagnostics']))
    actions = [*supervisor.handlers(), *supervised]
    if values['rviz'] == 'true':
        actions += [supervisor.tolerate(node) for node in _rviz(context)]
    return actions


def _cameras(values: dict[str, str]) -> list[str]:
    """Return the names of the cameras; an empty one for the only camera, which has none."""
    names = [name.strip() for name in values['cameras'].split(',')]
    if len({*names}) < len(names) or (len(names) > 1 and not all(names)):
        raise ConfigError(f"launch argument cameras:={values['cameras']}: give different names "
                          "with commas between them, such as 'front,down'")
    return names


def _for_each(values: dict[str, str], argument: str, cameras: list[str],
              default: Callable[[str], str]) -> dict[str, str]:
    """
    Return the value of an argument by camera, of a YAML mapping or of one value for all.

    ConfigError where the mapping names no camera, or one topic would be that of several.
    """
    text = values[argument]
    given: Any = None
    if text.startswith('{'):
        try:
            given = yaml.safe_load(text)
        except yaml.YAMLError:
            given = None
        if not isinstance(given, dict) or not {*given} <= {*cameras}:
            raise ConfigError(f'launch argument {argument}:={text}: give it as {{NAME: VALUE, '
                              f'...}}, each NAME one of {", ".join(cameras) or "cameras"}')
    elif text and argument == 'image_topic' and len(cameras) > 1:
        raise ConfigError(f'launch argument {argument}:={text}: several cameras have a topic '
                          f"each: '{{{cameras[0]}: {text}, ...}}'")
    elif text:
        given = dict.fromkeys(cameras, text)
    given = given or {}
    return {name: str(given[name]) if name in given else default(name) for name in cameras}


def _in(camera: str, name: str) -> str:
    return f'{camera}/{name}' if camera else name


def _info(topic: str) -> str:
    """Return the topic of the calibration of a camera whose images are on `topic`."""
    folder, slash, _ = topic.rpartition('/')
    return f'{folder}{slash}camera_info'


def _camera(values: dict[str, str], name: str, topic: str, source: str) -> 'partial[Node]':
    node = f'{name}_camera_node' if name else 'camera_node'
    own = {'source': ParameterValue(source, value_type=str)} if source else {}
    if name and values['camera_params_file'] == str(PARAMS_FILES['camera_params_file']):
        own['frame_id'] = name
    files = [_file(values, 'camera_params_file'),
             *_naming(_file(values, 'params_file'), node)]
    return _node(values, 'camera_node', files, [('image', topic), ('camera_info', _info(topic))],
                 {'rate': float}, own, node)


def _recorder(values: dict[str, str], supervisor: Supervisor, params: Path,
              topics: list[str]) -> Action:
    """Return what records the topics, watched by the supervisor."""
    bag = values['bag'] or f'uav_camera_{datetime.now():%Y_%m_%d-%H_%M_%S}'
    if values['recorder'] == 'mtl':
        return supervisor.watch(_node(
            values, 'recorder_node', _naming(params, 'recorder_node'), [], {}, {
                'output': ParameterValue(bag, value_type=str), 'topics': topics}))
    try:
        get_package_prefix('rosbag2_transport')
    except PackageNotFoundError:
        raise ConfigError('launch argument recorder:=rosbag2: rosbag2 is not installed; '
                          'apt-get install ros-$ROS_DISTRO-rosbag2, or leave it mtl') from None
    folder = f"/{values['namespace'].strip('/')}" if values['namespace'].strip('/') else ''
    return supervisor.tolerate(ExecuteProcess(
        cmd=['ros2', 'bag', 'record', '--storage', 'mcap', '--storage-preset-profile',
             'zstd_fast', '--output', bag, '--max-bag-size', '2000000000',
             *([] if os.environ.get('ROS_DISTRO') == 'humble' else [
                 '--disable-keyboard-controls', '--topics']),
             *(topic if topic.startswith('/') else f'{folder}/{topic}' for topic in topics)],
        output='screen'))


def _node(values: dict[str, str], executable: str, files: list[Path],
          remappings: list[tuple[str, str]], arguments: dict[str, type],
          parameters: dict[str, Any] | None = None, name: str = '') -> 'partial[Node]':
    """Return what makes a node; launch arguments that are not empty become its parameters."""
    chosen: dict[str, Any] = {
        argument: _number(values, argument) if kind is float
        else ParameterValue(values[argument], value_type=kind)
        for argument, kind in arguments.items() if values[argument]}
    return partial(
        Node, package=PACKAGE, executable=executable, name=name or executable,
        namespace=values['namespace'],
        parameters=[*map(str, files), {**chosen, **_time(values), **(parameters or {})}],
        remappings=remappings, output='screen',
        # With a terminal of its own a node writes colours, also into a pipe or a file.
        emulate_tty=sys.stdout.isatty(),
        additional_env={LAUNCH_PID: str(os.getpid()), 'PYTHONUNBUFFERED': '1'},
        ros_arguments=['--log-level', values['log_level']])


def _rviz(context: LaunchContext) -> list[Node]:
    """Return RViz with our configuration, or nothing and a warning where it is not installed."""
    try:
        get_package_prefix('rviz2')
    except PackageNotFoundError:
        get_logger('uav_camera').warning(
            'rviz:=true: RViz is not installed, the nodes run without it; '
            'apt-get install ros-$ROS_DISTRO-rviz2')
        return []
    values = context.launch_configurations
    return [Node(
        package='rviz2', executable='rviz2', namespace=values['namespace'],
        parameters=[_time(values)], arguments=['-d', str(CONFIG / 'uav_camera.rviz')],
        # Our own nodes choose theirs by themselves.
        additional_env=choose_transport(context.environment).environment)]


def _time(values: dict[str, str]) -> dict[str, bool]:
    given = values['use_sim_time']
    return {'use_sim_time': given == 'true'} if given else {}


def _file(values: dict[str, str], argument: str) -> Path:
    """Return the path of a parameters file; ConfigError where there is none."""
    path = Path(values[argument]).expanduser()
    if not path.is_file():
        raise ConfigError(f'launch argument {argument}:={values[argument]}: there is no such '
                          f'file; start from a copy of {PARAMS_FILES[argument]}')
    return path


def _naming(path: Path, node: str) -> list[Path]:
    """Return the parameters file as a list, which is empty where no key of it names the node."""
    text = path.read_text(encoding='utf-8', errors='replace')
    return [path] if re.search(rf'^\s*["\']?[\w/*]*\b{node}["\']?\s*:', text, re.MULTILINE) else []


def _number(values: dict[str, str], argument: str, low: float = -math.inf) -> float:
    """Return the value of an argument; ConfigError where it is no number, or too low a one."""
    try:
        value = float(values[argument])
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= low):
        least = f' of at least {low}' if math.isfinite(low) else ''
        raise ConfigError(
            f'launch argument {argument}:={values[argument]}: give a number{least}')
    return value
