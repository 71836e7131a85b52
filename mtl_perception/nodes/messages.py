"""
ROS messages to plain data and back: images in and out, label sets out.

Nothing here keeps state. Every output takes the header of the image that it was made from as it
is, so that stamp and frame id come through exactly.
"""

from __future__ import annotations

import array

from builtin_interfaces.msg import Time
import numpy as np
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import LabelInfo, VisionClass

from mtl_perception.labels import LabelSet

ENCODED_CHANNELS = {'mono8': 1, 'rgb8': 3, 'bgr8': 3}
"""Encodings that images are sent in -> bytes of a pixel."""


def image_to_message(image: np.ndarray, encoding: str, header: Header) -> Image:
    """
    Return uint8 [height, width] ('mono8') or [height, width, 3] ('rgb8', 'bgr8') as a message.

    The pixels are copied once; the message holds `header` itself.
    """
    height, width = image.shape[:2]
    data = byte_array(np.ascontiguousarray(image).data)
    return Image(
        header=header, height=height, width=width, encoding=encoding, is_bigendian=0,
        step=width * ENCODED_CHANNELS[encoding], data=data)


def byte_array(data: bytes | memoryview) -> array.array[int]:
    """Return a copy of contiguous data in the one type that rclpy does not check by element."""
    result = array.array('B')
    result.frombytes(data)
    return result


def label_info_message(labels: LabelSet, threshold: float, stamp: Time) -> LabelInfo:
    """Return the names of a label set by class index, and the score threshold in use."""
    return LabelInfo(
        header=Header(stamp=stamp), threshold=threshold,
        class_map=[VisionClass(class_id=index, class_name=name)
                   for index, name in enumerate(labels.names)])
