"""
The demonstration: a flight through the real nodes, and a report of it.

Camera, perception and recorder run as processes and communicate over ROS 2; a monitor watches
them. Report and images are made from the bag that they leave behind.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
from dataclasses import dataclass
import json
from pathlib import Path
import signal
import sys
import time
from types import FrameType
from typing import Any

from mtl_perception.bags.results import (
    count_messages,
    last_diagnostics,
    read_frames,
    ResultTopics,
)
from mtl_perception.data.synthetic import BOX_NAMES, MASK_NAMES
from mtl_perception.demo.config import DEFAULT_RATE, DemoConfig
from mtl_perception.demo.flight import Flight, open_flight, TruthFinder
from mtl_perception.demo.images import FlightImages
from mtl_perception.demo.monitor import Monitor
from mtl_perception.demo.processes import NodeProcesses
from mtl_perception.demo.report import FlightReport, TruthScorer
from mtl_perception.demo.status_line import StatusLine
from mtl_perception.errors import MtlError
from mtl_perception.files import absolute, write_text
from mtl_perception.inference.pipeline import PipelineOptions
from mtl_perception.inference.registry import open_runtime
from mtl_perception.resources import model_path
from mtl_perception.spec import ModelSpec
from mtl_perception.transport import choose_transport

_CAMERA, _PERCEPTION, _RECORDER = 'camera_node', 'perception_node', 'recorder_node'
_TOPICS = ResultTopics()

_LOOK_EVERY = 0.25
"""Seconds between two updates of the status line."""

_START_WITHIN = 60.0
"""Seconds until the first image must have come: a cold start loads a model from a slow disk."""

_SETTLE = 1.6
"""Seconds that results and diagnostics (1 Hz) have to come in after the last image."""


@dataclass(frozen=True)
class DemoResult:
    """What a flight left behind."""

    report: dict[str, Any]
    """The numbers of `report.json`."""
    output: Path
    made: tuple[Path, ...]
    """Files and folders in `output`."""
    problem: str = ''
    """Why images at the end of the flight are missing; empty if none are known to be."""


@dataclass(frozen=True)
class _Sent:
    """What the camera published."""

    images: int
    rate: float
    """Images per second."""


def run_demo(config: DemoConfig) -> DemoResult:
    """Fly and report; MtlError, before anything is written, for an invalid model or flight."""
    model = absolute(config.model) if config.model else model_path()
    # Opened here only for its spec: a model that does not run is reported before nodes start.
    spec = open_runtime(model, config.runtime).spec
    output = absolute(config.output)
    with contextlib.ExitStack() as undo:
        undo.enter_context(_ended_like_ctrl_c())
        flight = open_flight(config, output, undo)
        with NodeProcesses(output / 'logs') as nodes:
            sent = _fly(nodes, flight, model, spec, config, output)
        return _report(flight, model, spec, sent, output)


def _fly(nodes: NodeProcesses, flight: Flight, model: Path, spec: ModelSpec, config: DemoConfig,
         output: Path) -> _Sent:
    """Run the nodes until the flight is over; return what the camera sent."""
    results = [*([_TOPICS.detections] if spec.detection else []),
               *([_TOPICS.segmentation] if spec.segmentation else [])]
    # The ground truth of a synthetic image is found by its pixels: they are recorded as they are.
    nodes.start(_RECORDER, {
        'output': str(output / 'bag'), 'image_format': 'raw', 'max_file_size': 0,
        'topics': [_TOPICS.image, _TOPICS.camera_info, _TOPICS.detections, _TOPICS.segmentation,
                   f'{_TOPICS.detections}/label_info', f'{_TOPICS.segmentation}/label_info',
                   _TOPICS.diagnostics]})
    runtime = config.runtime
    nodes.start(_PERCEPTION, {
        'model': str(model), 'runtime': runtime.runtime, 'device': runtime.device,
        'precision': runtime.precision, 'threads': runtime.threads,
        'cache_folder': str(absolute(runtime.cache)) if runtime.cache else 'auto',
        'tiles': config.tiles})
    environment = nodes.environment | choose_transport(nodes.environment).environment
    with Monitor(environment, _TOPICS, results[0]) as monitor, _status_line() as line:
        line.show('starting camera, perception and recorder')
        # The first results come within milliseconds of the first image.
        _wait_until_recorded(nodes, monitor, results)
        nodes.start(_CAMERA, _camera_parameters(flight, config))
        _watch(nodes, monitor, flight, line)
        nodes.stop(_PERCEPTION)
        nodes.stop(_RECORDER)
        status = monitor.status(f'{_CAMERA}: stream')
        # The last diagnostics of a camera that was stopped may not have arrived.
        return _Sent(max(int(status.get('images published', 0)), monitor.images),
                     float(status.get('mean rate [Hz]', 0)) or flight.rate or DEFAULT_RATE)


def _camera_parameters(flight: Flight, config: DemoConfig) -> dict[str, object]:
    parameters: dict[str, object] = {
        'source': flight.source, 'rate': flight.rate, 'loop': False, 'wait_for_subscribers': 2,
        'black_hot': config.black_hot}
    if flight.synthetic is not None:
        _, width, height = flight.synthetic
        parameters |= {'width': width, 'height': height, 'frames': flight.frames}
    return parameters


def _wait_until_recorded(nodes: NodeProcesses, monitor: Monitor, topics: list[str]) -> None:
    deadline = time.monotonic() + _START_WITHIN
    while not monitor.is_subscribed(_RECORDER, topics):
        nodes.check()
        if time.monotonic() > deadline:
            raise MtlError(f'the recorder did not find {" and ".join(topics)} within '
                           f'{_START_WITHIN:g} s; see {nodes.log(_PERCEPTION)}')
        monitor.spin(0.05)


def _watch(nodes: NodeProcesses, monitor: Monitor, flight: Flight, line: StatusLine) -> None:
    """Return when the camera has ended and the results of its last images have come."""
    began = time.monotonic()
    while nodes.running(_CAMERA):
        nodes.check(may_end=_CAMERA)
        monitor.spin(_LOOK_EVERY)
        _show(monitor, flight, line)
        if not monitor.images and time.monotonic() - began > _START_WITHIN:
            raise MtlError(f'no image within {_START_WITHIN:g} s; see {nodes.log(_CAMERA)}')
        if flight.synthetic is None and monitor.images >= flight.frames:
            nodes.stop(_CAMERA)
    end = time.monotonic() + _SETTLE + 3 * monitor.latency
    while time.monotonic() < end:
        nodes.check(may_end=_CAMERA)
        monitor.spin(_LOOK_EVERY)
        _show(monitor, flight, line)


def _show(monitor: Monitor, flight: Flight, line: StatusLine) -> None:
    if not monitor.images:
        return
    text = f'flying: {monitor.images}/{flight.frames} frames'
    if monitor.rate:
        text += (f' | {monitor.rate:.1f} fps | latency {1e3 * monitor.latency:.0f} ms | '
                 f'{monitor.objects} detections')
    line.show(text)


def _report(flight: Flight, model: Path, spec: ModelSpec, sent: _Sent, output: Path) -> DemoResult:
    bag = output / 'bag'
    count = count_messages(bag).get(_TOPICS.image, 0)
    rendered = flight.rendered()
    scorer = truths = None
    if rendered is not None:
        scorer = TruthScorer(spec, BOX_NAMES, MASK_NAMES, PipelineOptions().nms_threshold)
        truths = TruthFinder(rendered)
    report = FlightReport(flight.name, model.name, spec, scorer)
    images = FlightImages(output, spec, sent.rate, count)
    with _status_line() as line:
        for number, frame in enumerate(read_frames(bag, _TOPICS)):
            report.add(frame, truths.find(frame.image) if truths is not None else None)
            images.add(frame)
            line.show(f'drawing: {number + 1}/{count} frames')
    path = output / 'report.json'
    numbers = report.to_dict(sent.images, last_diagnostics(bag, _TOPICS, _PERCEPTION))
    write_text(path, json.dumps(numbers, indent=2) + '\n')
    return DemoResult(numbers, output, (bag, *images.close(), path), flight.problem)


@contextlib.contextmanager
def _status_line() -> Iterator[StatusLine]:
    line = StatusLine()
    try:
        yield line
    finally:
        line.end()


@contextlib.contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind like Ctrl-C, so that no process is left behind."""
    def end(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
