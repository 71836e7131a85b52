"""
`ros2 launch` with real nodes of an install space as processes, and a peer.

Peers are plain rclpy programs on the middleware's default transports.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
import importlib.util
import json
import os
from pathlib import Path
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

for needed in ('launch_ros', 'rclpy', 'setuptools'):
    pytest.importorskip(needed)

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FILE = 'uav_camera.launch.py'

# Equivalent of `ros2 launch FILE ARGUMENTS` without ros2cli.
ROS2_LAUNCH = """
import sys
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import AnyLaunchDescriptionSource
from launch import LaunchDescription, LaunchService
service = LaunchService(argv=sys.argv[2:], noninteractive=True)
service.include_launch_description(LaunchDescription([IncludeLaunchDescription(
    AnyLaunchDescriptionSource(sys.argv[1]),
    launch_arguments=[tuple(word.split(':=', 1)) for word in sys.argv[2:]])]))
sys.exit(service.run())
"""

# Publishes images, if requested, and ends after the given number of results with the stamp of a
# known image.
PEER = """
import json, sys
import rclpy
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray
topic, detections, segmentation, publish, wanted = json.loads(sys.argv[1])
rclpy.init()
node = rclpy.create_node('peer')
images, seen, labelled = set(), set(), set()
key = lambda message: (message.header.stamp.sec, message.header.stamp.nanosec)
def send():
    image = Image(height=480, width=640, encoding='bgr8', step=1920)
    image.header.stamp = node.get_clock().now().to_msg()
    image.header.frame_id = 'nose'
    image.data.frombytes(bytes(480 * 1920))
    images.add(key(image))
    publisher.publish(image)
if publish:
    publisher = node.create_publisher(Image, topic, 5)
    timer = node.create_timer(0.1, send)
else:
    node.create_subscription(
        Image, topic, lambda message: images.add(key(message)), qos_profile_sensor_data)
node.create_subscription(Detection2DArray, detections, lambda message: seen.add(key(message)), 5)
node.create_subscription(Image, segmentation, lambda message: labelled.add(key(message)), 5)
while len(images & seen & labelled) < wanted:
    rclpy.spin_once(node)
"""


@pytest.fixture(scope='module')
def environment(tmp_path_factory) -> dict[str, str]:
    """Return an environment with an install space of this tree, without our variables."""
    folder = tmp_path_factory.mktemp('install_space')
    shutil.copytree(ROOT, folder / 'source', ignore=lambda _, names: [
        name for name in names if name.startswith('.') or name.endswith('.egg-info') or name in (
            'build', 'install', 'log', 'out', 'runs', 'shared', 'test', '__pycache__')])
    prefix = folder / 'prefix'
    subprocess.run(
        [sys.executable, 'setup.py', '-q', 'install', '--prefix', str(prefix),
         '--single-version-externally-managed', '--record', str(folder / 'record')],
        cwd=folder / 'source', check=True, capture_output=True)
    modules, = prefix.glob('**/mtl_perception/__init__.py')
    environment = {
        name: value for name, value in os.environ.items()
        if not name.startswith(('FASTDDS_', 'FASTRTPS_', 'RCUTILS_'))}
    paths = [str(modules.parents[1]), *filter(None, [environment.get('PYTHONPATH')])]
    prefixes = [str(prefix), *filter(None, [environment.get('AMENT_PREFIX_PATH'), sys.prefix])]
    return {**environment, 'PYTHONPATH': os.pathsep.join(paths),
            'AMENT_PREFIX_PATH': os.pathsep.join(prefixes), 'ROS_LOG_DIR': str(folder / 'log'),
            # Up to 101 they do not overlap Linux's ephemeral ports.
            'ROS_DOMAIN_ID': str(random.SystemRandom().randint(1, 101))}


class Launched:
    """A running launch, in a separate session with all its nodes."""

    def __init__(self, arguments: list[str], environment: dict[str, str], log: Path) -> None:
        share = Path(environment['AMENT_PREFIX_PATH'].partition(os.pathsep)[0]) / 'share'
        file = str(share / 'mtl_perception' / 'launch' / FILE)
        ros2 = shutil.which('ros2') if importlib.util.find_spec('ros2launch') else None
        command = [ros2, 'launch', file] if ros2 else [sys.executable, '-c', ROS2_LAUNCH, file]
        self.log = log
        with log.open('wb') as output:
            self.process = subprocess.Popen(
                [*command, *arguments], env=environment, cwd=log.parent,
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True)

    def said(self) -> str:
        return self.log.read_text(encoding='utf-8', errors='replace')

    def wait_for(self, words: str, times: int = 1, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while self.said().count(words) < times:
            assert self.process.poll() is None and time.monotonic() < end, self.said()
            time.sleep(0.02)

    def wait(self, seconds: float = 60) -> int:
        return self.process.wait(seconds)

    def last_line(self) -> str:
        return self.said().strip().splitlines()[-1]

    def left(self) -> list[str]:
        """Return the command lines of the session's running processes."""
        found = []
        for stat in Path('/proc').glob('[0-9]*/stat'):
            with suppress(OSError):
                state, _, _, session = stat.read_text().rpartition(')')[2].split()[:4]
                if session == str(self.process.pid) and state != 'Z':
                    found.append((stat.parent / 'cmdline').read_text().replace('\0', ' '))
        return found

    def nobody_is_left(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while self.left() and time.monotonic() < end:
            time.sleep(0.05)
        return not self.left()


Launch = Callable[..., Launched]


@pytest.fixture
def launch(environment, paint_model, tmp_path) -> Iterator[Launch]:
    """Return a function that launches with these arguments, by default with a small model."""
    started = []

    def launch(**arguments: str) -> Launched:
        arguments.setdefault('model', str(paint_model()))
        words = [f'{name}:={value}' for name, value in arguments.items()]
        started.append(Launched(words, environment, tmp_path / f'launch_{len(started)}.log'))
        return started[-1]

    yield launch
    for item in started:
        with suppress(ProcessLookupError):
            os.killpg(item.process.pid, signal.SIGKILL)
        item.process.wait()


def run_peer(environment: dict[str, str], *arguments: object) -> None:
    """Run the peer to its end; fails if it does not receive the expected messages."""
    subprocess.run(
        [sys.executable, '-c', PEER, json.dumps(arguments)], env=environment, timeout=60,
        check=True)


def test_results_reach_peer_that_publishes_images(launch, environment):
    launched = launch(camera='false', image_topic='/front/image_raw', namespace='uav')
    node = '/uav/perception_node'
    run_peer(environment, '/front/image_raw', f'{node}/detections', f'{node}/segmentation', True,
             5)
    launched.process.send_signal(signal.SIGINT)
    assert launched.wait() == 0
    assert launched.nobody_is_left(1)
    # No colours without a terminal.
    assert '\x1b' not in launched.said()


def test_images_and_results_reach_subscriber(launch, environment):
    launched = launch(rate='5', use_sim_time='false')
    run_peer(environment, '/image', '/perception_node/detections', '/perception_node/segmentation',
             False, 5)
    # Ctrl-C in a terminal reaches all its processes.
    os.killpg(launched.process.pid, signal.SIGINT)
    assert launched.wait() == 0
    assert launched.nobody_is_left(1)
    assert 'Traceback' not in launched.said()


def test_two_cameras_share_perception_node_and_bag(launch, environment, tmp_path):
    bag = tmp_path / 'bag'
    launched = launch(cameras='front,down', rate='5', record='true', bag=str(bag),
                      source='{front: synthetic:8, down: synthetic:2}')
    for name in ('front', 'down'):
        run_peer(environment, f'/{name}/image', f'/perception_node/{name}/detections',
                 f'/perception_node/{name}/segmentation', False, 5)
    launched.process.send_signal(signal.SIGINT)
    assert launched.wait() == 0
    assert launched.nobody_is_left(1)
    assert 'Traceback' not in launched.said()
    recorded, = re.findall(r'recorded to \S+: (.*)', launched.said())
    counts = dict(item.rsplit(' ', 1) for item in recorded.split(', '))
    assert all(int(counts[topic]) > 0 for name in ('front', 'down') for topic in (
        f'/{name}/image', f'/{name}/camera_info', f'/perception_node/{name}/detections',
        f'/perception_node/{name}/segmentation'))


def test_failed_node_ends_launch_with_its_error_last(launch):
    launched = launch(model='/nowhere.onnx')
    assert launched.wait() == 1
    assert re.search(r'perception_node failed \(exit code 1\): /nowhere\.onnx: no such model file',
                     launched.last_line())
    assert 'Traceback' not in launched.said()
    assert launched.nobody_is_left(1)


def test_node_is_restarted_up_to_limit(launch):
    launched = launch(respawn='true', respawn_delay='0.1', respawn_max_per_minute='1')
    for times in (1, 2):
        launched.wait_for('[perception_node]: detection of', times)
        node, = (pid for pid in map(int, re.findall(
            r'perception_node-\d\]: process started with pid \[(\d+)\]', launched.said()))
            if Path(f'/proc/{pid}').exists())
        os.kill(node, signal.SIGKILL)
    assert launched.wait() == 1
    assert re.search('perception_node failed .SIGKILL.; failure 2 within a minute, more than '
                     'respawn_max_per_minute:=1 allows', launched.last_line())
    assert launched.nobody_is_left(1)


def test_other_nodes_continue_if_requested(launch):
    launched = launch(model='/nowhere.onnx', on_exit='ignore')
    launched.wait_for('the others go on')
    launched.wait_for('[camera_node]: synthetic flight')
    launched.process.send_signal(signal.SIGINT)
    assert launched.wait() == 1
    assert 'no such model file' in launched.last_line()


def test_end_of_source_ends_launch_normally(launch, tmp_path):
    params = tmp_path / 'camera.yaml'
    params.write_text('/**/camera_node:\n  ros__parameters:\n    loop: false\n    frames: 3\n'
                      '    wait_for_subscribers: 1\n')
    bag = tmp_path / 'bag'
    launched = launch(params_file=str(params), record='true', bag=str(bag), respawn='true')
    assert launched.wait() == 0
    assert 'camera_node has ended, and so does the launch' in launched.said()
    assert (bag / 'metadata.yaml').is_file()


@pytest.mark.parametrize(('arguments', 'line'), [
    ({'modle': 'x'}, 'launch argument modle:=x: there is none of that name; did you mean model?'),
    ({'params_file': '/nowhere.yaml'},
     'launch argument params_file:=/nowhere.yaml: there is no such file; start from a copy of '),
    ({'score_threshold': 'abc'}, 'launch argument score_threshold:=abc: give a number'),
    ({'rate': 'nan'}, 'launch argument rate:=nan: give a number'),
    ({'respawn_max_per_minute': '0'},
     'launch argument respawn_max_per_minute:=0: give a number of at least 1'),
    ({'camera': 'maybe'}, 'Argument "camera" provided value "maybe" is not valid'),
])
def test_invalid_argument_gives_one_line_error(arguments, line, launch):
    launched = launch(**arguments)
    assert launched.wait() == 1
    assert line in launched.last_line()
    assert 'process started' not in launched.said() and 'Traceback' not in launched.said()


def test_launch_runs_without_rviz(launch):
    if importlib.util.find_spec('rviz2') or shutil.which('rviz2'):
        pytest.skip('RViz is installed')
    launched = launch(rviz='true')
    launched.wait_for('[perception_node]: detection of')
    assert 'RViz is not installed, the nodes run without it' in launched.said()


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize('early', [True, False])
def test_killed_launch_leaves_no_node(number, early, launch, tmp_path):
    bag = tmp_path / 'bag'
    launched = launch(record='true', bag=str(bag))
    launched.wait_for('process started', 3)
    if not early:
        launched.wait_for('[recorder_node]: recording')
    launched.process.send_signal(number)
    launched.process.wait(20)
    assert launched.nobody_is_left(12)
    if not early:
        assert (bag / 'metadata.yaml').is_file()
