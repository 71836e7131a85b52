"""
From the declared parameters of a node to values that it can use, and their changes.

The node declares its ROS parameters from a class of theirs (see `declaration`) and gets an
instance back; a change yields a new instance, so a thread that works on a frame sees one
consistent set. Configuration and launch files are tested against the same classes. A value is
either effective on the next frame or rejected with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
from dataclasses import Field, fields
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
from mtl_perception.nearest import suggestion
from mtl_perception.nodes.camera_parameters import CameraParameters
from mtl_perception.nodes.declaration import declaration, NEVER, UNCONFIGURED
from mtl_perception.nodes.perception_parameters import PerceptionParameters
from mtl_perception.nodes.recorder_parameters import RecorderParameters

OF_ONE_CAMERA = (
    'score_threshold', 'nms_threshold', 'max_detections', 'tiles', 'box_format', 'black_hot',
    'detection_rate', 'segmentation_rate', 'image_transport', 'reliability', 'queue_depth',
    'image_timeout')
"""Parameters of the perception node that CAMERA.NAME sets for one of its cameras alone."""

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
        values[item.name] = typed(item, value)
    result = kind(**values)
    for item in fields(kind):
        # Not before: rclpy's own refusal of a first value would be a traceback.
        node.set_descriptor(item.name, descriptor(item))
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
    given = node._parameter_overrides
    cameras = given['cameras'].value if 'cameras' in given and kind is PerceptionParameters else ()
    for name in sorted(given):
        if name in known or name in _RCLPY_NAMES or name.startswith(_RCLPY_PREFIXES):
            continue
        camera, _, rest = name.rpartition('.')
        if rest in OF_ONE_CAMERA and camera and (
                kind is not PerceptionParameters or camera in (cameras or ())):
            continue
        raise ConfigError(
            f'parameter {name}: {node.get_name()} has none of that name; '
            + suggestion(name, own, 'its parameters are'))


def changed(
        values: Parameters, changes: Sequence[Parameter], *, unconfigured: bool) -> Parameters:
    """
    Return the values with `changes` of ROS parameters applied; others' parameters are passed by.

    Raises ConfigError for an invalid change: out of range, or not in this state of the node.
    """
    known = {item.name: item for item in fields(values)}
    new = {}
    for change in changes:
        if change.name not in known:
            continue
        value = typed(known[change.name], change.value)
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


def descriptor(item: Field[Any]) -> ParameterDescriptor:
    """Return what ROS tools show of a parameter, and what rclpy checks by itself."""
    known = declaration(item)
    # Dynamic typing leaves the types to `typed`: otherwise `rate:=10` is rejected as an integer.
    shown = ParameterDescriptor(
        description=known.text(), read_only=known.changes == NEVER, dynamic_typing=True)
    if known.low is not None and known.high is not None:
        if isinstance(item.default, float):
            shown.floating_point_range = [
                FloatingPointRange(from_value=float(known.low), to_value=float(known.high))]
        else:
            shown.integer_range = [
                IntegerRange(from_value=int(known.low), to_value=int(known.high))]
    return shown


_OFF = 'off'
"""YAML parses a bare `off` as false, and so do `ros2 param set` and `load`, quoted or not."""


def _plain(value: Any) -> Any:
    """Return the value of a ROS parameter so that `==` compares it as a whole."""
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def typed(item: Field[Any], value: Any) -> Any:
    """
    Return the value of a ROS parameter as the type of the field's default.

    Whole numbers do for the others as well. ConfigError where it cannot be.
    """
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
