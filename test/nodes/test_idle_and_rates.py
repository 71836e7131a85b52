"""When the perception node works: while somebody listens, at the rate of each task."""

import time

from diagnostic_msgs.msg import DiagnosticArray
from node_results import EVERY
from painted_images import image_message
import pytest
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from mtl_perception.nodes import qos


class Stream:
    """Publishes the same image repeatedly, each time with a new stamp."""

    def __init__(self, node, rate):
        self.publisher = node.create_publisher(Image, 'image', qos.stream('reliable', 5))
        self._node = node
        self._message = image_message(Header(), 'bgr8', 192, 128)
        self._timer = node.create_timer(1 / rate, self._send)

    def _send(self):
        self._message.header.stamp = self._node.get_clock().now().to_msg()
        self.publisher.publish(self._message)

    def end(self):
        self._timer.cancel()


def stamp_of(message):
    return message.header.stamp.sec + message.header.stamp.nanosec / 1e9


@pytest.mark.slow
def test_node_is_idle_without_subscriber_and_serves_first_at_once(start_node, ros_node, wait_until,
                                                                  paint):
    states, found = [], []
    ros_node.create_subscription(DiagnosticArray, '/diagnostics', states.append, EVERY)

    def said(key):
        return next((pair.value for status in states[-1].status for pair in status.values
                     if pair.key == key), '') if states else ''

    stream = Stream(ros_node, 30)
    node = start_node('perception_node', model=str(paint), idle_timeout=1.0, detection_rate=0.01)
    for _ in range(2):
        before = len(found)
        wait_until(lambda: stream.publisher.get_subscription_count() == 1)
        wait_until(lambda: int(said('images dropped, idle') or 0) > 0)
        # No longer sent, either.
        wait_until(lambda: stream.publisher.get_subscription_count() == 0)
        wait_until(lambda: states[-1].status[0].message == 'idle: no subscribers to results')
        assert states[-1].status[0].level == b'\x00'
        begun = time.time()
        subscription = ros_node.create_subscription(
            Detection2DArray, '/perception_node/detections', found.append, EVERY)
        wait_until(lambda before=before: len(found) > before, 5)
        # Regardless of the rate, which would give one result in 100 s.
        assert time.time() - begun < 1 and stamp_of(found[-1]) > begun - 0.1
        wait_until(lambda before=before: said('images processed') == str(before + 1))
        wait_until(lambda: int(said('images dropped, rate limit') or 0) > 0)
        assert len(found) == before + 1
        ros_node.destroy_subscription(subscription)
    assert said('stamps going backwards') == '0'
    # Dozens were not received while the node was idle; a few may be lost on a busy machine.
    assert int(said('images lost on the way')) < 15
    # Without a publisher the node subscribes again, so that it can report this.
    stream.end()
    ros_node.destroy_publisher(stream.publisher)
    wait_until(lambda: 'it has no publisher' in node.said())
    assert node.end()[0] == 0 and 'rror' not in node.said()


@pytest.mark.slow
def test_tasks_have_separate_rates(start_node, results, call, wait_until, ros_node, paint):
    node = start_node('perception_node', model=str(paint), segmentation_rate=2.0)
    wait_until(results.connected)
    stream = Stream(ros_node, 20)

    def frames(messages):
        return set(map(stamp_of, messages))

    wait_until(lambda: len(results.masks) >= 5)
    labelled, detected = frames(results.masks), frames(results.detections)
    assert labelled <= detected and 0.05 < len(labelled) / len(detected) < 0.2
    call(SetParameters, 'set_parameters', parameters=[
        Parameter(name, value=value).to_parameter_msg()
        for name, value in (('segmentation_rate', 0.0), ('detection_rate', 4.0))])
    del results.masks[:], results.detections[:]
    wait_until(lambda: len(results.detections) >= 10)
    labelled, detected = frames(results.masks), frames(results.detections)
    assert 0.1 < len(detected) / len(labelled) < 0.4
    stream.end()
    assert node.end()[0] == 0 and 'rror' not in node.said()
