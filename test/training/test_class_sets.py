from pathlib import Path

import numpy as np
import pytest

from mtl_perception.data.manifest import load_manifest
from mtl_perception.data.samples import BoxTruth
from mtl_perception.labels import IGNORE_LABEL
from mtl_perception.training.class_sets import ClassSets


@pytest.fixture(scope='module')
def manifest():
    return load_manifest(Path(__file__).parents[2] / 'config' / 'aerial.yaml')


def names(sets: ClassSets, manifest, number: int) -> set[str]:
    return {manifest.segmentation.names[c] for c in np.flatnonzero(sets.table()[number])}


def test_single_classes_have_the_first_numbers_and_sets_are_shared(manifest):
    sets = ClassSets(manifest)
    table = sets.table()
    assert np.array_equal(table[:6], np.eye(6, dtype=bool))
    assert len({tuple(row) for row in table.tolist()}) == len(table)


def test_mask_labels_map_to_numbers_of_class_sets(manifest):
    sets = ClassSets(manifest)
    land = manifest.set_named('land_dronedeploy')
    labels = sets.from_mask(land, np.array([[0, 1, 2, 4, 5, 255]], np.uint8))[0]
    assert labels[1] == labels[5] == IGNORE_LABEL  # clutter has no class
    assert names(sets, manifest, labels[0]) == {'building'}
    assert names(sets, manifest, labels[3]) == {'ground', 'road'}
    assert labels[4] == manifest.segmentation.index('vehicle')


def test_boxes_label_their_middle_and_the_pixels_outside_all_boxes(manifest):
    sets = ClassSets(manifest)
    thermal = manifest.set_named('thermal_hituav')
    truth = BoxTruth(
        np.array([[10, 10, 30, 20], [40, 40, 44, 50]], np.float32),
        np.array([manifest.detection.index('car'), manifest.detection.index('person')], np.int32),
        np.array([[0, 50, 10, 64]], np.float32))
    labels = sets.from_boxes(thermal, truth, 64)
    assert labels[15, 20] == manifest.segmentation.index('vehicle')
    assert labels[10, 10] == IGNORE_LABEL  # the rim of the box
    assert labels[60, 5] == IGNORE_LABEL  # an ignore region
    everything = set(manifest.segmentation.names)
    assert names(sets, manifest, labels[0, 0]) == everything - {'vehicle'}
    assert labels[45, 42] == labels[0, 0]  # a person's box tells only that there is no vehicle


def test_only_configured_sets_label_pixels_by_boxes(manifest):
    sets = ClassSets(manifest)
    assert sets.has_pixels_of_boxes(manifest.set_named('cars_madison'))
    assert not sets.has_pixels_of_boxes(manifest.set_named('land_dronedeploy'))


def test_pixel_weights_of_class_sets(manifest):
    pytest.importorskip('torch')
    from mtl_perception.training.objective import set_weights
    sets = ClassSets(manifest)
    weights = set_weights(sets, manifest).numpy()
    assert weights[:6].tolist() == list(manifest.pixel_weights)
    sizes = sets.table().sum(axis=1)
    assert (weights[6:][sizes[6:] < 5] == 1).all()
    assert weights[sizes == 5] == pytest.approx(1 - np.log(5) / np.log(6))
