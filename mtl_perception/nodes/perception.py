"""The perception node: images in, detections and label maps out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
import threading
import time
import traceback

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from mtl_perception.errors import MtlError
from mtl_perception.inference.orientation import check_oriented
from mtl_perception.inference.pipeline import ORIENTED, Pipeline
from mtl_perception.inference.runtime import MAX_BATCH
from mtl_perception.memory import give_back_freed_memory
from mtl_perception.nodes.camera_channel import CameraChannel, Frame, Job
from mtl_perception.nodes.camera_settings import (
    CameraSettings,
    changed_settings,
    declare_settings,
)
from mtl_perception.nodes.diagnostics import diagnostics_message, NodeState, present
from mtl_perception.nodes.newest_frames import NewestFrames
from mtl_perception.nodes.parameters import AcceptsSameValues
from mtl_perception.nodes.transitions import reject_invalid_transitions
from mtl_perception.resources import model_path

_WARN_EVERY = 5.0
"""Seconds between two warnings of the same kind."""

_TICK = 1.0
"""Seconds between two diagnostics."""

_HAND_OVER = 0.001
"""Seconds for which the executor leaves Python to the worker, which needs less to begin a run."""


class PerceptionNode(AcceptsSameValues, LifecycleNode):
    """
    A lifecycle node that processes the newest image of each camera and publishes its results.

    Configuring loads and warms up the model and advertises the results; activating subscribes;
    deactivating stops the work and drops what waits; cleaning up frees the model. Unless
    `autostart` is false it configures and activates itself, and ends the process if these steps
    fail. The executor's thread only receives; one worker thread runs the pipeline, so that
    parameters, transitions and diagnostics never wait for the network.

    Of several cameras, the newest images go through one network together, as far as that gains
    time, and in turn otherwise. Only those tasks are done whose results have a subscriber. While
    no result of a camera has one, its images are counted and dropped, and after a while no longer
    received.
    """

    def __init__(self) -> None:
        """Declare parameters and diagnostics; ConfigError names an impossible parameter."""
        super().__init__('perception_node')
        reject_invalid_transitions(self)
        self._settings = declare_settings(self)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._cameras = [self._channel(name) for name in self._settings.cameras]
        self._pipeline: Pipeline | None = None
        self._model = ''
        self._failure = ''
        self._finalized = False
        self._frames: NewestFrames[CameraChannel, Frame] | None = None
        self._worker: threading.Thread | None = None
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        # They continue while ROS time does not advance.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._diagnostics_timer = self.create_timer(_TICK, self._tell_state, clock=steady)

    def start(self) -> None:
        """Configure and activate, if the node is to do so by itself; MtlError where it cannot."""
        if not self._settings.common.autostart:
            self.get_logger().info('unconfigured: waiting for lifecycle transitions')
            return
        for transition in (self.trigger_configure, self.trigger_activate):
            if transition() != TransitionCallbackReturn.SUCCESS:
                raise MtlError(self._failure)

    def close(self) -> None:
        """Stop the work; what is under way is not waited for beyond its frame."""
        self._end_work()

    # Lifecycle. rclpy treats an exception in these as a failure, without logging it.

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
        if not self._settings.common.autostart:
            self.get_logger().error(self._failure)
        return False

    def _channel(self, name: str) -> CameraChannel:
        return CameraChannel(self, name, lambda: self._settings.of(name), self._put)

    def _configure(self) -> None:
        parameters = self._settings.common
        model = parameters.model or str(model_path())
        log = self.get_logger().info
        pipeline = Pipeline(model, parameters.options(), parameters.runtime_options(), log)
        self._check_boxes(self._settings, pipeline)
        # Before the first run as well, so that the two do not add up.
        give_back_freed_memory()
        most = self._choose_batch(pipeline)
        pipeline.warm_up(most)
        give_back_freed_memory()
        self._pipeline, self._model = pipeline, model
        spec = pipeline.spec
        width, height = spec.input_size
        log(f'model {model}: {spec.architecture} {spec.backbone}, input {width}x{height}')
        log('; '.join(
            f'{task} of {", ".join(getattr(spec, task).names)}' for task in spec.tasks))
        for camera in self._cameras:
            log(camera.advertise(spec))

    @staticmethod
    def _check_boxes(settings: CameraSettings, pipeline: Pipeline) -> None:
        """Raise ConfigError for oriented boxes that the model cannot have."""
        if any(settings.of(name).box_format == ORIENTED for name in settings.cameras):
            check_oriented(pipeline.spec)

    def _choose_batch(self, pipeline: Pipeline) -> int:
        """Set how many images go through the network at once; return the most that may come."""
        given = self._settings.common.max_batch
        if given:
            pipeline.batch = given
        tiled = any(self._settings.of(name).tiles != 'off' for name in self._settings.cameras)
        most = MAX_BATCH if tiled else min(len(self._cameras), MAX_BATCH)
        if most > 1 and not given:
            rates = pipeline.choose_batch(most)
            # What was tried and is not used.
            give_back_freed_memory()
            self.get_logger().info(
                f'up to {pipeline.batch} image(s) in one run of the network: '
                + ', '.join(f'{count}: {rate:.1f}/s' for count, rate in rates.items()))
        return min(most, pipeline.batch)

    def _free(self) -> None:
        for camera in self._cameras:
            camera.withdraw()
        self._pipeline = None

    def _begin_work(self) -> None:
        self._frames = NewestFrames()
        self._worker = threading.Thread(
            target=self._work, args=(self._frames, self._pipeline), name='perception',
            daemon=True)
        self._worker.start()
        for camera in self._cameras:
            camera.open()

    def _end_work(self) -> None:
        for camera in self._cameras:
            camera.close()
        if self._frames is not None and self._worker is not None:
            for camera in self._frames.close():
                camera.statistics.drop('deactivated')
            self._worker.join()
        self._frames = self._worker = None

    # The executor's thread.

    def _put(self, camera: CameraChannel, frame: Frame) -> bool:
        """Hand a frame to the worker; return whether an older one was dropped for it."""
        frames = self._frames
        if frames is None:
            return False
        dropped = frames.put(camera, frame)
        # Have the worker begin now, and the executor make ready for the next image meanwhile,
        # which takes it half a millisecond of Python.
        time.sleep(_HAND_OVER)
        return dropped

    def _on_set_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        try:
            settings = changed_settings(
                self._settings, changes, unconfigured=self._pipeline is None)
            if self._pipeline is not None:
                self._check_boxes(settings, self._pipeline)
            self._settings = settings
        except MtlError as error:
            return SetParametersResult(successful=False, reason=str(error))
        for camera in self._cameras:
            camera.publish_labels()
        return SetParametersResult(successful=True)

    def _tell_state(self) -> None:
        cameras = [camera.look() for camera in self._cameras]
        runtime, pipeline = '', self._pipeline
        if pipeline is not None:
            about = pipeline.runtime
            runtime = f'{about.name} on {about.device}, {about.precision}'
        self._diagnostics.publish(diagnostics_message(NodeState(
            name=self.get_fully_qualified_name(), lifecycle=self._lifecycle(),
            failure=self._failure, model=self._model, runtime=runtime,
            batch=pipeline.batch if pipeline is not None else 0), cameras, present(self)))

    def _lifecycle(self) -> str:
        if self._finalized:
            return 'finalized'
        if self._frames is not None:
            return 'active'
        return 'unconfigured' if self._pipeline is None else 'inactive'

    # The worker's thread.

    def _work(self, frames: NewestFrames[CameraChannel, Frame], pipeline: Pipeline) -> None:
        while batch := frames.take(pipeline.batch):
            jobs = []
            for camera, frame in batch:
                with self._counting_errors([camera]):
                    if (job := camera.prepare(frame)) is not None:
                        jobs.append((camera, job))
            if jobs:
                self._process(jobs, pipeline)

    def _process(self, jobs: list[tuple[CameraChannel, Job]], pipeline: Pipeline) -> None:
        with self._counting_errors([camera for camera, _ in jobs]):
            seen = pipeline.run_batch([job.request for _, job in jobs])
            done = time.perf_counter()
            for (camera, job), perception in zip(jobs, seen, strict=True):
                with self._counting_errors([camera]):
                    camera.finish(job, perception, done)

    @contextlib.contextmanager
    def _counting_errors(self, cameras: list[CameraChannel]) -> Iterator[None]:
        """Count and log a failure with a frame of each of `cameras`, and continue."""
        try:
            yield
        except Exception as error:
            # A defect of ours, if it is no MtlError; a node that goes on with the next frame is of
            # more use in the air than one that has stopped.
            for camera in cameras:
                camera.statistics.drop('error')
            reason = str(error) if isinstance(error, MtlError) else f'\n{traceback.format_exc()}'
            self.get_logger().error(
                f'frame not processed: {reason}', throttle_duration_sec=_WARN_EVERY)
