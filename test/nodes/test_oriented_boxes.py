"""Oriented boxes of the perception node, as a process, over DDS."""

import array

import cv2
from node_results import EVERY
import numpy as np
import pytest
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray


@pytest.mark.slow
def test_oriented_boxes_follow_the_parameter(start_node, call, wait_until, ros_node, paint):
    """The label map is needed for them, though nobody subscribes to it."""
    start_node('perception_node', model=str(paint), box_format='oriented')
    found = []
    ros_node.create_subscription(
        Detection2DArray, '/perception_node/detections', found.append, EVERY)
    publisher = ros_node.create_publisher(Image, 'image', EVERY)
    wait_until(lambda: publisher.get_subscription_count() == 1
               and ros_node.count_publishers('/perception_node/detections') == 1)
    pixels = np.full((128, 192, 3), 16, np.uint8)
    corners = cv2.boxPoints(((96, 64), (80, 30), 30))
    cv2.fillPoly(pixels, [np.rint(corners).astype(np.int32)], (250, 10, 10))
    message = Image(header=Header(frame_id='cam'), height=128, width=192, encoding='rgb8',
                    step=576, data=array.array('B', pixels.tobytes()))
    publisher.publish(message)
    wait_until(lambda: found)
    box = found[-1].detections[0].bbox
    assert np.degrees(box.center.theta) == pytest.approx(30, abs=3)
    assert (box.size_x, box.size_y) == (pytest.approx(80, abs=6), pytest.approx(30, abs=6))

    changed = call(SetParameters, 'set_parameters', parameters=[
        Parameter('box_format', value='upright').to_parameter_msg()])
    assert changed.results[0].successful
    del found[:]
    publisher.publish(message)
    wait_until(lambda: found)
    box = found[-1].detections[0].bbox
    assert box.center.theta == 0 and box.size_y == pytest.approx(66, abs=2)


@pytest.mark.slow
def test_oriented_boxes_of_a_model_without_pixel_classes_are_rejected(start_node, paint_model):
    node = start_node('perception_node', model=str(paint_model(segmentation=False)),
                      box_format='oriented')
    assert node.wait() == 1
    assert 'error: box_format oriented: the model' in node.said()
