"""Calibration published by the camera node."""

import pytest
import yaml

from mtl_perception.errors import ConfigError, DataError
from mtl_perception.nodes.camera_info import camera_info, load_calibration

CALIBRATION = {
    'image_width': 640, 'image_height': 480, 'camera_name': 'down',
    'camera_matrix': {'rows': 3, 'cols': 3, 'data': [500, 0, 320, 0, 500.5, 240, 0, 0, 1]},
    'distortion_model': 'plumb_bob',
    'distortion_coefficients': {'rows': 1, 'cols': 5, 'data': [0.1, -0.2, 0, 0, 0]},
    'rectification_matrix': {'rows': 3, 'cols': 3, 'data': [1, 0, 0, 0, 1, 0, 0, 0, 1]},
    'projection_matrix': {
        'rows': 3, 'cols': 4, 'data': [500, 0, 320, 0, 0, 500, 240, 0, 0, 0, 1, 0]},
}


@pytest.fixture
def written(tmp_path):
    def write(values):
        path = tmp_path / 'camera.yaml'
        path.write_text(values if isinstance(values, str) else yaml.safe_dump(values))
        return path

    return write


def test_calibration_file_is_read(written):
    info = camera_info(load_calibration(written(CALIBRATION)), 640, 480)
    assert (info.width, info.height, info.distortion_model) == (640, 480, 'plumb_bob')
    assert info.k.tolist() == [500, 0, 320, 0, 500.5, 240, 0, 0, 1]
    assert list(info.d) == [0.1, -0.2, 0, 0, 0]
    assert info.r.tolist() == [1, 0, 0, 0, 1, 0, 0, 0, 1]
    assert info.p.tolist() == [500, 0, 320, 0, 0, 500, 240, 0, 0, 0, 1, 0]


def test_missing_calibration_means_uncalibrated():
    info = camera_info(None, 320, 240)
    assert (info.width, info.height) == (320, 240)
    assert info.k[0] == 0 and not info.p.any() and not info.d


def test_images_of_other_size_are_rejected(written):
    with pytest.raises(ConfigError, match='is for 640x480, the images are 320x240'):
        camera_info(load_calibration(written(CALIBRATION)), 320, 240)


@pytest.mark.parametrize(('values', 'reason'), [
    ('{', 'cannot be read'),
    ('[]', 'is not a mapping'),
    ('!!python/object/apply:os.getcwd []', 'cannot be read'),
    ({**CALIBRATION, 'image_width': 'wide'}, 'wide'),
    ({**CALIBRATION, 'image_width': -1}, 'entry missing or wrong'),
    ({**CALIBRATION, 'camera_matrix': {'data': [1, 2]}}, '2 numbers instead of 9'),
    ({**CALIBRATION, 'distortion_coefficients': 3}, 'entry missing or wrong'),
    ({key: value for key, value in CALIBRATION.items() if key != 'projection_matrix'},
     'projection_matrix'),
])
def test_broken_file_is_reported_with_reason(written, values, reason):
    path = written(values)
    with pytest.raises(DataError, match=reason) as error:
        load_calibration(path)
    assert str(path) in str(error.value) and '\n' not in str(error.value)


def test_missing_file_is_reported(tmp_path):
    with pytest.raises(DataError, match=r'none\.yaml cannot be read'):
        load_calibration(tmp_path / 'none.yaml')
