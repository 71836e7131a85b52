"""Parameters of single cameras, which override the perception node's common ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
import contextlib
from dataclasses import dataclass, field, fields, replace
from typing import Any

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter

from mtl_perception.errors import ConfigError
from mtl_perception.nodes.parameters import changed, declare, descriptor, OF_ONE_CAMERA, typed
from mtl_perception.nodes.perception_parameters import PerceptionParameters

_FIELDS = {item.name: item for item in fields(PerceptionParameters) if item.name in OF_ONE_CAMERA}


@dataclass(frozen=True)
class CameraSettings:
    """The parameters of the node, and of each of its cameras; one consistent set."""

    common: PerceptionParameters
    own: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Camera -> name of a parameter -> the value that it has for this camera alone."""
    _merged: dict[str, PerceptionParameters] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        merged = {}
        for camera in self.cameras:
            with _naming(camera):
                merged[camera] = replace(self.common, **self.own.get(camera, {}))
        object.__setattr__(self, '_merged', merged)

    @property
    def cameras(self) -> tuple[str, ...]:
        """The names of the cameras; one is empty where the node has a camera without a name."""
        return self.common.cameras or ('',)

    def of(self, camera: str) -> PerceptionParameters:
        """Return the parameters as they are for one camera."""
        return self._merged[camera]


def declare_settings(node: Node) -> CameraSettings:
    """
    Declare the perception node's parameters and return their values.

    CAMERA.NAME is not set where nothing is given for it: the camera then follows NAME, whenever
    that changes. ConfigError names a value or name that is impossible.
    """
    common = declare(node, PerceptionParameters)
    own: dict[str, dict[str, Any]] = {}
    for camera in common.cameras:
        own[camera] = {}
        for name, item in _FIELDS.items():
            value = node.declare_parameter(
                f'{camera}.{name}', None, ParameterDescriptor(dynamic_typing=True)).value
            if value is not None:
                with _naming(camera):
                    own[camera][name] = typed(item, value)
    settings = CameraSettings(common, own)
    for camera in common.cameras:
        for name, item in _FIELDS.items():
            shown = descriptor(item)
            shown.description += f'; for {camera} alone; not set: as {name}'
            if name not in own[camera]:
                # rclpy holds a value against the range, also one that is not set.
                shown.floating_point_range, shown.integer_range = [], []
            node.set_descriptor(f'{camera}.{name}', shown)
    return settings


def changed_settings(settings: CameraSettings, changes: Sequence[Parameter], *,
                     unconfigured: bool) -> CameraSettings:
    """Return the settings with `changes` applied; see ``parameters.changed``."""
    common = changed(settings.common, changes, unconfigured=unconfigured)
    own = {}
    for camera, values in settings.own.items():
        prefix = f'{camera}.'
        mine = [Parameter(change.name.removeprefix(prefix), value=change.value)
                for change in changes
                if change.name.startswith(prefix) and change.value is not None]
        with _naming(camera):
            merged = changed(settings.of(camera), mine, unconfigured=unconfigured)
        own[camera] = {**values, **{
            change.name: getattr(merged, change.name) for change in mine
            if change.name in _FIELDS}}
    return CameraSettings(common, own)


@contextlib.contextmanager
def _naming(camera: str) -> Iterator[None]:
    """Have a ConfigError within the `with` block name the parameter of the camera."""
    try:
        yield
    except ConfigError as error:
        if not camera:
            raise
        text = str(error)
        raise ConfigError(
            f'parameter {camera}.' + text.removeprefix('parameter ')
            if text.startswith('parameter ') else f'camera {camera}: {text}') from None
