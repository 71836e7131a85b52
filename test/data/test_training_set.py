from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from mtl_perception.data import training_set
from mtl_perception.data.manifest import load_manifest
from mtl_perception.data.readers import open_set
from mtl_perception.data.set_spec import Manifest
from mtl_perception.data.training_set import TrainingSamples
from mtl_perception.errors import DataError

NAMES = ('a', 'b', 'c', 'd')
BROKEN = 'b'


@pytest.fixture
def manifest(tmp_path, monkeypatch) -> Manifest:
    """Return a manifest of one set of four images, of which the second is broken."""
    monkeypatch.delenv('MTL_DATA', raising=False)
    for folder in ('images', 'masks'):
        (tmp_path / folder).mkdir()
        for value, name in enumerate(NAMES):
            pixels = np.full((30, 40), value if folder == 'images' else 1, np.uint8)
            cv2.imwrite(str(tmp_path / folder / f'{name}.png'), pixels)
    (tmp_path / 'images' / f'{BROKEN}.png').write_bytes(b'')
    (tmp_path / 'train.txt').write_text('\n'.join(NAMES))
    path: Path = tmp_path / 'manifest.yaml'
    path.write_text(yaml.safe_dump({
        'root': '.', 'segmentation': {'names': ['road', 'grass']}, 'sets': {'land': {
            'reader': 'mask_folder', 'path': '.', 'splits': {'train': 'train.txt'},
            'masks': {'road': 'road', 'grass': 'grass'}}}}))
    return load_manifest(path)


@pytest.fixture
def reads(monkeypatch) -> Counter:
    """Return how often each entry is decoded."""
    found: Counter = Counter()

    class Counting:
        def __init__(self, data_set):
            self.spec, self.stems, self._set = data_set.spec, data_set.stems, data_set

        def read(self, split, index):
            found[self.stems(split)[index]] += 1
            return self._set.read(split, index)

    monkeypatch.setattr(training_set, 'open_set', lambda *args: Counting(open_set(*args)))
    return found


def test_every_entry_is_decoded_once(manifest, reads):
    skipped = []
    samples = TrainingSamples(manifest, 'train', 1 << 20, skip=skipped.append)
    assert [broken.stem for broken in skipped] == [BROKEN]
    assert samples.sizes == [3]
    for _ in range(2):
        assert [samples.read(0, index).name for index in range(3)] == [
            'land/a', 'land/c', 'land/d']
    assert reads == dict.fromkeys(NAMES, 1)


def test_entries_beyond_the_cache_are_decoded_when_they_are_read(manifest, reads):
    samples = TrainingSamples(manifest, 'train', 0, skip=lambda broken: None)
    assert samples.read(0, 1).name == 'land/c'
    assert reads == {'a': 1, 'b': 1, 'c': 2, 'd': 1}


def test_a_limit_counts_good_entries_and_ends_the_reading(manifest, reads):
    samples = TrainingSamples(manifest, 'train', 1 << 20, limit=2, skip=lambda broken: None)
    assert samples.sizes == [2] and samples.read(0, 1).name == 'land/c'
    assert 'd' not in reads


def test_without_skip_the_first_broken_entry_is_an_error(manifest):
    with pytest.raises(DataError, match=r'b\.png'):
        TrainingSamples(manifest, 'train', 1 << 20)


def test_the_entries_of_another_process_are_used(manifest):
    samples = TrainingSamples(manifest, 'train', 1 << 20, skip=lambda broken: None)
    assert samples.indices == [[0, 2, 3]]
    samples.restrict([[0, 1, 3]])
    assert samples.read(0, 2).name == 'land/d'
    with pytest.raises(DataError, match=r'b\.png'):
        samples.read(0, 1)
