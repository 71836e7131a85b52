"""Reuse of messages."""

import array
from dataclasses import replace

from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseWithCovariance
import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import (
    BoundingBox2D,
    Detection2D,
    Detection2DArray,
    ObjectHypothesis,
    ObjectHypothesisWithPose,
    Point2D,
    Pose2D,
)

from mtl_perception.encodings import decode_image, RawImage
from mtl_perception.inference.results import Detections
from mtl_perception.nodes.message_memory import DetectionMemory, ImageMemory

NAMES = ['car', 'person', 'bicycle']


def header_of(number):
    return Header(stamp=Time(sec=number, nanosec=999999999), frame_id=f'Kamera {number} é')


def detections_of(count):
    rng = np.random.default_rng(count)
    corners = rng.uniform(0, 500, (count, 2))
    return Detections(
        np.concatenate([corners, corners + rng.uniform(1, 90, (count, 2))], 1).astype(np.float32),
        rng.random(count).astype(np.float32), rng.integers(0, 3, count).astype(np.int32))


def made_anew(detections, header):
    return Detection2DArray(header=header, detections=[
        Detection2D(
            header=header,
            results=[ObjectHypothesisWithPose(
                hypothesis=ObjectHypothesis(class_id=NAMES[index], score=float(score)),
                pose=PoseWithCovariance())],
            bbox=BoundingBox2D(
                center=Pose2D(position=Point2D(
                    x=(float(x0) + float(x1)) / 2, y=(float(y0) + float(y1)) / 2)),
                size_x=float(x1) - float(x0), size_y=float(y1) - float(y0)))
        for (x0, y0, x1, y1), score, index in zip(
            detections.boxes, detections.scores, detections.classes, strict=True)])


def test_reused_detections_equal_new_message():
    memory = DetectionMemory()
    for number, count in enumerate((3, 0, 40, 1, 40, 7, 0)):
        detections, header = detections_of(count), header_of(number)
        message = memory.message(detections, NAMES, header)
        assert message == made_anew(detections, header)
        # Received messages do not change with the next frame.
        sent = deserialize_message(serialize_message(message), Detection2DArray)
        memory.message(detections_of(40), NAMES, header_of(99))
        assert sent == made_anew(detections, header)


def test_box_has_centre_and_size():
    found = DetectionMemory().message(Detections(
        np.array([[10, 20, 30.5, 60]], np.float32), np.array([0.75], np.float32),
        np.array([1], np.int32)), ['0', '1'], Header())
    box = found.detections[0].bbox
    assert (box.center.position.x, box.center.position.y) == (20.25, 40)
    assert (box.size_x, box.size_y, box.center.theta) == (20.5, 40, 0)
    assert found.detections[0].results[0].hypothesis.class_id == '1'
    assert found.detections[0].results[0].hypothesis.score == 0.75


def test_oriented_boxes_are_turned_and_later_upright_ones_are_not():
    memory = DetectionMemory()
    upright = Detections(
        np.array([[10, 20, 30.5, 60]], np.float32), np.array([0.75], np.float32),
        np.array([1], np.int32))
    oriented = replace(upright, oriented=np.array([[20.25, 40, 35, 12, -0.5]], np.float32))
    for found, sides in ((upright, (20.5, 40, 0)), (oriented, (35, 12, -0.5)),
                         (upright, (20.5, 40, 0))):
        box = memory.message(found, ['0', '1'], Header()).detections[0].bbox
        assert (box.size_x, box.size_y, box.center.theta) == sides
        assert (box.center.position.x, box.center.position.y) == (20.25, 40)


@pytest.mark.parametrize(('encoding', 'channels'), [('mono8', 1), ('rgb8', 3), ('bgr8', 3)])
def test_image_buffer_changes_with_size_only(encoding, channels):
    memory = ImageMemory(encoding)
    rng = np.random.default_rng(0)
    places = []
    for number, (height, width) in enumerate([(6, 8), (6, 8), (8, 6), (6, 8), (6, 8)]):
        pixels = memory.pixels(height, width)
        shape = (height, width) if channels == 1 else (height, width, channels)
        assert pixels.shape == shape and pixels.dtype == np.uint8
        places.append(pixels.ctypes.data)
        pixels[...] = expected = rng.integers(0, 256, shape, np.uint8)
        message = memory.message(header_of(number))
        assert message.header == header_of(number)
        assert isinstance(message.data, array.array) and message.data.typecode == 'B'
        assert (message.height, message.width, message.encoding) == (height, width, encoding)
        assert (message.step, message.is_bigendian) == (width * channels, 0)
        assert np.array_equal(decode_image(RawImage.of(message))[0], expected)
        assert deserialize_message(serialize_message(message), Image) == message
    assert places[0] == places[1] and places[3] == places[4]
