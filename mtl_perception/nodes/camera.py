"""The camera node: images from files, devices, streams or a synthetic flight, as messages."""

from __future__ import annotations

from pathlib import Path
import threading
import time
import traceback

import cv2
import numpy as np
from rclpy.duration import Duration
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from mtl_perception.errors import DataError, MtlError
from mtl_perception.nodes import qos
from mtl_perception.nodes.camera_info import camera_info, load_calibration
from mtl_perception.nodes.camera_parameters import CameraParameters
from mtl_perception.nodes.messages import image_to_message
from mtl_perception.nodes.parameters import AcceptsSameValues, declare
from mtl_perception.nodes.process import Stop
from mtl_perception.nodes.sources import open_source

_SETTLE = 0.5
"""Seconds that a subscriber just found gets to find us, too."""

_REOPEN = 1.0
"""Seconds until a camera that went away is looked for again."""


class CameraNode(AcceptsSameValues):
    """
    Publishes `image` and `camera_info` at a set rate and says how many it published.

    Stamps are those of the moment of publication, for a live camera that of its arrival. At the
    end of what has an end the process ends, unless `loop` is set; a live camera that goes away is
    waited for.
    """

    def __init__(self, stop: Stop) -> None:
        """Open the source; ConfigError or DataError says why it cannot be."""
        super().__init__('camera_node')
        self._stop = stop
        self._settings = declare(self, CameraParameters)
        self._calibration = None
        if self._settings.calibration:
            self._calibration = load_calibration(Path(self._settings.calibration).expanduser())
        self._source = open_source(self._settings, self.get_logger().warning)
        self._rate = self._settings.rate or self._source.rate
        profile = qos.stream(self._settings.reliability, self._settings.queue_depth)
        self._images = self.create_publisher(Image, 'image', profile)
        self._infos = self.create_publisher(CameraInfo, 'camera_info', profile)
        self._published = 0
        self._size = ''
        self._begin = 0.0
        self._end = 0.0
        self._thread = threading.Thread(target=self._run, name='camera', daemon=True)

    def start(self) -> None:
        """Begin to publish."""
        self._thread.start()

    def close(self) -> None:
        """Stop publishing and say how many images were published."""
        self._stop()
        # A stream that gives nothing may hold its thread for longer than the end may take.
        self._thread.join(timeout=0.5)
        seconds = self._end - self._begin
        rate = f' ({(self._published - 1) / seconds:.1f} Hz)' if self._published > 1 else ''
        self.get_logger().info(
            f'published {self._published} images {self._size} in {seconds:.1f} s{rate}')

    def _run(self) -> None:
        try:
            if self._subscribed():
                self._publish_all()
            self._images.wait_for_all_acked(Duration(seconds=1))
            # What is best effort, or on its way through a socket, gets a moment as well.
            self._stop.wait(0.2)
            self._stop()
        except MtlError as error:
            self._stop(error)
        except Exception as error:
            self.get_logger().error(traceback.format_exc())
            self._stop(MtlError(f'the camera node failed: {type(error).__name__}: {error}'))

    def _subscribed(self) -> bool:
        """Wait until there are subscribers enough; return False where the end comes first."""
        wanted = self._settings.wait_for_subscribers
        if wanted and self._images.get_subscription_count() < wanted:
            self.get_logger().info(
                f'waiting for {wanted} subscriber(s) of {self._images.topic_name}')
            while self._images.get_subscription_count() < wanted:
                if self._stop.wait(0.02):
                    return False
        return not (wanted and self._stop.wait(_SETTLE))

    def _publish_all(self) -> None:
        source = self._source
        self.get_logger().info(
            f'{source.name} -> {self._images.topic_name} ({self._settings.encoding}, '
            f'{self._settings.reliability}) at {self._rate:g} Hz')
        self._begin = self._end = time.monotonic()
        due = self._begin
        while True:
            try:
                for image in source.images():
                    now = time.monotonic()
                    if source.live:
                        if self._settings.rate and now < due:
                            continue
                    elif self._stop.wait(max(0.0, due - now)):
                        return
                    if self._stop.asked():
                        return
                    self._publish(image)
                    # After a delay go on from here instead of hurrying to make up for it.
                    due = max(due, now - 1 / self._rate) + 1 / self._rate
            except DataError as error:  # not a calibration for another size: that stays so
                if not source.live:
                    raise
                self.get_logger().warning(str(error), throttle_duration_sec=10.0)
            if source.live:
                self.get_logger().warning(
                    f'{source.name} gives no images; trying again', throttle_duration_sec=10.0)
                if self._stop.wait(_REOPEN):
                    return
            elif not self._settings.loop:
                return

    def _publish(self, image: np.ndarray) -> None:
        header = Header(
            stamp=self.get_clock().now().to_msg(), frame_id=self._settings.frame_id)
        height, width = image.shape[:2]
        info = camera_info(self._calibration, width, height)
        info.header = header
        if not self._settings.encoding.startswith(self._source.order):
            image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        self._images.publish(image_to_message(image, self._settings.encoding, header))
        self._infos.publish(info)
        self._published += 1
        self._size = f'of {width}x{height}'
        self._end = time.monotonic()
