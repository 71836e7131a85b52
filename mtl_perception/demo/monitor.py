"""A ROS node that watches a flight: images, results, diagnostics and the graph."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
import contextlib
from importlib import import_module
import os
import time
from types import TracebackType
from typing import Any

import numpy as np

from mtl_perception.bags.results import ResultTopics
from mtl_perception.errors import MtlError, one_line

_RECENT = 30
"""Results over which rate and latency are taken."""


class Monitor:
    """
    Subscribes to camera info, detections or label maps, and diagnostics.

    Call `spin` often: messages are received only then. All of ROS is imported in here, after the
    environment is set.
    """

    def __init__(self, environment: Mapping[str, str], topics: ResultTopics, results: str) -> None:
        """
        Join the ROS graph of `environment`; it becomes that of this process.

        `results` is the topic whose messages count as results. Raises MtlError where ROS 2 does
        not start.
        """
        self._undo = contextlib.ExitStack()
        self._undo.callback(_restore, dict(os.environ))
        os.environ.update(environment)
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.qos import QoSProfile
        from rclpy.signals import SignalHandlerOptions

        self._context = rclpy.Context()
        try:
            rclpy.init(args=[], context=self._context,
                       signal_handler_options=SignalHandlerOptions.NO)
        except Exception as error:  # rclpy's own errors have no common class
            raise MtlError(f'ROS 2 does not start: {one_line(error)}') from None
        self._undo.callback(self._context.try_shutdown)
        self._node = rclpy.create_node(
            'demo_monitor', context=self._context, use_global_arguments=False,
            enable_rosout=False, start_parameter_services=False)
        self._undo.callback(self._node.destroy_node)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._undo.callback(self._executor.shutdown)
        self._executor.add_node(self._node)
        # All diagnostics of the nodes that start together, and every image of a fast video.
        self._subscribe(topics.camera_info, 'sensor_msgs', 'CameraInfo', self._on_camera_info,
                        QoSProfile(depth=100))
        kind = (('vision_msgs', 'Detection2DArray') if results == topics.detections
                else ('sensor_msgs', 'Image'))
        self._subscribe(results, *kind, self._on_result, QoSProfile(depth=5))
        self._subscribe(topics.diagnostics, 'diagnostic_msgs', 'DiagnosticArray',
                        self._on_diagnostics, QoSProfile(depth=100))
        self._results: deque[tuple[float, float]] = deque(maxlen=_RECENT)
        self._status: dict[str, dict[str, str]] = {}
        self.images = 0
        """Images whose camera info has come."""
        self.objects = 0
        """Detections so far."""

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._undo.close()

    def spin(self, seconds: float) -> None:
        """Receive messages for this long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(left)

    def is_subscribed(self, node: str, topics: list[str]) -> bool:
        """Return whether the node called `node` subscribes to all `topics`."""
        return all(any(info.node_name == node
                       for info in self._node.get_subscriptions_info_by_topic(topic))
                   for topic in topics)

    def status(self, name: str) -> dict[str, str]:
        """Return the latest values of the status `name`, as `NODE: TASK`; empty before it came."""
        return self._status.get(name, {})

    @property
    def latency(self) -> float:
        """Median age in seconds of the latest results when they came; 0 before the first."""
        return float(np.median([age for _, age in self._results])) if self._results else 0.0

    @property
    def rate(self) -> float:
        """Results per second, over the latest results; 0 before the second."""
        if len(self._results) < 2:
            return 0.0
        span = self._results[-1][0] - self._results[0][0]
        return (len(self._results) - 1) / span if span > 0 else 0.0

    def _subscribe(self, topic: str, package: str, kind: str, callback: Any, profile: Any) -> None:
        module = import_module(f'{package}.msg')
        self._node.create_subscription(getattr(module, kind), topic, callback, profile)

    def _on_camera_info(self, message: Any) -> None:
        self.images += 1

    def _on_result(self, message: Any) -> None:
        now = self._node.get_clock().now().nanoseconds
        stamp = message.header.stamp
        age = (now - stamp.sec * 10**9 - stamp.nanosec) / 1e9
        self._results.append((time.monotonic(), age))
        self.objects += len(getattr(message, 'detections', ()))

    def _on_diagnostics(self, message: Any) -> None:
        for status in message.status:
            self._status[status.name] = {item.key: item.value for item in status.values}


def _restore(environment: dict[str, str]) -> None:
    for name in set(os.environ) - set(environment):
        del os.environ[name]
    os.environ.update(environment)
