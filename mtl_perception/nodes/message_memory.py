"""
Messages that are filled anew for each frame, in memory that is asked for once.

A message that is published is serialised before `publish` returns, so it may be filled again. To
make a message of 15 detections takes as long as to suppress them; an image's bytes would be
copied, and their memory cleared, once more.
"""

from __future__ import annotations

import array
from collections.abc import Sequence

import numpy as np
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

from mtl_perception.inference.results import Detections
from mtl_perception.nodes.messages import ENCODED_CHANNELS


class ImageMemory:
    """An image message of one encoding: 'mono8', 'rgb8' or 'bgr8'."""

    def __init__(self, encoding: str) -> None:
        self._message = Image(encoding=encoding, is_bigendian=0)
        self._pixels: np.ndarray = np.empty((0, 0), np.uint8)

    def pixels(self, height: int, width: int) -> np.ndarray:
        """
        Return the message's pixels, to be written: uint8 [height, width] or [height, width, 3].

        They are the same memory, with what was written before, as long as the size is the same.
        """
        if self._pixels.shape[:2] != (height, width):
            channels = ENCODED_CHANNELS[self._message.encoding]
            self._message.height, self._message.width = height, width
            self._message.step = width * channels
            # The one type that rclpy accepts without checking every byte. Some releases copy
            # it: the message has its own.
            self._message.data = array.array('B', bytes(height * width * channels))
            shape = (height, width) if channels == 1 else (height, width, channels)
            self._pixels = np.frombuffer(self._message.data, np.uint8).reshape(shape)
        return self._pixels

    def message(self, header: Header) -> Image:
        """Return the message with the pixels as they are, under this header."""
        self._message.header = header
        return self._message


class DetectionMemory:
    """A reused message, with as many detections as the largest result so far."""

    def __init__(self) -> None:
        self._message = Detection2DArray()
        self._made: list[Detection2D] = []

    def message(self, detections: Detections, class_ids: Sequence[str],
                header: Header) -> Detection2DArray:
        """
        Return detections, best score first, with the `class_ids` of their class indices.

        Boxes are centre and size in pixels of the source image, turned by `theta` where there are
        oriented ones. The message and all detections in
        it hold `header` itself; they are valid until the next call.
        """
        while len(self._made) < len(detections):
            self._made.append(Detection2D(results=[ObjectHypothesisWithPose()]))
        for made, (x0, y0, x1, y1), score, index in zip(
                self._made, detections.boxes.tolist(), detections.scores.tolist(),
                detections.classes.tolist(), strict=False):
            made.header = header
            hypothesis = made.results[0].hypothesis
            hypothesis.class_id, hypothesis.score = class_ids[index], score
            box = made.bbox
            box.center.position.x, box.center.position.y = (x0 + x1) / 2, (y0 + y1) / 2
            box.size_x, box.size_y, box.center.theta = x1 - x0, y1 - y0, 0.0
        if detections.oriented is not None:
            for made, sides in zip(
                    self._made, detections.oriented[:, 2:].tolist(), strict=False):
                made.bbox.size_x, made.bbox.size_y, made.bbox.center.theta = sides
        self._message.header = header
        self._message.detections = self._made[:len(detections)]
        return self._message
