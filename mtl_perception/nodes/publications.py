"""What the perception node says about a frame: its topics, and which are worth computing."""

from __future__ import annotations

import cv2
import numpy as np
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, LabelInfo

from mtl_perception.drawing import color_label_map, draw_overlay
from mtl_perception.inference.results import Perception
from mtl_perception.nodes import qos
from mtl_perception.nodes.messages import (
    detections_to_message,
    image_to_message,
    label_info_message,
)
from mtl_perception.spec import ModelSpec


class Publications:
    """
    The publishers of one model's results.

    A task that the model does not have has no topics. Detections are always published, also when
    empty; images only while somebody subscribes to them.
    """

    def __init__(self, node: Node, spec: ModelSpec) -> None:
        self._node = node
        self._spec = spec
        self._publishers: dict[str, Publisher] = {}
        if spec.detection is not None:
            self._advertise('detections', Detection2DArray)
            self._advertise('detections/label_info', LabelInfo)
        if spec.segmentation is not None:
            self._advertise('segmentation', Image)
            self._advertise('segmentation/label_info', LabelInfo)
            self._advertise('segmentation_color', Image)
        self._advertise('overlay', Image)

    def topics(self) -> list[str]:
        """Return the resolved names of the topics."""
        return [publisher.topic_name for publisher in self._publishers.values()]

    def publish_labels(self, score_threshold: float) -> None:
        """Tell the class names, to those who come later as well."""
        stamp = self._node.get_clock().now().to_msg()
        for task, labels, threshold in (
                ('detections', self._spec.detection, score_threshold),
                ('segmentation', self._spec.segmentation, 0.0)):
            if labels is not None:
                self._publishers[f'{task}/label_info'].publish(
                    label_info_message(labels, threshold, stamp))

    def publish(
            self, perception: Perception, pixels: np.ndarray, order: str, header: Header,
            class_id_format: str) -> None:
        """
        Publish the results of one frame under the header of its image.

        `pixels` is the image, uint8 [height, width, 3] in `order` or [height, width]; it is
        looked at only where somebody wants the overlay.
        """
        if (labels := self._spec.detection) is not None:
            class_ids = labels.names if class_id_format == 'name' else [
                str(index) for index in range(len(labels))]
            self._publishers['detections'].publish(
                detections_to_message(perception.detections, class_ids, header))
        if perception.label_map is not None and self._spec.segmentation is not None:
            if self._wanted('segmentation'):
                self._image('segmentation', perception.label_map, 'mono8', header)
            if self._wanted('segmentation_color'):
                colors = color_label_map(perception.label_map, self._spec.segmentation)
                self._image('segmentation_color', colors, 'rgb8', header)
        if self._wanted('overlay'):
            overlay = draw_overlay(_rgb(pixels, order), perception, self._spec)
            self._image('overlay', overlay, 'rgb8', header)

    def destroy(self) -> None:
        """Withdraw the topics."""
        for publisher in self._publishers.values():
            self._node.destroy_publisher(publisher)
        self._publishers.clear()

    def _advertise(self, name: str, kind: type) -> None:
        profile = qos.LATCHED if kind is LabelInfo else qos.RESULTS
        self._publishers[name] = self._node.create_publisher(kind, f'~/{name}', profile)

    def _wanted(self, name: str) -> bool:
        return self._publishers[name].get_subscription_count() > 0

    def _image(self, name: str, image: np.ndarray, encoding: str, header: Header) -> None:
        self._publishers[name].publish(image_to_message(image, encoding, header))


def _rgb(pixels: np.ndarray, order: str) -> np.ndarray:
    if pixels.ndim == 2:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB) if order == 'bgr' else pixels
