"""One camera of the perception node: its images in, its results out, its statistics."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
import time
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from std_msgs.msg import Header

from mtl_perception.encodings import FrameError
from mtl_perception.inference.pipeline import Request
from mtl_perception.inference.results import Perception
from mtl_perception.nodes.diagnostics import CameraState
from mtl_perception.nodes.frame_statistics import FrameStatistics, StageTimes
from mtl_perception.nodes.image_input import ImageInput
from mtl_perception.nodes.input_health import InputHealth
from mtl_perception.nodes.perception_parameters import PerceptionParameters
from mtl_perception.nodes.publications import Publications
from mtl_perception.nodes.received_image import (
    check_received,
    decode_received,
    received_image,
    ReceivedImage,
)
from mtl_perception.nodes.task_rates import TaskRates
from mtl_perception.spec import ModelSpec
from mtl_perception.stretch import SmoothStretch

_WARN_EVERY = 5.0
"""Seconds between two warnings of the same kind."""

_TICK = 1.0
"""Seconds between two diagnostics."""

_LOOK_FOR_SUBSCRIBERS = 0.1
"""Seconds between two polls for subscribers where the middleware does not report them."""

_TRUSTED = 5
"""Images in a row that may be broken before the camera's next ones are no longer all decoded."""

_HOLD_OFF = 0.05
"""Seconds until another image is decoded of a camera whose images are broken."""

HELD_OFF = 'after broken ones'
"""Cause under which the images between are counted."""

_FLOOD = 50
"""Broken images within a second, none of them good, that make a camera rest."""

_REST = 1.0
"""Seconds without reception after a flood of broken images, whose reception alone is costly."""


@dataclass(frozen=True)
class Frame:
    """The received image."""

    image: ReceivedImage
    header: Header
    arrival: float
    """`time.perf_counter()` in the callback."""
    age: float | None
    """Seconds from the header's stamp to the callback; None where the stamp is unusable."""
    wanted: frozenset[str]
    """Names of the results that had subscribers in the callback."""


@dataclass(frozen=True, eq=False)
class Job:
    """A frame that is to be processed, decoded."""

    frame: Frame
    request: Request
    settings: PerceptionParameters
    begin: float
    """`time.perf_counter()` when work on it began."""


class CameraChannel:
    """
    Receives the images of a camera, selects those to process, and publishes their results.

    `advertise` and `withdraw`, `open` and `close` are called in pairs, the latter two in between.
    `prepare` and `finish` belong to the worker's thread, all else to the executor's. Whatever
    happens here is of no concern to another camera.
    """

    def __init__(self, node: Node, name: str, settings: Callable[[], PerceptionParameters],
                 put: Callable[[CameraChannel, Frame], bool]) -> None:
        """
        Make ready for the camera `name`, which is empty for the only one: its broken images are
        nobody else's loss, so each of them is decoded.

        `settings` gives its parameters of the moment; `put` hands a frame to the worker and
        returns whether an older one was dropped for it.
        """
        self.name = name
        self.statistics = FrameStatistics()
        self._node = node
        self._settings = settings
        self._put = put
        self._topic = f'{name}/image' if name else 'image'
        self._publications: Publications | None = None
        self._input: ImageInput | None = None
        self._health = InputHealth(node, self._topic)
        self._rates = TaskRates()
        self._stretch = SmoothStretch()
        self._activated = self._wanted_at = 0.0
        self._was_idle = False
        self._subscriber_timer: Any = None
        self._bad_frame = ''
        self._warned = 0.0
        self._broken = 0
        self._held_off_until = 0.0
        self._flood: deque[float] = deque(maxlen=_FLOOD)
        self._rests_until = 0.0

    def advertise(self, spec: ModelSpec) -> str:
        """Advertise the results of a model; return the topics in one line, for a log."""
        settings = self._settings()
        self._publications = Publications(
            self._node, spec, self.follow_subscribers, self.name)
        self._publications.publish_labels(settings.score_threshold)
        return (f'{self._node.resolve_topic_name(self._topic)} ({settings.image_transport}, '
                f'{settings.reliability}, depth {settings.queue_depth}) -> '
                + ', '.join(self._publications.topics()))

    def withdraw(self) -> None:
        """Remove the publishers of results."""
        if self._publications is not None:
            self._publications.destroy()
        self._publications = None

    def publish_labels(self) -> None:
        """Publish the class names and the current threshold, where results are advertised."""
        if self._publications is not None:
            self._publications.publish_labels(self._settings().score_threshold)

    def open(self) -> None:
        """Begin to receive images."""
        settings = self._settings()
        self._activated = self._wanted_at = time.monotonic()
        self._health = InputHealth(self._node, self._topic)
        self._rates = TaskRates()
        self._stretch = SmoothStretch()
        self._broken, self._held_off_until, self._rests_until = 0, 0.0, 0.0
        self._flood.clear()
        self._input = ImageInput(
            self._node, self._topic, settings.image_transport, settings.reliability,
            settings.queue_depth, self._on_image)

    def close(self) -> None:
        """Receive no more."""
        self._stop_subscriber_timer()
        if self._input is not None:
            self._input.close()
            self._input = None

    # The executor's thread.

    def _on_image(self, message: Any) -> None:
        arrival = time.perf_counter()
        publications = self._publications
        if self._input is None or publications is None:
            return
        self.statistics.receive()
        # By hand: rclpy's Time raises for the negative seconds that a broken driver may send.
        age = self._health.age(
            message.header.stamp.sec * 10**9 + message.header.stamp.nanosec)
        image = received_image(message)
        try:
            # Here, so that a bad frame does not push out a good one that waits.
            check_received(image)
        except FrameError as error:
            self._drop(error)
            self._rest_from_flood(arrival)
            return
        wanted = publications.wanted
        if not wanted:
            self._was_idle = True
            self.statistics.drop('idle')
            return
        if arrival < self._held_off_until:
            self.statistics.drop(HELD_OFF)
            self._rest_from_flood(arrival)
            return
        if self._put(self, Frame(image, message.header, arrival, age, wanted)):
            self.statistics.drop('newer image')

    def _rest_from_flood(self, now: float) -> None:
        """Pause reception while broken images arrive at a rate that slows other cameras."""
        self._flood.append(now)
        if not self.name or len(self._flood) < _FLOOD or now - self._flood[0] > 1.0:
            return
        self._flood.clear()
        self._rests_until = now + _REST
        self._bad_frame = f'so many that none are received for {_REST:g} s; {self._bad_frame}'
        images, executor = self._input, self._node.executor
        if images is not None and executor is not None:
            # Not from here: the subscription that this is called by would be destroyed.
            executor.create_task(images.pause)

    def follow_subscribers(self) -> None:
        """
        Unsubscribe from images after some time without subscribers; subscribe again immediately.

        Where no images come, the subscription costs nothing and stays, for the sake of the
        diagnostics.
        """
        images, publications = self._input, self._publications
        if images is None or publications is None or time.perf_counter() < self._rests_until:
            return
        now = time.monotonic()
        wanted = publications.look()
        if wanted:
            self._wanted_at = now
        if images.is_paused:
            if wanted or not images.publishers():
                self._stop_subscriber_timer()
                self._health.interrupt()
                self._activated = now
                images.resume()
        elif (now - self._wanted_at >= self._settings().idle_timeout
                and self.statistics.silence() < _TICK):
            self._was_idle = True
            images.pause()
            if not publications.has_events:
                self._subscriber_timer = self._node.create_timer(
                    _LOOK_FOR_SUBSCRIBERS, self.follow_subscribers,
                    clock=Clock(clock_type=ClockType.STEADY_TIME))

    def look(self) -> CameraState:
        """Follow publishers and subscribers, log what is wrong; to be called once a second."""
        self.follow_subscribers()
        summary = self.statistics.summary()
        silence = None
        if self._input is not None and not self._input.is_paused:
            self._input.follow()
            silence = time.monotonic() - self._activated
            if summary.silence is not None:
                silence = min(silence, summary.silence)
            if silence < self._settings().image_timeout:
                silence = None
        report = self._health.look(self._input, silence)
        for trouble in report.news:
            self._node.get_logger().warning(self._called(trouble))
        bad_frame, self._bad_frame = self._bad_frame, ''
        return CameraState(
            self.name, self._publications is not None and not self._publications.wanted, report,
            bad_frame, summary)

    def _stop_subscriber_timer(self) -> None:
        if self._subscriber_timer is not None:
            self._node.destroy_timer(self._subscriber_timer)
            self._subscriber_timer = None

    # The worker's thread.

    def prepare(self, frame: Frame) -> Job | None:
        """Decode a frame and return the request for it; None where there is nothing to do."""
        begin = time.perf_counter()
        publications, settings = self._publications, self._settings()
        if publications is None:
            return None
        if self._was_idle:
            # A result with a new subscriber is due immediately.
            self._was_idle, self._rates = False, TaskRates()
        tasks = self._rates.due(
            publications.tasks(frame.wanted, settings.box_format), settings.rates(),
            frame.arrival)
        if not tasks:
            self.statistics.drop('rate limit')
            return None
        try:
            stamp = frame.header.stamp
            pixels, order = decode_received(frame.image, partial(
                self._stretch.frame, stamp=stamp.sec * 10**9 + stamp.nanosec,
                black_hot=settings.black_hot))
        except FrameError as error:
            self._broken += 1
            if self.name and self._broken > _TRUSTED:
                # Decoding takes milliseconds that other cameras need.
                self._held_off_until = time.perf_counter() + _HOLD_OFF
            self._drop(error)
            return None
        self._broken = 0
        self._flood.clear()
        return Job(frame, Request(pixels, order, tasks, settings.options(),
                                  publications.label_map(*pixels.shape[:2])), settings, begin)

    def finish(self, job: Job, perception: Perception, done: float) -> None:
        """Publish the results of a frame, of whose batch the last was `done` at that moment."""
        if self._publications is None:
            return
        frame, timings = job.frame, perception.timings
        self._publications.publish(
            frame.wanted, perception, job.request.image, job.request.order, frame.header,
            job.settings)
        self.statistics.process(StageTimes(
            age=frame.age, wait=job.begin - frame.arrival,
            preprocess=done - job.begin - timings.run - timings.postprocess, run=timings.run,
            postprocess=timings.postprocess, publish=time.perf_counter() - done))

    # Either thread.

    def _drop(self, error: FrameError) -> None:
        self.statistics.drop(error.cause)
        self._bad_frame = str(error)
        now = time.monotonic()
        # Not by rclpy's own throttle, which looks up its caller in the source at each call.
        if now - self._warned >= _WARN_EVERY:
            self._warned = now
            self._node.get_logger().warning(self._called(f'bad frame dropped: {error}'))

    def _called(self, text: str) -> str:
        return f'{self.name}: {text}' if self.name else text
