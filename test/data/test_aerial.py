"""The manifest that the repository ships, and the data that it describes where they are."""

from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import yaml

from mtl_perception.data.manifest import load_manifest
from mtl_perception.data.readers import open_set
from mtl_perception.data.set_spec import FlightSplit, Manifest
from mtl_perception.main import main

CONFIG = Path(__file__).parents[2] / 'config' / 'aerial.yaml'

# By set: images of train and val, and boxes or labels from the table of the data.
IMAGES = {'cars_madison': (272, 32), 'cars_minsk_munich': (77, 25),
            'thermal_hituav': (2029, 290), 'land_dronedeploy': (196, 32),
            'roads_epfl': (80, 10), 'city_tiles': (78, 10)}
BOXES = {'cars_madison': {'car': 1281 + 141},
         'cars_minsk_munich': {'car': 1513 + 1338},
         'thermal_hituav': {'person': 8533 + 1168, 'car': 5253 + 719, 'bicycle': 3630 + 554,
                            'large_vehicle': 102 + 12}}


@pytest.fixture(scope='module')
def manifest() -> Manifest:
    return load_manifest(CONFIG)


def test_classes(manifest: Manifest) -> None:
    assert manifest.detection is not None
    assert manifest.segmentation is not None
    assert manifest.detection.names == ('car', 'large_vehicle', 'person', 'bicycle')
    assert manifest.segmentation.names == (
        'building', 'road', 'vegetation', 'water', 'ground', 'vehicle')
    assert manifest.score_groups == {'vehicle': (0, 1)}
    assert manifest.pixel_weights == (1, 1, 1, 2, 1, 4)


def test_every_class_is_labelled_by_a_set(manifest: Manifest) -> None:
    assert manifest.detection is not None
    complete = [set(spec.boxes.complete) for spec in manifest.sets if spec.boxes]
    assert set.union(*complete) == set(range(len(manifest.detection)))
    masks = [spec.masks.allowed for spec in manifest.sets if spec.masks]
    alone = [row for allowed in masks for row in allowed if row.sum() == 1]
    assert np.any(alone, axis=0).all()


def test_seeds_of_training_and_validation_differ(manifest: Manifest) -> None:
    spec = manifest.set_named('synthetic')
    seeds = []
    for split in spec.splits.values():
        assert isinstance(split, FlightSplit)
        seeds.append(set(range(split.first_seed, split.first_seed + split.flights)))
    assert not set.intersection(*seeds)


def test_experiment_has_the_labels_of_the_same_sets(manifest: Manifest) -> None:
    experiment = load_manifest(CONFIG.with_name('experiment_data.yaml'))
    assert {spec.name for spec in manifest.sets} - {spec.name for spec in experiment.sets} == {
        'synthetic_clutter'}
    for spec in experiment.sets:
        other = manifest.set_named(spec.name)
        assert (repr(spec.boxes), repr(spec.masks)) == (repr(other.boxes), repr(other.masks))
        assert not spec.background and not spec.paste


def test_masks_are_background_only_where_vehicles_are_labelled(manifest: Manifest) -> None:
    assert manifest.segmentation is not None
    vehicle = manifest.segmentation.index('vehicle')
    # Cars on the road are labelled as road in the other two sets of masks.
    assert {spec.name: spec.background for spec in manifest.sets if spec.background} == {
        'land_dronedeploy': {vehicle: (0, 1)}}
    assert manifest.set_named('land_dronedeploy').detection_weight > 0


@pytest.mark.slow
@pytest.mark.parametrize('name', IMAGES)
def test_reads_all_of_the_data(manifest: Manifest, name: str) -> None:
    spec = manifest.set_named(name)
    if not spec.path.is_dir():
        pytest.skip(f'{name} is not here; MTL_DATA names the folder of the data sets')
    data = open_set(spec, manifest)
    assert tuple(len(data.stems(split)) for split in ('train', 'val')) == IMAGES[name]
    classes: Counter[str] = Counter()
    names: set[str] = set()
    labels: set[int] = set()
    for split in ('train', 'val'):
        for index in range(len(data.stems(split))):
            sample = data.read(split, index)
            height, width, channels = sample.image.shape
            assert channels == 3
            assert sample.image.dtype == np.uint8
            names.add(sample.name)
            if sample.boxes:
                assert manifest.detection is not None
                classes.update(manifest.detection.names[c] for c in sample.boxes.classes)
                for boxes in (sample.boxes.boxes, sample.boxes.ignore):
                    assert (boxes[:, :2] >= 0).all()
                    assert (boxes[:, 2:] <= (width, height)).all()
                    assert (boxes[:, 2:] > boxes[:, :2]).all()
            if sample.mask is not None:
                assert sample.mask.shape == (height, width)
                labels.update(np.unique(sample.mask).tolist())
    assert len(names) == sum(IMAGES[name])
    if spec.masks:
        assert labels - {255} == set(range(len(spec.masks.names)))
    if name == 'thermal_hituav':
        assert classes == BOXES[name]
    elif name in BOXES:
        # Some of the source's cars are our large vehicles.
        assert classes.total() == BOXES[name]['car']
        assert classes['large_vehicle'] > 0


@pytest.mark.parametrize('path', sorted(CONFIG.parent.glob('*.yaml')), ids=lambda path: path.name)
def test_shipped_files_name_no_folder_outside_of_themselves(path: Path) -> None:
    content = yaml.safe_load(path.read_text('utf-8'))
    for entry in (content, *content.get('sets', {}).values()):
        for key in ('root', 'path'):
            folder = PurePosixPath(entry.get(key, '.'))
            assert not folder.is_absolute() and '..' not in folder.parts


def test_missing_data_are_reported_with_the_options_that_name_them(
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv('MTL_DATA', raising=False)
    assert main(['data', 'check', str(CONFIG), '--sets', 'cars_madison']) == 1
    assert capsys.readouterr().err.splitlines()[0] == (
        f'broken: {CONFIG.parent}/cars_madison: no such folder, where data set cars_madison is '
        'expected; name the folder of the data sets with --data or $MTL_DATA')
