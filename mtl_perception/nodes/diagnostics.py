"""The state of the perception node in the standard form of /diagnostics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
import resource
import socket

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from std_msgs.msg import Header

from mtl_perception.nodes.frame_statistics import PERCENTILES, Summary
from mtl_perception.nodes.input_health import InputReport


@dataclass(frozen=True)
class NodeState:
    """The content of a node's diagnostics that is not of one camera."""

    name: str
    """Fully qualified, to distinguish nodes in different namespaces."""
    lifecycle: str
    """Label of the lifecycle state: unconfigured, inactive, active, finalized."""
    failure: str
    """Why the node could not be configured; empty where it could."""
    model: str
    runtime: str
    """The runtime's name, device and precision."""
    batch: int
    """Most images in one run of the network."""


@dataclass(frozen=True)
class CameraState:
    """The content of the diagnostics of one camera of the node."""

    name: str
    """Empty for the only one."""
    is_idle: bool
    """Whether the node is active but has no subscribers to its results."""
    input: InputReport
    bad_frame: str
    """Why the latest bad frame was dropped; empty where there was none."""
    summary: Summary


def diagnostics_message(
        state: NodeState, cameras: Sequence[CameraState], stamp: Time) -> DiagnosticArray:
    """Return the statuses: images and latency of each camera, and the model."""
    return DiagnosticArray(header=Header(stamp=stamp), status=[
        *(status for camera in cameras
          for status in (_images(state, camera), _latency(state, camera))),
        _model(state)])


def present(node: Node) -> Time:
    """Return the moment for a stamp: of the system's clock where ROS time does not run."""
    now = node.get_clock().now().to_msg()
    # Monitors treat the stamp zero as stale.
    return now if now != Time() else Clock(clock_type=ClockType.SYSTEM_TIME).now().to_msg()


def resident_memory() -> int:
    """Return the process's resident memory in bytes."""
    try:
        pages = int(Path('/proc/self/statm').read_text().split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * resource.getpagesize()


def _images(state: NodeState, camera: CameraState) -> DiagnosticStatus:
    summary = camera.summary
    level, text = DiagnosticStatus.OK, f'{summary.rate_in:.1f} images/s'
    troubles = list(camera.input.troubles)
    if camera.bad_frame:
        troubles.append(f'bad frames: {camera.bad_frame}')
    if troubles:
        level, text = DiagnosticStatus.WARN, '; '.join(troubles)
    elif state.lifecycle != 'active':
        text = 'not active'
    elif camera.is_idle:
        text = 'idle: no subscribers to results'
    stamps = camera.input.stamps
    return _status(state, _task(camera, 'images'), level, text, {
        'topic': camera.input.topic,
        'publishers': camera.input.publishers,
        'transport': camera.input.transport,
        'reliability': camera.input.reliability,
        'images received': summary.received,
        'images processed': summary.processed,
        **{f'images dropped, {cause}': count for cause, count in sorted(summary.dropped.items())},
        'images lost on the way': _or_empty(camera.input.lost, 'd'),
        'images missing by their stamps, lately': stamps.missing,
        'rate in [Hz]': f'{summary.rate_in:.2f}',
        'rate out [Hz]': f'{summary.rate_out:.2f}',
        'rate by stamps [Hz]': _or_empty(stamps.rate, '.2f'),
        'since last image [s]': _or_empty(summary.silence, '.2f'),
        'stamps zero': stamps.unset,
        'stamps of the future': stamps.ahead,
        'stamps of another clock': stamps.behind,
        'stamps going backwards': stamps.backwards,
    })


def _or_empty(value: float | None, form: str) -> str:
    return '' if value is None else format(value, form)


def _latency(state: NodeState, camera: CameraState) -> DiagnosticStatus:
    summary = camera.summary
    total = summary.percentiles.get('total')
    text = f'{total[0] * 1e3:.1f} ms' if total else 'no image processed lately'
    return _status(state, _task(camera, 'latency'), DiagnosticStatus.OK, text, {
        f'{stage} p{percent} [ms]': f'{value * 1e3:.2f}'
        for stage, values in summary.percentiles.items()
        for percent, value in zip(PERCENTILES, values, strict=True)})


def _model(state: NodeState) -> DiagnosticStatus:
    level, text = DiagnosticStatus.OK, state.lifecycle
    if state.failure:
        level, text = DiagnosticStatus.ERROR, state.failure
    return _status(state, 'model', level, text, {
        'lifecycle state': state.lifecycle,
        'model': state.model,
        'runtime': state.runtime,
        'most images at once': state.batch or '',
        'resident memory [MB]': f'{resident_memory() / 1e6:.1f}',
    })


def _task(camera: CameraState, task: str) -> str:
    return f'{camera.name} {task}' if camera.name else task


def _status(
        state: NodeState, task: str, level: bytes, text: str,
        values: dict[str, object]) -> DiagnosticStatus:
    return DiagnosticStatus(
        level=level, name=f'{state.name.lstrip("/")}: {task}', message=text,
        hardware_id=socket.gethostname(),
        values=[KeyValue(key=key, value=str(value)) for key, value in values.items()])
