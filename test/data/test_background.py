import numpy as np
import pytest

from mtl_perception.data.background import ignore_regions, MARGIN, possible_labels
from mtl_perception.data.manifest import load_manifest
from mtl_perception.data.readers import open_set
from mtl_perception.data.set_spec import MaskLabels
from mtl_perception.data.training_set import open_training_set
from mtl_perception.labels import IGNORE_LABEL

ALLOWED = np.array([[True, False, False], [True, True, False], [False, False, True],
                    [False, False, False], [False, True, False]])

TOWN = """
detection: {names: [car, large_vehicle, person]}
segmentation: {names: [building, road, vegetation, water, ground, vehicle]}
sets:
  town: &town
    reader: synthetic
    splits: {train: {first_seed: 5, flights: 1, frames: 2}}
    options: {width: 320, height: 240}
    masks: {building: building, road: road, vegetation: vegetation, water: water, ground: ground,
            vehicle: vehicle}
    masks_as_background: {vehicle: [car, large_vehicle]}
  boxes:
    <<: *town
    masks_as_background: {vehicle: [car]}
"""


def covered(regions: np.ndarray, height: int, width: int) -> np.ndarray:
    found = np.zeros((height, width), bool)
    for x0, y0, x1, y1 in regions.astype(int):
        found[y0:y1, x0:x1] = True
    return found


def test_labels_that_may_be_the_class_that_may_be_anything_and_none() -> None:
    masks = MaskLabels(('a', 'b', 'c', 'd', 'e'), ALLOWED)
    possible = possible_labels(masks, (0,))
    assert possible[:5].tolist() == [True, True, False, True, False]
    assert possible[IGNORE_LABEL]
    assert possible_labels(masks, (1, 2))[:5].tolist() == [False, True, True, True, True]


def test_an_area_is_one_region_with_a_margin_inside_the_image() -> None:
    possible = np.zeros((100, 200), bool)
    assert ignore_regions(possible).shape == (0, 4)
    possible[40:60, 50:90] = True
    possible[0:10, 190:200] = True
    found = ignore_regions(possible)
    assert found.dtype == np.float32
    assert sorted(found.tolist()) == [[50 - MARGIN, 40 - MARGIN, 90 + MARGIN, 60 + MARGIN],
                                      [190 - MARGIN, 0, 200, 10 + MARGIN]]


@pytest.mark.parametrize('seed', range(5))
def test_regions_cover_all_of_the_area_and_of_its_margin(seed: int) -> None:
    random = np.random.default_rng(seed)
    possible = np.zeros((120, 90), bool)
    for _ in range(4):
        x, y, step = *random.integers(0, 80, 2), int(random.integers(1, 4))
        for k in range(50):
            possible[min(y + k, 119), max(0, min(x + step * (k // 2), 89))] = True
    found = covered(ignore_regions(possible), 120, 90)
    rows, columns = np.nonzero(possible)
    for dy in (-5, 0, 5):
        for dx in (-5, 0, 5):
            assert found[(rows + dy).clip(0, 119), (columns + dx).clip(0, 89)].all()


def test_a_frame_of_unlabelled_pixels_leaves_its_inside_to_training() -> None:
    possible = np.ones((300, 300), bool)
    possible[30:270, 30:270] = False
    found = covered(ignore_regions(possible), 300, 300)
    assert found[possible].all()
    assert not found[50:250, 50:250].any()


def test_only_training_takes_masks_as_background(tmp_path) -> None:
    path = tmp_path / 'town.yaml'
    path.write_text(TOWN)
    manifest = load_manifest(path)
    spec = manifest.set_named('town')
    assert open_set(spec, manifest).read('train', 0).boxes is None
    data_set = open_training_set(spec, manifest)
    assert len(data_set.stems('train')) == 2
    sample = data_set.read('train', 0)
    vehicles = sample.mask == manifest.segmentation.index('vehicle')
    assert sample.boxes is not None and not len(sample.boxes.boxes)
    found = covered(sample.boxes.ignore, 240, 320)
    assert vehicles.any() and found[vehicles].all()
    assert found.mean() < 0.5
