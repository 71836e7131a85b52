import os
import time

import pytest

pytest.importorskip('rclpy')

from mtl_perception.bags.results import ResultTopics
from mtl_perception.demo.monitor import Monitor
from mtl_perception.demo.processes import node_environment

TOPICS = ResultTopics()


@pytest.fixture
def environment(tmp_path) -> dict[str, str]:
    return {name: value for name, value in node_environment(tmp_path).items()
            if os.environ.get(name) != value}


def publish(node, kind, topic, *messages, monitor):
    """Publish the messages once the monitor is subscribed."""
    publisher = node.create_publisher(kind, topic, 10)
    end = time.monotonic() + 20
    while not publisher.get_subscription_count():
        assert time.monotonic() < end
        monitor.spin(0.05)
    for message in messages:
        publisher.publish(message)


@pytest.fixture
def peer(environment):
    """Return a function that makes a node in the monitor's domain."""
    import rclpy
    contexts = []

    def make(name):
        context = rclpy.Context()
        rclpy.init(args=[], context=context)
        contexts.append(context)
        return rclpy.create_node(name, context=context)

    yield make
    for context in contexts:
        rclpy.shutdown(context=context)


def spin_until(monitor, condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        monitor.spin(0.05)


def test_monitor_counts_images_and_results_and_keeps_diagnostics(environment, peer):
    from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
    from sensor_msgs.msg import CameraInfo
    from vision_msgs.msg import Detection2D, Detection2DArray
    with Monitor(environment, TOPICS, TOPICS.detections) as monitor:
        node = peer('camera_node')
        assert (monitor.images, monitor.objects, monitor.latency, monitor.rate) == (0, 0, 0, 0)
        publish(node, CameraInfo, TOPICS.camera_info, CameraInfo(), CameraInfo(), monitor=monitor)
        found = Detection2DArray(detections=[Detection2D(), Detection2D(), Detection2D()])
        found.header.stamp = node.get_clock().now().to_msg()
        publish(node, Detection2DArray, TOPICS.detections, found, monitor=monitor)
        status = DiagnosticStatus(name='camera_node: stream', values=[
            KeyValue(key='images published', value='2')])
        publish(node, DiagnosticArray, TOPICS.diagnostics, DiagnosticArray(status=[status]),
                monitor=monitor)
        spin_until(monitor, lambda: monitor.status('camera_node: stream'))
        spin_until(monitor, lambda: monitor.objects == 3 and monitor.images == 2)
        assert monitor.status('camera_node: stream') == {'images published': '2'}
        assert monitor.status('perception_node: images') == {}
        assert 0 < monitor.latency < 20


def test_monitor_sees_who_subscribes(environment, peer):
    from vision_msgs.msg import Detection2DArray
    with Monitor(environment, TOPICS, TOPICS.detections) as monitor:
        node = peer('recorder_node')
        topics = [TOPICS.detections, TOPICS.segmentation]
        assert not monitor.is_subscribed('recorder_node', topics)
        for topic in topics:
            node.create_subscription(Detection2DArray, topic, print, 1)
        spin_until(monitor, lambda: monitor.is_subscribed('recorder_node', topics))
        assert not monitor.is_subscribed('other_node', topics)


def test_monitor_restores_the_environment(environment):
    before = dict(os.environ)
    with Monitor(environment | {'ROS_DOMAIN_ID': '77'}, TOPICS, TOPICS.segmentation):
        assert os.environ['ROS_DOMAIN_ID'] == '77'
    assert dict(os.environ) == before
