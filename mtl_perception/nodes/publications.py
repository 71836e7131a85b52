"""The topics of the perception node's results, and which of them are needed for a frame."""

from __future__ import annotations

from collections.abc import Callable, Collection

import cv2
import numpy as np
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, LabelInfo

from mtl_perception.compressed import compress, format_name
from mtl_perception.drawing import color_label_map, draw_overlay
from mtl_perception.inference.pipeline import ORIENTED
from mtl_perception.inference.results import Perception
from mtl_perception.nodes import qos
from mtl_perception.nodes.distributions import matched_callbacks, UnsupportedEventTypeError
from mtl_perception.nodes.message_memory import DetectionMemory, ImageMemory
from mtl_perception.nodes.messages import byte_array, label_info_message
from mtl_perception.nodes.perception_parameters import PerceptionParameters
from mtl_perception.spec import ModelSpec

_TASKS = {
    'detections': ('detection',),
    'segmentation': ('segmentation',),
    'segmentation_color': ('segmentation',),
    'segmentation_color/compressed': ('segmentation',),
    'overlay': ('detection', 'segmentation'),
    'overlay/compressed': ('detection', 'segmentation'),
}
"""Topics of results -> the tasks that they show."""


class Publications:
    """
    The publishers of one model's results for one camera.

    A task that the model does not have has no topics. A result is published while it has
    subscribers, also if nothing was detected; a frame's results have the header of its image.
    Frames are published by one thread.
    """

    def __init__(self, node: Node, spec: ModelSpec, on_subscriber: Callable[[], None],
                 camera: str = '') -> None:
        """
        Advertise the topics, ~/NAME, or ~/CAMERA/NAME where the camera has a name.

        `on_subscriber` is called, in the executor's thread, when a subscriber of results appears
        or disappears, if the middleware reports it: see `has_events`.
        """
        self._node = node
        self._spec = spec
        self._on_subscriber = on_subscriber
        self._folder = f'~/{camera}/' if camera else '~/'
        self._publishers: dict[str, Publisher] = {}
        self._images: dict[str, ImageMemory] = {}
        self._detections = DetectionMemory()
        self._wanted: frozenset[str] = frozenset()
        self.has_events = True
        """Whether `on_subscriber` is called at all; where not, ask `look` now and then."""
        if spec.detection is not None:
            self._advertise('detections', Detection2DArray)
            self._advertise('detections/label_info', LabelInfo)
        if spec.segmentation is not None:
            self._advertise('segmentation', Image, 'mono8')
            self._advertise('segmentation/label_info', LabelInfo)
            self._advertise('segmentation_color', Image, 'rgb8')
            self._advertise('segmentation_color/compressed', CompressedImage)
        self._advertise('overlay', Image, 'rgb8')
        self._advertise('overlay/compressed', CompressedImage)

    def topics(self) -> list[str]:
        """Return the resolved names of the topics."""
        return [publisher.topic_name for publisher in self._publishers.values()]

    @property
    def wanted(self) -> frozenset[str]:
        """
        The names of the results that have subscribers.

        They are counted, which takes 0.1 ms, only if they may have changed without an event.
        """
        return self._wanted if self.has_events and self._wanted else self.look()

    def look(self) -> frozenset[str]:
        """Count the subscribers of all results and return what is `wanted` now."""
        self._wanted = frozenset(
            name for name in _TASKS if name in self._publishers
            and self._publishers[name].get_subscription_count() > 0)
        return self._wanted

    def tasks(self, wanted: Collection[str], box_format: str) -> frozenset[str]:
        """Return the model's tasks that these results need; oriented boxes need both."""
        tasks = {task for name in wanted for task in _TASKS[name]}
        if box_format == ORIENTED and 'detection' in tasks and self._spec.pixel_classes:
            tasks.add('segmentation')
        return frozenset(tasks.intersection(self._spec.tasks))

    def publish_labels(self, score_threshold: float) -> None:
        """Publish the class names, latched for later subscribers."""
        stamp = self._node.get_clock().now().to_msg()
        for task, labels, threshold in (
                ('detections', self._spec.detection, score_threshold),
                ('segmentation', self._spec.segmentation, 0.0)):
            if labels is not None:
                self._publishers[f'{task}/label_info'].publish(
                    label_info_message(labels, threshold, stamp))

    def label_map(self, height: int, width: int) -> np.ndarray | None:
        """
        Return the memory, uint8 [height, width], from which the next label map is published.

        None where the model does not segment.
        """
        if self._spec.segmentation is None:
            return None
        return self._images['segmentation'].pixels(height, width)

    def publish(
            self, wanted: Collection[str], perception: Perception, pixels: np.ndarray, order: str,
            header: Header, settings: PerceptionParameters) -> None:
        """
        Publish those results of one frame that are `wanted` and available.

        `settings` determine the names of classes and the compression of images. The label map of
        `perception` is what `label_map` returned. `pixels` is the image, uint8 [height, width, 3]
        in `order` or [height, width]; it is used for the overlay only.
        """
        labels, names = self._spec.segmentation, self._spec.detection
        if 'detections' in wanted and names is not None and perception.detections is not None:
            class_ids = names.names if settings.class_id_format == 'name' else [
                str(index) for index in range(len(names))]
            self._publishers['detections'].publish(
                self._detections.message(perception.detections, class_ids, header))
        size = perception.height, perception.width
        if labels is not None and perception.label_map is not None:
            if 'segmentation' in wanted:
                self._publish_image('segmentation', header)
            if _shows(wanted, 'segmentation_color'):
                color_label_map(
                    perception.label_map, labels, self._images['segmentation_color'].pixels(*size))
                self._publish_shown('segmentation_color', wanted, size, header, settings)
        if _shows(wanted, 'overlay'):
            draw_overlay(_rgb(pixels, order), perception, self._spec,
                         out=self._images['overlay'].pixels(*size))
            self._publish_shown('overlay', wanted, size, header, settings)

    def destroy(self) -> None:
        """Withdraw the topics."""
        for publisher in self._publishers.values():
            self._node.destroy_publisher(publisher)
        self._publishers.clear()

    def _advertise(self, name: str, kind: type, encoding: str = '') -> None:
        if encoding:
            self._images[name] = ImageMemory(encoding)
        profile = qos.LATCHED if kind is LabelInfo else qos.RESULTS
        callbacks = None if kind is LabelInfo else matched_callbacks(self._on_matched)
        self.has_events &= kind is LabelInfo or callbacks is not None
        try:
            publisher: Publisher = self._node.create_publisher(
                kind, f'{self._folder}{name}', profile, event_callbacks=callbacks)
        except UnsupportedEventTypeError:  # not every middleware has events
            self.has_events = False
            publisher = self._node.create_publisher(kind, f'{self._folder}{name}', profile)
        self._publishers[name] = publisher

    def _on_matched(self) -> None:
        self.look()
        self._on_subscriber()

    def _publish_image(self, name: str, header: Header) -> None:
        self._publishers[name].publish(self._images[name].message(header))

    def _publish_shown(self, name: str, wanted: Collection[str], size: tuple[int, int],
                       header: Header, settings: PerceptionParameters) -> None:
        """Publish an image for people, raw, compressed or both."""
        if name in wanted:
            self._publish_image(name, header)
        if f'{name}/compressed' in wanted:
            kind = settings.compressed_format
            data = compress(self._images[name].pixels(*size), 'rgb', kind, settings.jpeg_quality)
            self._publishers[f'{name}/compressed'].publish(CompressedImage(
                header=header, format=format_name('rgb8', kind), data=byte_array(data)))


def _shows(wanted: Collection[str], name: str) -> bool:
    return name in wanted or f'{name}/compressed' in wanted


def _rgb(pixels: np.ndarray, order: str) -> np.ndarray:
    if pixels.ndim == 2:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB) if order == 'bgr' else pixels
