"""The camera node: images from files, devices, streams or a synthetic flight, as messages."""

from __future__ import annotations

from collections import deque
import threading
import time
import traceback

from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
from rclpy.clock import Clock, ClockType, ROSClock
from rclpy.duration import Duration
from std_msgs.msg import Header

from mtl_perception.errors import MtlError
from mtl_perception.files import expanded
from mtl_perception.nodes.camera_diagnostics import camera_diagnostics, CameraReport
from mtl_perception.nodes.camera_info import load_calibration
from mtl_perception.nodes.camera_output import CameraOutput
from mtl_perception.nodes.camera_parameters import CameraParameters
from mtl_perception.nodes.capture import LiveFrame, LiveSource, STREAMING
from mtl_perception.nodes.diagnostics import present
from mtl_perception.nodes.parameters import AcceptsSameValues, declare
from mtl_perception.nodes.process import Stop
from mtl_perception.nodes.sources import open_source, Source

_SETTLE = 0.5
"""Seconds that a subscriber just found gets to find us, too."""

_TICK = 1.0
"""Seconds between two diagnostics."""

_RATE_SPAN = 5.0
"""Seconds over which the rate in diagnostics is averaged."""

_WAITING, _PUBLISHING, _ENDED = 'waiting for subscribers', 'publishing', 'ended'
"""Activity of the node; while it publishes, a live source has further states."""

CAPTURE_TIME, ARRIVAL, PUBLICATION = 'capture time', 'arrival', 'publication'
"""Origins of stamps."""


class CameraNode(AcceptsSameValues):
    """
    Publishes `image`, `image/compressed` and `camera_info`, and logs their number at the end.

    Stamps are those of the moment of publication, for a live source of the capture where its
    driver provides it, else of the arrival. At the end of a finite source the process ends, unless
    `loop` is set; a live source that is not there, or goes away, is waited for.
    """

    def __init__(self, stop: Stop) -> None:
        """Open the source; ConfigError or DataError where that fails."""
        super().__init__('camera_node')
        self._stop = stop
        self._settings = declare(self, CameraParameters)
        calibration = None
        if self._settings.calibration:
            calibration = load_calibration(expanded(self._settings.calibration))
        self._source = open_source(self._settings, self._warn, self._inform)
        self._output = CameraOutput(self, self._settings, calibration)
        self._activity = _WAITING
        self._published = 0
        self._times: deque[float] = deque(maxlen=10000)
        self._size = ''
        self._stamps = ''
        self._begin = 0.0
        self._end = 0.0
        self._thread = threading.Thread(target=self._run, name='camera', daemon=True)
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        # Also while /clock does not advance.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._diagnostics_timer = self.create_timer(_TICK, self._publish_diagnostics, clock=steady)

    def start(self) -> None:
        """Begin to publish."""
        self._thread.start()

    def close(self) -> None:
        """Stop publishing and log the number of published images."""
        self._stop()
        if isinstance(self._source, LiveSource):
            self._source.close()
        # Work on one image may take longer than the shutdown may.
        self._thread.join(timeout=0.5)
        rate = f' ({self._mean_rate():.1f} Hz)' if self._published > 1 else ''
        size = f'of {self._size} ' if self._size else ''
        self.get_logger().info(f'published {self._published} images {size}in '
                               f'{self._end - self._begin:.1f} s{rate}')

    # rclpy rejects one line of code that logs at two severities.
    def _warn(self, text: str) -> None:
        self.get_logger().warning(text)

    def _inform(self, text: str) -> None:
        self.get_logger().info(text)

    def _run(self) -> None:
        try:
            if self._subscribed():
                self._publish_all()
            self._activity = _ENDED
            # The total is known now, and the timer may not fire again.
            self._publish_diagnostics()
            self._output.wait_until_received(1.0)
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
        if wanted and self._output.subscribers() < wanted:
            self.get_logger().info(f'waiting for {wanted} subscriber(s) of {self._output.topics}')
            while self._output.subscribers() < wanted:
                if self._stop.wait(0.02):
                    return False
        return not (wanted and self._stop.wait(_SETTLE))

    def _publish_all(self) -> None:
        source, settings = self._source, self._settings
        rate = settings.rate or source.rate
        self.get_logger().info(
            f'{source.name} -> {self._output.topics} ({settings.encoding}, '
            f'{settings.reliability})' + (f' at {rate:g} Hz' if rate else ''))
        self._activity = _PUBLISHING
        self._begin = self._end = time.monotonic()
        if isinstance(source, LiveSource):
            self._publish_live(source)
        else:
            self._publish_stored(source, rate)

    def _publish_stored(self, source: Source, rate: float) -> None:
        due = self._begin
        while True:
            for pixels in source.images():
                now = time.monotonic()
                if self._stop.wait(max(0.0, due - now)):
                    return
                self._publish(pixels, None)
                # After a delay, keep the rate instead of catching up.
                due = max(due, now - 1 / rate) + 1 / rate
            if not self._settings.loop:
                return

    def _publish_live(self, source: LiveSource) -> None:
        rate = self._settings.rate
        due = self._begin
        for frame in source.frames():
            if self._stop.asked():
                return
            now = time.monotonic()
            if rate:
                if now < due:
                    continue
                due = max(due, now - 1 / rate) + 1 / rate
            self._publish(frame.pixels, frame)

    def _publish(self, pixels: np.ndarray, frame: LiveFrame | None) -> None:
        header = Header(frame_id=self._settings.frame_id)
        clock = self.get_clock()
        stamp, self._stamps = clock.now(), PUBLICATION
        # The time of /clock may run at another pace than the monotonic clock.
        is_simulated = isinstance(clock, ROSClock) and clock.ros_time_is_active
        if frame is not None and not is_simulated:
            moment, self._stamps = frame.arrived, ARRIVAL
            if frame.captured is not None and self._settings.stamp == 'auto':
                moment, self._stamps = frame.captured, CAPTURE_TIME
            stamp -= Duration(nanoseconds=round((time.monotonic() - moment) * 1e9))
        header.stamp = stamp.to_msg()
        self._output.publish(pixels, self._source.order, header)
        self._published += 1
        self._size = f'{pixels.shape[1]}x{pixels.shape[0]}'
        self._end = time.monotonic()
        self._times.append(self._end)

    def _mean_rate(self) -> float:
        seconds = self._end - self._begin
        return (self._published - 1) / seconds if self._published > 1 and seconds > 0 else 0.0

    def _publish_diagnostics(self) -> None:
        now = time.monotonic()
        state, trouble, breaks, reconnects = self._activity, '', 0, 0
        if isinstance(self._source, LiveSource) and state == _PUBLISHING:
            live = self._source.state
            state, breaks, reconnects = live.state, live.breaks, live.reconnects
            if state != STREAMING:
                trouble = live.reason or 'has not come yet'
        recent = [moment for moment in list(self._times) if now - moment < _RATE_SPAN]
        span = min(_RATE_SPAN, now - self._begin)
        self._diagnostics.publish(camera_diagnostics(CameraReport(
            name=self.get_fully_qualified_name(), source=self._source.name, state=state,
            trouble=trouble, published=self._published,
            rate=len(recent) / span if recent and span > 0 else 0.0,
            mean_rate=self._mean_rate(),
            breaks=breaks, reconnects=reconnects,
            silence=now - self._end if self._published else None,
            size=self._size, stamps=self._stamps), present(self)))
