"""
The one declaration of every node parameter: default, meaning, range, and when it may change.

A node's parameters are a frozen dataclass whose fields are made by `parameter`. The node declares
its ROS parameters from it and gets an instance back; a change yields a new instance, so a thread
that works on a frame sees one consistent set. Configuration and launch files are tested against
the same classes. A value is either effective on the next frame or refused with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
from dataclasses import dataclass, Field, field, fields
import math
from pathlib import Path
from typing import Any, TypeVar

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from mtl_perception.errors import ConfigError
from mtl_perception.inference.pipeline import MAX_DETECTIONS, PipelineOptions
from mtl_perception.inference.registry import RUNTIMES
from mtl_perception.inference.runtime import DEVICES, MAX_THREADS, PRECISIONS, RuntimeOptions
from mtl_perception.nearest import suggestion

_KEY = 'ros_parameter'

ALWAYS = 'always'
"""A change takes effect on the next frame."""
UNCONFIGURED = 'unconfigured'
"""May change only while the lifecycle node is unconfigured; takes effect when it is configured."""
NEVER = 'never'
"""Read once at start (read-only)."""


@dataclass(frozen=True)
class Declaration:
    """What is known of a parameter besides name, type and default."""

    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    unit: str = ''
    changes: str = NEVER

    def text(self) -> str:
        """Return the description with unit, choices and when it may change, in one line."""
        parts = [self.description + (f' [{self.unit}]' if self.unit else '')]
        if self.choices:
            parts.append('one of ' + ', '.join(self.choices))
        if self.changes == UNCONFIGURED:
            parts.append('may change while the node is unconfigured')
        return '; '.join(parts)


def parameter(
        default: Any, description: str, *, low: float | None = None, high: float | None = None,
        choices: Sequence[str] = (), unit: str = '', changes: str = NEVER) -> Any:
    """Return a dataclass field that declares a ROS parameter; `low` and `high` are included."""
    declaration = Declaration(description, low, high, tuple(choices), unit, changes)
    return field(default=default, metadata={_KEY: declaration})


RELIABILITIES = ('best_effort', 'reliable')


@dataclass(frozen=True)
class PerceptionParameters:
    """Parameters of the perception node."""

    model: str = parameter(
        '', 'path of the model file; empty: the model that comes with the package',
        changes=UNCONFIGURED)
    runtime: str = parameter(
        'auto', 'what runs the model; auto: the first of an order that starts (see mtl runtimes)',
        choices=RUNTIMES, changes=UNCONFIGURED)
    device: str = parameter(
        'auto', 'where it runs; auto: on a GPU that the runtime can use', choices=DEVICES,
        changes=UNCONFIGURED)
    precision: str = parameter(
        'auto', "number format that the model is computed in; auto: the model's own, or BF16 "
        'where the CPU computes that', choices=PRECISIONS, changes=UNCONFIGURED)
    threads: int = parameter(
        0, 'CPU threads of the runtime; 0: as many as this process may use', low=0,
        high=MAX_THREADS, changes=UNCONFIGURED)
    cache_folder: str = parameter(
        'auto', 'folder for what a runtime compiles for this machine; auto: '
        '~/.cache/mtl_perception', changes=UNCONFIGURED)
    score_threshold: float = parameter(
        PipelineOptions().score_threshold, 'detections of a lower score are left out',
        low=0.0, high=1.0, changes=ALWAYS)
    nms_threshold: float = parameter(
        PipelineOptions().nms_threshold,
        'of two boxes of a class that overlap by more (IoU), the better one stays',
        low=0.0, high=1.0, changes=ALWAYS)
    max_detections: int = parameter(
        PipelineOptions().max_detections, 'most detections of a frame, best scores first',
        low=1, high=MAX_DETECTIONS, changes=ALWAYS)
    tiles: str = parameter(
        PipelineOptions().tiles,
        'tiles a frame is cut into: off, auto (large frames only) or ROWSxCOLUMNS',
        changes=ALWAYS)
    detection_rate: float = parameter(
        0.0, 'upper bound of how often objects are detected; 0: in every frame', low=0.0,
        high=1000.0, unit='Hz', changes=ALWAYS)
    segmentation_rate: float = parameter(
        0.0, 'upper bound of how often pixels are labelled; 0: in every frame', low=0.0,
        high=1000.0, unit='Hz', changes=ALWAYS)
    class_id_format: str = parameter(
        'index', 'class_id of a detection: the class index as a number, or its name',
        choices=('index', 'name'), changes=ALWAYS)
    reliability: str = parameter(
        'auto', 'reliability that is asked of the image publishers; auto: reliable while all of '
        'them offer it; best_effort takes both', choices=('auto', *RELIABILITIES),
        changes=UNCONFIGURED)
    queue_depth: int = parameter(
        5, 'images that wait in the middleware until they are received, each of which may keep '
        'the memory of the largest; inside the node the newest one wins whatever the depth',
        low=1, high=100, changes=UNCONFIGURED)
    image_timeout: float = parameter(
        2.0, 'without an image for so long, log and diagnostics warn', low=0.1, high=3600.0,
        unit='s', changes=ALWAYS)
    idle_timeout: float = parameter(
        2.0, 'without a subscriber to any result for so long, images are no longer received, '
        'until there is one', low=0.0, high=86400.0, unit='s', changes=ALWAYS)
    autostart: bool = parameter(
        True, 'configure and activate at start, and exit where that fails; '
        'false: wait for lifecycle transitions')

    def __post_init__(self) -> None:
        check(self)
        self.options()

    def options(self) -> PipelineOptions:
        """Return what the pipeline is told for the next frame."""
        return PipelineOptions(
            score_threshold=self.score_threshold, nms_threshold=self.nms_threshold,
            max_detections=self.max_detections, tiles=self.tiles)

    def rates(self) -> dict[str, float]:
        """Return the upper bound of how often each task is done, in Hz; 0: in every frame."""
        return {'detection': self.detection_rate, 'segmentation': self.segmentation_rate}

    def runtime_options(self) -> RuntimeOptions:
        """Return how the model is to be run."""
        return RuntimeOptions(
            runtime=self.runtime, device=self.device, precision=self.precision,
            threads=self.threads,
            cache=None if self.cache_folder == 'auto' else Path(self.cache_folder))


@dataclass(frozen=True)
class CameraParameters:
    """Parameters of the camera node."""

    source: str = parameter(
        'synthetic:0',
        'folder of images, video file, number of a V4L2 device, URL or GStreamer pipeline, '
        'or synthetic:SEED')
    rate: float = parameter(
        0.0, "images per second; 0: the video's or device's own, 10 for others",
        low=0.0, high=1000.0, unit='Hz')
    loop: bool = parameter(
        True, 'begin again at the end of a folder, video or synthetic flight; '
        'false: end there')
    encoding: str = parameter(
        'bgr8', 'encoding of the published images', choices=('bgr8', 'rgb8'))
    frame_id: str = parameter('camera', 'frame id of images and camera info')
    width: int = parameter(640, 'width of a synthetic flight', low=32, high=4096, unit='px')
    height: int = parameter(480, 'height of a synthetic flight', low=32, high=4096, unit='px')
    frames: int = parameter(300, 'length of a synthetic flight', low=1, high=100000, unit='images')
    calibration: str = parameter(
        '', 'camera calibration file (YAML); empty: camera info says uncalibrated')
    reliability: str = parameter(
        'reliable', 'reliability that is offered to subscribers; reliable serves both',
        choices=RELIABILITIES)
    queue_depth: int = parameter(
        5, 'images kept for slow reliable subscribers', low=1, high=100)
    wait_for_subscribers: int = parameter(
        0, 'publish nothing before so many subscribers of the images are there',
        low=0, high=100)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class RecorderParameters:
    """Parameters of the recorder node."""

    output: str = parameter('', 'folder of the bag to write; must not exist')
    topics: tuple[str, ...] = parameter(
        (), 'topics to record, NAME or NAME:PACKAGE/msg/TYPE where nobody publishes it yet')
    queue_depth: int = parameter(
        20, 'messages of a topic that wait while the disk is busy', low=1, high=1000)

    def __post_init__(self) -> None:
        check(self)


Parameters = TypeVar('Parameters', PerceptionParameters, CameraParameters, RecorderParameters)

_KINDS = (PerceptionParameters, CameraParameters, RecorderParameters)

_RCLPY_NAMES = ('use_sim_time', 'start_type_description_service')
_RCLPY_PREFIXES = ('qos_overrides.',)
"""What rclpy declares by itself, in all releases; in a dump of the parameters it is there, too."""


class AcceptsSameValues(Node):
    """
    A node where setting a parameter to the value that it has succeeds, also a read-only one.

    Thereby what `ros2 param dump` wrote, or the file that the node was started with, can be loaded
    into the running node: only real changes are judged.
    """

    def set_parameters_atomically(
            self, parameter_list: list[Parameter[Any]]) -> SetParametersResult:
        """Set those that differ, all or none; see the base class."""
        changes = [parameter for parameter in parameter_list if not self._has(parameter)]
        if not changes:
            return SetParametersResult(successful=True)
        return super().set_parameters_atomically(changes)

    def _has(self, parameter: Parameter[Any]) -> bool:
        if not self.has_parameter(parameter.name):
            return False
        value = _plain(self.get_parameter(parameter.name).value)
        given = _plain(parameter.value)
        if isinstance(value, str) and type(given) in (bool, int):
            # `ros2 param load` reads text once more as YAML, also where the file has it quoted.
            given = _OFF if given is False else str(given)
        # True == 1, but a flag is no number.
        return value == given and (type(value) is bool) == (type(given) is bool)


def declaration(item: Field[Any]) -> Declaration:
    """Return the declaration of a field of a parameter class."""
    return item.metadata[_KEY]


def check(values: Any) -> None:
    """Raise ConfigError, naming parameter, value and range, for a value that cannot be."""
    for item in fields(values):
        value, known = getattr(values, item.name), declaration(item)
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f'parameter {item.name}: {value} is not a finite number')
        if known.low is not None and known.high is not None and not (
                known.low <= value <= known.high):
            raise ConfigError(
                f'parameter {item.name}: {value} is not within {known.low}..{known.high}'
                + (f' {known.unit}' if known.unit else ''))
        if known.choices and value not in known.choices:
            raise ConfigError(
                f'parameter {item.name}: {value!r} is not one of {", ".join(known.choices)}')


def declare(node: Node, kind: type[Parameters]) -> Parameters:
    """
    Declare the parameters of `kind` on the node and return their values.

    Values come from the command line, a parameter file or the defaults; ConfigError names the
    one that is impossible, or that no node of this package has.
    """
    _check_names(node, kind)
    values = {}
    for item in fields(kind):
        default = list(item.default) if isinstance(item.default, tuple) else item.default
        value = node.declare_parameter(
            item.name, default, ParameterDescriptor(dynamic_typing=True)).value
        values[item.name] = _typed(item, value)
    result = kind(**values)
    for item in fields(kind):
        # Not before: rclpy's own refusal of a first value would be a traceback.
        node.set_descriptor(item.name, _descriptor(item))
    return result


def _check_names(node: Node, kind: type[Any]) -> None:
    """
    Raise ConfigError for a given parameter that is none, naming the nearest one.

    Those of the package's other nodes pass: `/**` in a file addresses all nodes at once.
    """
    own = [item.name for item in fields(kind)]
    known = {item.name for other in _KINDS for item in fields(other)}
    # The one place where rclpy keeps what was given but not declared, under the same name in
    # Humble, Jazzy and Kilted.
    for name in sorted(node._parameter_overrides):
        if name in known or name in _RCLPY_NAMES or name.startswith(_RCLPY_PREFIXES):
            continue
        raise ConfigError(
            f'parameter {name}: {node.get_name()} has none of that name; '
            + suggestion(name, own, 'its parameters are'))


def changed(
        values: Parameters, changes: Sequence[Parameter], *, unconfigured: bool) -> Parameters:
    """
    Return the values with `changes` of ROS parameters applied; others' parameters are passed by.

    ConfigError says why a change is refused: out of range, or not in this state of the node.
    """
    known = {item.name: item for item in fields(values)}
    new = {}
    for change in changes:
        if change.name not in known:
            continue
        value = _typed(known[change.name], change.value)
        if value == getattr(values, change.name):
            continue
        when = declaration(known[change.name]).changes
        if when == NEVER:
            raise ConfigError(f'parameter {change.name} is read-only: set it at start')
        if when == UNCONFIGURED and not unconfigured:
            raise ConfigError(
                f'parameter {change.name} changes only while the node is unconfigured: '
                'deactivate and clean it up first')
        new[change.name] = value
    return dataclasses.replace(values, **new)


def _descriptor(item: Field[Any]) -> ParameterDescriptor:
    known = declaration(item)
    # Dynamic typing leaves the types to `_typed`: otherwise `rate:=10` is refused as an integer.
    descriptor = ParameterDescriptor(
        description=known.text(), read_only=known.changes == NEVER, dynamic_typing=True)
    if known.low is not None and known.high is not None:
        if isinstance(item.default, float):
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(known.low), to_value=float(known.high))]
        else:
            descriptor.integer_range = [
                IntegerRange(from_value=int(known.low), to_value=int(known.high))]
    return descriptor


_OFF = 'off'
"""YAML takes a bare `off` for false, and so do `ros2 param set` and `load`, quoted or not."""


def _plain(value: Any) -> Any:
    """Return the value of a ROS parameter so that `==` compares it as a whole."""
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _typed(item: Field[Any], value: Any) -> Any:
    """Return the value as the type of the field's default: whole numbers do for both others."""
    wanted = type(item.default)
    given = type(value)
    if value is False and item.default == _OFF:
        return _OFF
    if given is wanted:
        return value
    if given is int and wanted in (float, str):
        return wanted(value)
    if wanted is tuple and given in (list, tuple) and all(type(text) is str for text in value):
        return tuple(value)
    name = {float: 'a number', int: 'a whole number', bool: 'true or false', str: 'text',
            tuple: 'a list of text'}[wanted]
    raise ConfigError(f'parameter {item.name}: {value!r:.80} is not {name}')
