"""
ROS messages to plain data and back: images in; detections, label maps and label sets out.

Nothing here keeps state. Every output takes the header of the image that it was made from as it
is, so that stamp and frame id come through exactly.
"""

from __future__ import annotations

import array
from collections.abc import Sequence

from builtin_interfaces.msg import Time
import numpy as np
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import (
    BoundingBox2D,
    Detection2D,
    Detection2DArray,
    LabelInfo,
    ObjectHypothesis,
    ObjectHypothesisWithPose,
    Point2D,
    Pose2D,
    VisionClass,
)

from mtl_perception.encodings import RawImage
from mtl_perception.inference.results import Detections
from mtl_perception.labels import LabelSet

_ENCODED_CHANNELS = {'mono8': 1, 'rgb8': 3, 'bgr8': 3}


def raw_image(message: Image) -> RawImage:
    """Return the message's fields; nothing is copied or checked."""
    return RawImage(
        message.data, message.width, message.height, message.step, message.encoding,
        bool(message.is_bigendian))


def image_to_message(image: np.ndarray, encoding: str, header: Header) -> Image:
    """
    Return uint8 [height, width] ('mono8') or [height, width, 3] ('rgb8', 'bgr8') as a message.

    The pixels are copied once; the message holds `header` itself.
    """
    height, width = image.shape[:2]
    # The one type that rclpy takes over without looking at every byte.
    data = array.array('B')
    data.frombytes(np.ascontiguousarray(image).data)
    return Image(
        header=header, height=height, width=width, encoding=encoding, is_bigendian=0,
        step=width * _ENCODED_CHANNELS[encoding], data=data)


def detections_to_message(
        detections: Detections | None, class_ids: Sequence[str], header: Header,
        ) -> Detection2DArray:
    """
    Return detections, best score first, with the `class_ids` of their class indices.

    Boxes are centre and size in pixels of the source image. No detections, or a model that does
    not detect (None), is an empty array.
    """
    if detections is None:
        return Detection2DArray(header=header)
    return Detection2DArray(header=header, detections=[
        Detection2D(
            header=header,
            results=[ObjectHypothesisWithPose(
                hypothesis=ObjectHypothesis(class_id=class_ids[index], score=score))],
            bbox=BoundingBox2D(
                center=Pose2D(position=Point2D(x=(x0 + x1) / 2, y=(y0 + y1) / 2)),
                size_x=x1 - x0, size_y=y1 - y0))
        for (x0, y0, x1, y1), score, index in zip(
            detections.boxes.tolist(), detections.scores.tolist(), detections.classes.tolist(),
            strict=True)])


def label_info_message(labels: LabelSet, threshold: float, stamp: Time) -> LabelInfo:
    """Return the names of a label set by class index, and the score threshold in use."""
    return LabelInfo(
        header=Header(stamp=stamp), threshold=threshold,
        class_map=[VisionClass(class_id=index, class_name=name)
                   for index, name in enumerate(labels.names)])
