"""Diagnostics of the node's input, as a process: causes of silence, clocks and stamps."""

import array
import time

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
import pytest
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import Detection2DArray


class Diagnostics:
    """The latest status of the images and its values."""

    def __init__(self, node):
        self.came, self.status, self.values, self.stamp = 0, None, {}, None
        node.create_subscription(DiagnosticArray, '/diagnostics', self._read, 10)

    def _read(self, message):
        self.came += 1
        self.stamp = message.header.stamp
        self.status = message.status[0]
        self.values = {pair.key: pair.value for pair in self.status.values}

    def says(self, words):
        return self.status is not None and words in self.status.message


@pytest.fixture
def diagnostics(ros_node):
    return Diagnostics(ros_node)


@pytest.fixture
def start(start_node, paint_model):
    def start(**parameters):
        return start_node('perception_node', model=str(paint_model(size=(192, 128))),
                          image_timeout=0.5, **parameters)

    return start


@pytest.fixture
def image_publisher(ros_node):
    def image_publisher(reliability='RELIABLE'):
        return ros_node.create_publisher(Image, 'image', QoSProfile(
            depth=5, reliability=ReliabilityPolicy[reliability]))

    return image_publisher


def image(stamp):
    message = Image(width=64, height=48, step=192, encoding='bgr8',
                    data=array.array('B', bytes(64 * 48 * 3)))
    message.header.stamp = stamp
    return message


def fly(publish, condition):
    """Publish 20 images a second until `condition` holds; assertion error after 20 s."""
    for _ in range(400):
        publish()
        time.sleep(0.05)
        if condition():
            return
    raise AssertionError('not within 20 s')


def now(node):
    return node.get_clock().now().to_msg()


@pytest.mark.slow
def test_silence_is_explained_by_publishers(start, diagnostics, ros_node, other_node, wait_until):
    node = start(image_transport='raw')
    wait_until(lambda: diagnostics.says('it has no publisher; no other topic'))
    raw = ros_node.create_publisher(Image, '/camera/image_raw', 1)
    wait_until(lambda: diagnostics.says('images are published on /camera/image_raw (Image)'))
    ros_node.destroy_publisher(raw)
    compressed = ros_node.create_publisher(CompressedImage, 'image', 1)
    wait_until(lambda: diagnostics.says(
        'it carries sensor_msgs/msg/CompressedImage (from /tester), not sensor_msgs/msg/Image'))
    ros_node.destroy_publisher(compressed)
    # A participant cannot have two types for one topic.
    mute = other_node.create_publisher(Image, 'image', 5)
    wait_until(lambda: diagnostics.says(
        '/other offers reliable, volatile, but nothing arrives: see `ros2 topic hz /image`'))
    wait_until(mute.get_subscription_count)
    fly(lambda: mute.publish(image(now(ros_node))),
        lambda: diagnostics.says('idle: no subscribers'))
    for words in ('publisher; no other', 'on /camera/image_raw', 'it carries', 'ros2 topic hz'):
        assert len([line for line in node.said().splitlines() if words in line]) == 1, node.said()
    assert node.end()[0] == 0


@pytest.mark.slow
def test_incompatible_qos_is_reported_with_both_profiles(start, diagnostics, wait_until,
                                                         image_publisher):
    start(reliability='reliable')
    image_publisher('BEST_EFFORT')
    wait_until(lambda: diagnostics.says(
        'this node asks for reliable, volatile, and /tester offers best_effort, volatile'))


@pytest.mark.slow
def test_diagnostics_continue_without_clock(start, diagnostics, ros_node, wait_until,
                                            image_publisher):
    results = []
    ros_node.create_subscription(
        Detection2DArray, '/perception_node/detections', results.append, 10)
    node = start(use_sim_time=True)
    wait_until(lambda: diagnostics.says(
        'use_sim_time is set, but /clock does not run: it has no publisher'))
    assert 'no image on /image' in diagnostics.status.message
    assert diagnostics.stamp.sec > 1e9, 'a monitor takes the stamp zero for stale'
    assert 'use_sim_time is set' in node.said()
    came = diagnostics.came
    wait_until(lambda: diagnostics.came >= came + 3, 5)

    images = image_publisher()
    wait_until(images.get_subscription_count)
    stamp = Time(sec=1234, nanosec=5)
    fly(lambda: images.publish(image(stamp)), lambda: results)
    assert results[-1].header.stamp == stamp

    clock = ros_node.create_publisher(Clock, '/clock', 10)
    seconds = iter(range(1235, 10**6))

    def tick(times):
        clock.publish(Clock(clock=Time(sec=next(times))))
        images.publish(image(stamp))

    fly(lambda: tick(seconds), lambda: diagnostics.says('images/s'))
    assert diagnostics.stamp.sec < 10**6
    # A restarted bag: the clock jumps back, and earlier stamps are in the future.
    again = iter(range(100, 1000))
    fly(lambda: tick(again), lambda: diagnostics.says('ahead of the clock of this node'))
    assert int(diagnostics.values['stamps of the future']) > 0
    assert node.end()[0] == 0


@pytest.mark.slow
def test_images_with_any_stamp_are_processed(start, diagnostics, ros_node, wait_until,
                                             image_publisher):
    results = []
    ros_node.create_subscription(
        Detection2DArray, '/perception_node/detections', results.append, 10)
    start()
    images = image_publisher()
    wait_until(images.get_subscription_count)
    here = now(ros_node).sec
    for stamp, key, words in (
            (Time(), 'stamps zero', 'stamps are zero'),
            (Time(sec=here + 3600), 'stamps of the future', 'ahead of the clock'),
            (Time(sec=1000), 'stamps of another clock', 'behind the clock of this node'),
            (Time(sec=999), 'stamps going backwards', 'behind the clock of this node')):
        fly(lambda stamp=stamp: images.publish(image(stamp)),
            lambda key=key, words=words: diagnostics.says(words) and diagnostics.values[key] != '0'
            )
        wait_until(lambda stamp=stamp: results[-1].header.stamp == stamp)
    fly(lambda: images.publish(image(now(ros_node))), lambda: diagnostics.says('images/s'))
