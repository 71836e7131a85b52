"""The topics of the camera node: images raw and compressed, and the camera info with them."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from rclpy.duration import Duration
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from mtl_perception.compressed import compress, format_name
from mtl_perception.nodes import qos
from mtl_perception.nodes.camera_info import camera_info
from mtl_perception.nodes.camera_parameters import CameraParameters
from mtl_perception.nodes.messages import byte_array, image_to_message


class CameraOutput:
    """
    Publishes each image on the topics that are on, all with the same header.

    `image/compressed` belongs to `image`, as with image_transport: where `image` is remapped to
    `front/image` it is `front/image/compressed`.
    """

    def __init__(
            self, node: Node, settings: CameraParameters, calibration: CameraInfo | None) -> None:
        """Make the publishers."""
        self._settings = settings
        self._calibration = calibration
        profile = qos.stream(settings.reliability, settings.queue_depth)
        self._raw: Any = None
        self._compressed: Any = None
        if settings.output != 'compressed':
            self._raw = node.create_publisher(Image, 'image', profile)
        if settings.output != 'raw':
            self._compressed = node.create_publisher(
                CompressedImage, node.resolve_topic_name('image') + '/compressed', profile)
        self._infos = node.create_publisher(CameraInfo, 'camera_info', profile)
        self._images = [item for item in (self._raw, self._compressed) if item is not None]
        self.topics = ' and '.join(item.topic_name for item in self._images)
        """The topics of the images, as a log names them."""

    def subscribers(self) -> int:
        """Return how many subscriptions there are to the images, raw and compressed."""
        return sum(item.get_subscription_count() for item in self._images)

    def wait_until_received(self, seconds: float) -> None:
        """Wait until reliable subscribers have all images, at most so long for each topic."""
        for item in self._images:
            item.wait_for_all_acked(Duration(seconds=seconds))

    def publish(self, pixels: np.ndarray, order: str, header: Header) -> None:
        """
        Publish uint8 [height, width, 3] in the `order` 'rgb' or 'bgr'.

        It is compressed only while somebody subscribes to that. ConfigError where the calibration
        is for another size.
        """
        height, width = pixels.shape[:2]
        info = camera_info(self._calibration, width, height)
        info.header = header
        settings = self._settings
        if self._raw is not None:
            raw = pixels
            if not settings.encoding.startswith(order):
                raw = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
            self._raw.publish(image_to_message(raw, settings.encoding, header))
        if self._compressed is not None and self._compressed.get_subscription_count():
            kind = settings.compressed_format
            data = byte_array(compress(pixels, order, kind, settings.jpeg_quality))
            self._compressed.publish(CompressedImage(
                header=header, format=format_name(settings.encoding, kind), data=data))
        self._infos.publish(info)
