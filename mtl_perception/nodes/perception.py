"""The perception node: images in, detections and label maps out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import threading
import time
import traceback
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from mtl_perception.encodings import check_image, decode_image, FrameError, RawImage
from mtl_perception.errors import MtlError
from mtl_perception.inference.pipeline import Pipeline
from mtl_perception.memory import give_back_freed_memory
from mtl_perception.nodes.diagnostics import diagnostics_message, NodeState
from mtl_perception.nodes.frame_statistics import FrameStatistics, StageTimes
from mtl_perception.nodes.image_input import ImageInput
from mtl_perception.nodes.input_health import InputHealth
from mtl_perception.nodes.messages import raw_image
from mtl_perception.nodes.newest_frame import NewestFrame
from mtl_perception.nodes.parameters import AcceptsSameValues, changed, declare
from mtl_perception.nodes.perception_parameters import PerceptionParameters
from mtl_perception.nodes.publications import Publications
from mtl_perception.nodes.task_rates import TaskRates
from mtl_perception.nodes.transitions import refuse_impossible_transitions
from mtl_perception.resources import model_path

_WARN_EVERY = 5.0
"""Seconds between two warnings of the same kind."""

_TICK = 1.0
"""Seconds between two diagnostics."""

_HAND_OVER = 0.001
"""Seconds for which the executor leaves Python to the worker, which needs less to begin a run."""

_LOOK_FOR_SUBSCRIBERS = 0.1
"""Seconds between two looks for a subscriber where the middleware does not tell of one."""


@dataclass(frozen=True)
class Frame:
    """An image as it came in."""

    image: RawImage
    header: Header
    arrival: float
    """`time.perf_counter()` in the callback."""
    age: float | None
    """Seconds from the header's stamp to the callback; None where the stamp does not tell."""
    wanted: frozenset[str]
    """Names of the results that somebody subscribed to in the callback."""


class PerceptionNode(AcceptsSameValues, LifecycleNode):
    """
    A lifecycle node that looks at the newest image, publishes what it sees, and then the next.

    Configuring loads and warms up the model and advertises the results; activating subscribes;
    deactivating stops the work and drops what waits; cleaning up frees the model. Unless
    `autostart` is false it takes the first two steps by itself, and ends the process where they
    fail. The executor's thread only receives; one worker thread runs the pipeline, so that
    parameters, transitions and diagnostics never wait for the network.

    Only those tasks are done whose results have a subscriber. While no result has one, the node is
    idle: images are counted and dropped, and after a while no longer received.
    """

    def __init__(self) -> None:
        """Declare parameters and diagnostics; ConfigError names an impossible parameter."""
        super().__init__('perception_node')
        refuse_impossible_transitions(self)
        self._settings = declare(self, PerceptionParameters)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._statistics = FrameStatistics()
        self._pipeline: Pipeline | None = None
        self._model = ''
        self._failure = ''
        self._publications: Publications | None = None
        self._input: ImageInput | None = None
        self._health = InputHealth(self)
        self._finalized = False
        self._slot: NewestFrame[Frame] | None = None
        self._worker: threading.Thread | None = None
        self._activated = 0.0
        self._wanted_at = 0.0
        self._was_idle = False
        self._subscriber_timer: Any = None
        self._bad_frame = ''
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        # They go on where ROS time stands still.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._diagnostics_timer = self.create_timer(_TICK, self._tell_state, clock=steady)

    def start(self) -> None:
        """Configure and activate, if the node is to do so by itself; MtlError where it cannot."""
        if not self._settings.autostart:
            self.get_logger().info('unconfigured: waiting for lifecycle transitions')
            return
        for transition in (self.trigger_configure, self.trigger_activate):
            if transition() != TransitionCallbackReturn.SUCCESS:
                raise MtlError(self._failure)

    def close(self) -> None:
        """Stop the work; what is under way is not waited for beyond its frame."""
        self._end_work()

    # Lifecycle. rclpy takes an exception in these for a failure and says nothing about it.

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        if self._succeeds(self._configure):
            return super().on_configure(state)
        self._free()
        return TransitionCallbackReturn.FAILURE

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        if self._succeeds(self._begin_work):
            return super().on_activate(state)
        self._end_work()
        return TransitionCallbackReturn.FAILURE

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._end_work()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._free()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._end_work()
        self._free()
        self._finalized = True
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._end_work()
        self._free()
        return super().on_error(state)

    def _succeeds(self, step: Callable[[], None]) -> bool:
        """Take a step; return whether it succeeded and keep the reason where it did not."""
        try:
            step()
        except MtlError as error:
            self._failure = str(error)
        except Exception as error:
            self.get_logger().error(traceback.format_exc())
            self._failure = f'{type(error).__name__}: {error}'
        else:
            self._failure = ''
            return True
        if not self._settings.autostart:
            self.get_logger().error(self._failure)
        return False

    def _configure(self) -> None:
        parameters = self._settings
        model = parameters.model or str(model_path())
        log = self.get_logger().info
        pipeline = Pipeline(model, parameters.options(), parameters.runtime_options(), log)
        width, height = pipeline.spec.input_size
        # Before the first run as well, so that the two do not add up.
        give_back_freed_memory()
        pipeline.warm_up()
        give_back_freed_memory()
        self._pipeline, self._model = pipeline, model
        self._publications = Publications(self, pipeline.spec, self._follow_subscribers)
        self._publications.publish_labels(parameters.score_threshold)
        spec = pipeline.spec
        log(f'model {model}: {spec.architecture} {spec.backbone}, input {width}x{height}')
        log('; '.join(
            f'{task} of {", ".join(getattr(spec, task).names)}' for task in spec.tasks))
        log(f'{self.resolve_topic_name("image")} ({parameters.reliability}, depth '
            f'{parameters.queue_depth}) -> ' + ', '.join(self._publications.topics()))

    def _free(self) -> None:
        if self._publications is not None:
            self._publications.destroy()
        self._publications = self._pipeline = None

    def _begin_work(self) -> None:
        self._slot = NewestFrame()
        self._worker = threading.Thread(
            target=self._work, args=(self._slot, self._pipeline, self._publications),
            name='perception', daemon=True)
        self._worker.start()
        self._activated = self._wanted_at = time.monotonic()
        self._health = InputHealth(self)
        self._input = ImageInput(
            self, self._settings.reliability, self._settings.queue_depth, self._on_image)

    def _end_work(self) -> None:
        self._stop_subscriber_timer()
        if self._input is not None:
            self._input.close()
            self._input = None
        if self._slot is not None and self._worker is not None:
            if self._slot.close():
                self._statistics.drop('deactivated')
            self._worker.join()
        self._slot = self._worker = None

    # The executor's thread.

    def _on_image(self, message: Image) -> None:
        arrival = time.perf_counter()
        slot, publications = self._slot, self._publications
        if slot is None or publications is None:
            return
        self._statistics.receive()
        # By hand: rclpy's Time raises for the negative seconds that a broken driver may send.
        age = self._health.age(
            message.header.stamp.sec * 10**9 + message.header.stamp.nanosec)
        image = raw_image(message)
        try:
            # Here, so that a bad frame does not push out a good one that waits.
            check_image(image)
        except FrameError as error:
            self._drop_bad_frame(error)
            return
        wanted = publications.wanted
        if not wanted:
            self._was_idle = True
            self._statistics.drop('idle')
            return
        if slot.put(Frame(image, message.header, arrival, age, wanted)):
            self._statistics.drop('newer image')
        # Have the worker begin now, and the executor make ready for the next image meanwhile,
        # which takes it half a millisecond of Python.
        time.sleep(_HAND_OVER)

    def _on_set_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        try:
            self._settings = changed(
                self._settings, changes, unconfigured=self._pipeline is None)
        except MtlError as error:
            return SetParametersResult(successful=False, reason=str(error))
        if self._publications is not None:
            self._publications.publish_labels(self._settings.score_threshold)
        return SetParametersResult(successful=True)

    def _follow_subscribers(self) -> None:
        """
        Stop receiving images that nobody has wanted for a while, and begin again at once.

        Where no images come, the subscription costs nothing and stays, for the sake of the
        diagnostics.
        """
        images, publications = self._input, self._publications
        if images is None or publications is None:
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
        elif (now - self._wanted_at >= self._settings.idle_timeout
                and self._statistics.silence() < _TICK):
            self._was_idle = True
            images.pause()
            if not publications.tells:
                self._subscriber_timer = self.create_timer(
                    _LOOK_FOR_SUBSCRIBERS, self._follow_subscribers,
                    clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _stop_subscriber_timer(self) -> None:
        if self._subscriber_timer is not None:
            self.destroy_timer(self._subscriber_timer)
            self._subscriber_timer = None

    def _tell_state(self) -> None:
        self._follow_subscribers()
        summary = self._statistics.summary()
        silence = None
        if self._input is not None and not self._input.is_paused:
            self._input.follow()
            silence = time.monotonic() - self._activated
            if summary.silence is not None:
                silence = min(silence, summary.silence)
            if silence < self._settings.image_timeout:
                silence = None
        report = self._health.look(self._input, silence)
        for trouble in report.news:
            self.get_logger().warning(trouble)
        runtime = ''
        if self._pipeline is not None:
            about = self._pipeline.runtime
            runtime = f'{about.name} on {about.device}, {about.precision}'
        bad_frame, self._bad_frame = self._bad_frame, ''
        now = self.get_clock().now().to_msg()
        if now == Time():  # ROS time that does not run; the message is of this moment all the same
            now = Clock(clock_type=ClockType.SYSTEM_TIME).now().to_msg()
        self._diagnostics.publish(diagnostics_message(NodeState(
            name=self.get_fully_qualified_name(), lifecycle=self._lifecycle(),
            failure=self._failure, model=self._model, runtime=runtime,
            is_idle=self._publications is not None and not self._publications.wanted,
            input=report, bad_frame=bad_frame), summary, now))

    def _lifecycle(self) -> str:
        if self._finalized:
            return 'finalized'
        if self._input is not None:
            return 'active'
        return 'unconfigured' if self._pipeline is None else 'inactive'

    # The worker's thread.

    def _work(
            self, slot: NewestFrame[Frame], pipeline: Pipeline, publications: Publications,
            ) -> None:
        rates = TaskRates()
        while (frame := slot.take()) is not None:
            if self._was_idle:
                # What somebody begins to want is due at once.
                self._was_idle, rates = False, TaskRates()
            try:
                self._process(frame, pipeline, publications, rates)
            except FrameError as error:
                self._drop_bad_frame(error)
            except MtlError as error:
                self._statistics.drop('error')
                self.get_logger().error(
                    f'frame not processed: {error}', throttle_duration_sec=_WARN_EVERY)
            except Exception:
                # A defect of ours; a node that goes on with the next frame is of more use in
                # the air than one that has stopped.
                self._statistics.drop('error')
                self.get_logger().error(
                    f'frame not processed:\n{traceback.format_exc()}',
                    throttle_duration_sec=_WARN_EVERY)

    def _process(
            self, frame: Frame, pipeline: Pipeline, publications: Publications,
            rates: TaskRates) -> None:
        parameters = self._settings
        begin = time.perf_counter()
        tasks = rates.due(publications.tasks(frame.wanted), parameters.rates(), frame.arrival)
        if not tasks:
            self._statistics.drop('rate limit')
            return
        pixels, order = decode_image(frame.image)
        pipeline.options = parameters.options()
        perception = pipeline.run(
            pixels, order, tasks, publications.label_map(*pixels.shape[:2]))
        done = time.perf_counter()
        publications.publish(
            frame.wanted, perception, pixels, order, frame.header, parameters.class_id_format)
        timings = perception.timings
        self._statistics.process(StageTimes(
            age=frame.age, wait=begin - frame.arrival,
            preprocess=done - begin - timings.run - timings.postprocess, run=timings.run,
            postprocess=timings.postprocess, publish=time.perf_counter() - done))

    def _drop_bad_frame(self, error: FrameError) -> None:
        self._statistics.drop('bad frame')
        self._bad_frame = str(error)
        self.get_logger().warning(
            f'bad frame dropped: {error}', throttle_duration_sec=_WARN_EVERY)
