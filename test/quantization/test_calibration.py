import cv2
import numpy as np
import pytest

from mtl_perception.data.manifest import load_manifest
from mtl_perception.errors import ConfigError, DataError
from mtl_perception.graph_contract import PAD_VALUE
from mtl_perception.quantization.calibration import (
    images_of_folder,
    images_of_manifest,
)

from .conftest import SMALL


def test_images_of_a_folder_are_letterboxed_rgb(tmp_path):
    for index in range(5):
        image = np.zeros((20, 20, 3), np.uint8)
        image[..., 0] = 10 * index  # blue
        cv2.imwrite(str(tmp_path / f'{index}.png'), image)
    found = images_of_folder(tmp_path, SMALL, 'off', 2)
    assert found.shape == (2, 32, 64, 3) and found.dtype == np.uint8
    assert found[:, 0, 0].tolist() == [[0, 0, 10], [0, 0, 30]]
    assert (found[:, :, 40:] == PAD_VALUE).all()
    (tmp_path / 'none').mkdir()
    with pytest.raises(DataError, match='no images in this folder'):
        images_of_folder(tmp_path / 'none', SMALL, 'off', 2)


def test_large_images_are_cut_into_different_tiles(tmp_path):
    image = np.zeros((32, 256, 3), np.uint8)
    image[:, 128:] = 200
    for name in 'ab':
        cv2.imwrite(str(tmp_path / f'{name}.png'), image)
    left, right = images_of_folder(tmp_path, SMALL, '1x2', 9)
    assert left.mean() < right.mean()


@pytest.mark.slow
def test_manifest_gives_training_images_only(tmp_path):
    text = """
segmentation: {names: [building, road, ground]}
sets:
  flights:
    reader: synthetic
    splits: {SPLITS}
    options: {width: 64, height: 48}
    masks: {building: building, road: road, vegetation: [], water: [], ground: ground, vehicle: []}
"""
    path = tmp_path / 'm.yaml'
    path.write_text(text.replace(
        'SPLITS', 'train: {first_seed: 5, flights: 2, frames: 3}, '
                  'val: {first_seed: 1, flights: 1, frames: 2}'))
    found = images_of_manifest(load_manifest(path), SMALL, 'off', 4)
    assert found.shape == (4, 32, 64, 3) and len({image.tobytes() for image in found}) == 4
    path.write_text(text.replace('SPLITS', 'val: {first_seed: 1, flights: 1, frames: 2}'))
    with pytest.raises(ConfigError, match=r"no data set .* split 'train'"):
        images_of_manifest(load_manifest(path), SMALL, 'off', 4)
