"""The camera info of the camera node: calibrated or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sensor_msgs.msg import CameraInfo
import yaml

from mtl_perception.encodings import MAX_SIDE
from mtl_perception.errors import ConfigError, DataError, one_line

_MATRICES = {
    'camera_matrix': ('k', 9), 'rectification_matrix': ('r', 9), 'projection_matrix': ('p', 12)}


def load_calibration(path: Path) -> CameraInfo:
    """
    Return the calibration in a YAML file as ROS calibration tools write it, without a header.

    DataError names file and entry where it is missing, broken or of another form.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = one_line(error)
        raise DataError(f'calibration {path} cannot be read: {reason}') from None
    if not isinstance(values, dict):
        raise DataError(f'calibration {path} is not a mapping')
    info = CameraInfo()
    try:
        info.width = _side(values['image_width'])
        info.height = _side(values['image_height'])
        info.distortion_model = str(values['distortion_model'])
        info.d = [float(value) for value in values['distortion_coefficients']['data']]
        for entry, (name, length) in _MATRICES.items():
            setattr(info, name, _matrix(values[entry], length))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f'calibration {path}: entry missing or wrong: {error}') from None
    return info


def camera_info(calibration: CameraInfo | None, width: int, height: int) -> CameraInfo:
    """
    Return the calibration for images of this size, or an uncalibrated one (all zero).

    ConfigError where the calibration was made for another size.
    """
    if calibration is None:
        return CameraInfo(width=width, height=height)
    if (calibration.width, calibration.height) != (width, height):
        raise ConfigError(
            f'the calibration is for {calibration.width}x{calibration.height}, '
            f'the images are {width}x{height}')
    return calibration


def _side(value: Any) -> int:
    if not 0 < int(value) <= MAX_SIDE:
        raise ValueError(f'{value} is not the side of an image')
    return int(value)


def _matrix(value: Any, length: int) -> list[float]:
    data = [float(item) for item in value['data']]
    if len(data) != length:
        raise ValueError(f'{len(data)} numbers instead of {length}')
    return data
