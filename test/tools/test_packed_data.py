from dataclasses import replace

import cv2
import numpy as np
import pytest
import yaml

from mtl_perception.data.manifest import load_manifest
from mtl_perception.data.readers import open_set
from mtl_perception.errors import ConfigError
from tools import packed_data
from tools.packed_data import choose_quality, drawn_sets, file_sets, LOSSLESS, pack_sets, Source

MANIFEST = """
detection: {names: [car, bus]}
segmentation: {names: [road, grass]}
sets:
  boxes:
    reader: yolo
    boxes: {classes: {vehicle: car, blurred: ~},
            by_length: {vehicle: {at_least: 50, class: bus}}, complete: [car, bus]}
    boxes_as_masks: {car: road}
    paste: {bus: 0.5}
    weight: 2
    scale: [0.25, 0.5]
    crops: {side: 100, overlap: 20}
  masks:
    reader: mask_folder
    masks: {street: road, meadow: grass, field: grass}
    scale: [0.8, 1.5]
  town:
    reader: synthetic
    splits: {train: {first_seed: 1, flights: 1, frames: 1}}
    options: {width: 160, height: 120}
    boxes: {classes: {car: car, large_vehicle: bus}, complete: [car, bus]}
"""

LABELS = ['0 0.3 0.4 0.2 0.2', '0 0.6 0.5 0.6 0.3', '1 0.9 0.9 0.1 0.1']
"""Fractions of 120x80: a car, a longer one that is a bus, a region to ignore."""


@pytest.fixture
def source(tmp_path):
    random = np.random.default_rng(0)
    for name in ('boxes', 'masks'):
        folder = tmp_path / name
        (folder / 'images').mkdir(parents=True)
        for split in ('train', 'val'):
            (folder / f'{split}.txt').write_text(f'{split}_a\n')
            noise = random.integers(0, 256, (80, 120, 3), np.uint8)
            image = cv2.GaussianBlur(noise, (0, 0), 2)
            cv2.imwrite(str(folder / 'images' / f'{split}_a.png'), image)
    (tmp_path / 'boxes' / 'labels').mkdir()
    (tmp_path / 'boxes' / 'classes.txt').write_text('vehicle\nblurred\n')
    (tmp_path / 'masks' / 'masks').mkdir()
    mask = np.full((80, 120), 255, np.uint8)
    mask[:, :40], mask[:, 40:80], mask[:40, 80:] = 0, 1, 2
    for split in ('train', 'val'):
        (tmp_path / 'boxes' / 'labels' / f'{split}_a.txt').write_text('\n'.join(LABELS))
        cv2.imwrite(str(tmp_path / 'masks' / 'masks' / f'{split}_a.png'), mask)
    path = tmp_path / 'my.yaml'
    path.write_text(MANIFEST)
    return Source(path, tmp_path)


def packed(source, output, names, quality, workers=1):
    """Return the manifest of the packed sets."""
    raw = yaml.safe_load(source.manifest.read_text())
    raw['sets'] = pack_sets(source, output, names, quality, workers)
    path = output / 'packed.yaml'
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
    return load_manifest(path, output)


@pytest.mark.parametrize('workers', [1, 2])
def test_ground_truth_and_meaning_are_those_of_the_original(source, tmp_path, workers):
    before = load_manifest(source.manifest, source.data)
    assert (file_sets(before), drawn_sets(before)) == (['boxes', 'masks'], ['town'])
    output = tmp_path / 'packed'
    after = packed(source, output, ['boxes', 'masks'], LOSSLESS, workers)
    for name, split in (('boxes', 'val'), ('masks', 'train'), ('masks', 'val')):
        old, new = (open_set(manifest.set_named(name), manifest).read(split, 0)
                    for manifest in (before, after))
        assert np.array_equal(old.image, new.image)
        for part in ('boxes', 'classes', 'ignore') if name == 'boxes' else ():
            assert np.array_equal(getattr(old.boxes, part), getattr(new.boxes, part)), part
        assert name != 'masks' or np.array_equal(old.mask, new.mask)
    old, new = (manifest.set_named('masks') for manifest in (before, after))
    assert old.masks.names == new.masks.names and old.scale == new.scale
    assert np.array_equal(old.masks.allowed, new.masks.allowed)
    old, new = (manifest.set_named('boxes') for manifest in (before, after))
    assert (old.boxes.complete, old.box_class_pixels, old.detection_weight, old.paste) == (
        new.boxes.complete, new.box_class_pixels, new.detection_weight, new.paste)


def test_training_images_are_as_large_as_crops_show_them(source, tmp_path):
    after = packed(source, tmp_path / 'packed', ['boxes'], LOSSLESS)
    spec = after.set_named('boxes')
    sample = open_set(spec, after).read('train', 0)
    assert sample.image.shape == (40, 60, 3)
    assert spec.scale == (0.5, 1.0) and (spec.crops.side, spec.crops.overlap) == (50, 10)
    # The classes by length are those in the original image.
    assert sample.boxes.classes.tolist() == [0, 1]
    assert sample.boxes.boxes[0] == pytest.approx([12, 12, 24, 20], abs=1e-4)
    assert sample.boxes.ignore[0] == pytest.approx([51, 34, 57, 38], abs=1e-4)


def test_drawn_set_becomes_files(source, tmp_path):
    before = load_manifest(source.manifest, source.data)
    after = packed(source, tmp_path / 'packed', ['town'], LOSSLESS)
    old, new = (open_set(manifest.set_named('town'), manifest).read('train', 0)
                for manifest in (before, after))
    assert np.array_equal(old.image, new.image)
    assert np.array_equal(old.boxes.boxes, new.boxes.boxes)


def test_smaller_files_stay_as_they_are(source, tmp_path):
    for path in list((tmp_path / 'masks' / 'images').iterdir()):
        image = cv2.imread(str(path))
        path.unlink()
        cv2.imwrite(str(path.with_suffix('.jpg')), image, [cv2.IMWRITE_JPEG_QUALITY, 50])
    packed(source, tmp_path / 'packed', ['masks'], LOSSLESS)
    assert (tmp_path / 'packed' / 'masks' / 'images' / 'val_00000.jpg').read_bytes() == (
        tmp_path / 'masks' / 'images' / 'val_a.jpg').read_bytes()


def test_training_images_can_be_fewer(source, tmp_path):
    folder = tmp_path / 'boxes'
    for name in 'bcde':
        for part, suffix in (('images', 'png'), ('labels', 'txt')):
            (folder / part / f'train_{name}.{suffix}').write_bytes(
                (folder / part / f'train_a.{suffix}').read_bytes())
    for split in ('train', 'val'):
        (folder / f'{split}.txt').write_text('\n'.join(f'train_{name}' for name in 'abcde'))
    pack_sets(replace(source, images=2), tmp_path / 'packed', ['boxes'], LOSSLESS)
    lists = [(tmp_path / 'packed' / 'boxes' / f'{split}.txt').read_text().split()
             for split in ('train', 'val')]
    assert [len(names) for names in lists] == [2, 5]


def test_quality_is_the_best_that_fits(source, monkeypatch):
    sizes = {quality: packed_data.estimated_bytes(source, ['boxes', 'masks'], quality)
             for quality in (95, 60, 20)}
    assert sizes[95] > sizes[60] > sizes[20]
    assert choose_quality(source, ['boxes', 'masks'], sizes[95]) == 95
    assert choose_quality(source, ['boxes', 'masks'], sizes[60]) == 60
    with pytest.raises(ConfigError, match='quality of 20'):
        choose_quality(source, ['boxes', 'masks'], sizes[20] - 1)
