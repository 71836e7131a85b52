"""The perception node with thermal and depth images, of more than 8 bits."""

import array
import time

from builtin_interfaces.msg import Time
import numpy as np
import pytest
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from mtl_perception.compressed import compress
from mtl_perception.nodes import qos

EVERY = qos.stream('reliable', 50)

BRIGHT, DARK = 0, 3
"""Labels of the model with known outputs for grey above and below 120."""


def scene(number, low, high, dtype):
    """Return 128x192 pixels with sensor noise, the left half `low` and the right one `high`."""
    pixels = np.random.default_rng(number).normal(0, (high - low) / 50, (128, 192))
    pixels += np.where(np.arange(192) < 96, low, high)
    return pixels.astype(dtype)


def header(number):
    return Header(stamp=Time(sec=1000, nanosec=number * 10**8))


def raw(number, encoding, pixels):
    return Image(header=header(number), width=192, height=128, encoding=encoding,
                 step=192 * pixels.itemsize, data=array.array('B', pixels.tobytes()))


def test_thermal_and_depth_images_of_one_camera(start_node, ros_node, wait_until, paint_model):
    masks = {}
    ros_node.create_subscription(
        Image, '/perception_node/segmentation',
        lambda message: masks.update({message.header.stamp.nanosec: message}), EVERY)
    publisher = ros_node.create_publisher(Image, 'image', EVERY)
    node = start_node('perception_node', model=str(paint_model(size=(192, 128))),
                      reliability='reliable', queue_depth=20)
    wait_until(lambda: publisher.get_subscription_count() == 1
               and ros_node.count_publishers('/perception_node/segmentation') == 1)

    def labels(message):
        publisher.publish(message)
        wait_until(lambda: message.header.stamp.nanosec in masks)
        mask = np.frombuffer(masks[message.header.stamp.nanosec].data, np.uint8)
        mask = mask.reshape(128, 192)
        return int(np.median(mask[8:-8, 8:88])), int(np.median(mask[8:-8, 104:-8]))

    time.sleep(0.5)
    # Between two frames of one type nothing jumps; the others begin anew.
    frames = [('mono16', scene(1, 7200, 8500, '<u2')), ('mono16', scene(2, 7210, 8490, '<u2')),
              ('16UC1', scene(3, 1500, 4000, '<u2')), ('32FC1', scene(4, -12.5, 38.0, '<f4')),
              ('16SC1', scene(5, -1250, 3800, '<i2')), ('mono8', scene(6, 60, 180, 'u1'))]
    frames[3][1][:5] = np.nan
    for number, (encoding, pixels) in enumerate(frames):
        assert labels(raw(number, encoding, pixels)) == (DARK, BRIGHT), encoding
    client = ros_node.create_client(SetParameters, '/perception_node/set_parameters')
    wait_until(client.service_is_ready)
    change = client.call_async(SetParameters.Request(
        parameters=[Parameter('black_hot', value=True).to_parameter_msg()]))
    wait_until(change.done)
    assert change.result().results[0].successful
    assert labels(raw(7, 'mono16', frames[0][1])) == (BRIGHT, DARK)
    assert labels(raw(8, 'mono8', frames[5][1])) == (DARK, BRIGHT), 'of 8 bits: as it is'
    assert 'rror' not in node.said()


@pytest.mark.slow
def test_compressed_thermal_image(start_node, ros_node, wait_until, paint_model):
    masks = []
    ros_node.create_subscription(Image, '/perception_node/segmentation', masks.append, EVERY)
    publisher = ros_node.create_publisher(CompressedImage, 'image/compressed', EVERY)
    start_node('perception_node', model=str(paint_model(size=(192, 128))),
               image_transport='compressed', reliability='reliable', black_hot=True)
    wait_until(lambda: publisher.get_subscription_count() == 1
               and ros_node.count_publishers('/perception_node/segmentation') == 1)
    data = compress(scene(0, 7200, 8500, np.uint16), 'rgb', 'png')
    message = CompressedImage(header=header(0), format='mono16; png compressed ',
                              data=array.array('B', data))
    time.sleep(0.5)
    publisher.publish(message)
    wait_until(lambda: masks)
    mask = np.frombuffer(masks[0].data, np.uint8).reshape(128, 192)
    assert (mask[64, 40], mask[64, 150]) == (BRIGHT, DARK)
