"""Crops of large images: turned, deep and broken ones."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest
import yaml

from mtl_perception.data.broken import Broken, read_good
from mtl_perception.data.data_set import DataSet
from mtl_perception.data.manifest import load_manifest
from mtl_perception.data.training_set import open_training_set
from mtl_perception.errors import DataError
from test.images.tiff_files import tiff

UPRIGHT = np.random.default_rng(0).integers(0, 256, (64, 128, 3), np.uint8)


@pytest.fixture
def cropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that opens the set of these images, cut into crops of 64 pixels."""
    monkeypatch.delenv('MTL_DATA', raising=False)
    for folder in ('images', 'labels'):
        (tmp_path / folder).mkdir()
    (tmp_path / 'classes.txt').write_text('car\n')
    path = tmp_path / 'm.yaml'
    path.write_text(yaml.safe_dump({'detection': {'names': ['car']}, 'sets': {'s': {
        'reader': 'yolo', 'path': '.', 'crops': {'side': 64}, 'splits': {'train': 'train.txt'},
        'boxes': {'classes': {'car': 'car'}, 'complete': ['car']}}}}))

    def open_it(**files: bytes) -> DataSet:
        for name, content in files.items():
            stem, _, suffix = name.rpartition('_')
            (tmp_path / 'images' / f'{stem}.{suffix}').write_bytes(content)
            # In the right half.
            (tmp_path / 'labels' / f'{stem}.txt').write_text('0 0.75 0.5 0.1 0.2\n')
        (tmp_path / 'train.txt').write_text(
            ''.join(f'{name.rpartition("_")[0]}\n' for name in files))
        manifest = load_manifest(path)
        return open_training_set(manifest.sets[0], manifest)

    return open_it


def png_of(pixels: np.ndarray) -> bytes:
    return cv2.imencode('.png', pixels)[1].tobytes()


@pytest.mark.parametrize('orientation', [1, 3, 6, 8])
@pytest.mark.parametrize('suffix', ['tif', 'jpg', 'png', 'webp'])
def test_turned_image_is_cut_upright(cropped: Any, orientation: int, suffix: str,
                                     tmp_path: Path) -> None:
    stored = np.ascontiguousarray(
        {1: UPRIGHT, 3: UPRIGHT[::-1, ::-1], 6: np.rot90(UPRIGHT),
         8: np.rot90(UPRIGHT, -1)}[orientation])
    if suffix == 'tif':
        content = tiff(stored, orientation=orientation)
    else:
        exif = PIL.Image.Exif()
        exif[0x0112] = orientation
        options = {'quality': 100, 'subsampling': 0} if suffix == 'jpg' else (
            {'lossless': True} if suffix == 'webp' else {})
        path = tmp_path / f'made.{suffix}'
        PIL.Image.fromarray(stored).save(path, exif=exif, **options)
        content = path.read_bytes()
    data = cropped(**{f'a_{suffix}': content})
    assert list(data.stems('train')) == ['a@0,0', 'a@64,0']
    left, right = data.read('train', 0), data.read('train', 1)
    for sample, expected in ((left, UPRIGHT[:, :64]), (right, UPRIGHT[:, 64:])):
        assert sample.image.shape == (64, 64, 3)
        assert np.abs(sample.image.astype(int) - expected).max() <= (8 if suffix == 'jpg' else 0)
    assert len(left.boxes.boxes) == 0 and len(right.boxes.boxes) == 1


def test_crops_of_a_deep_image_share_their_stretch(cropped: Any) -> None:
    counts = np.zeros((64, 128), np.uint16) + np.arange(128, dtype=np.uint16) * 10 + 7200
    data = cropped(a_png=png_of(counts))
    left, right = (data.read('train', index).image for index in (0, 1))
    assert left.max() < right.min() and left.min() == 0 and right.max() == 255


@pytest.mark.parametrize('content', [
    png_of(UPRIGHT)[:3000], tiff(UPRIGHT)[:3000],
    cv2.imencode('.jpg', UPRIGHT)[1].tobytes()[:2000], b''])
def test_broken_image_is_left_out_or_named(cropped: Any, content: bytes) -> None:
    data = cropped(good_png=png_of(UPRIGHT), bad_png=content)
    left_out: list[Broken] = []
    found = [sample.name for _, sample in read_good(data, 'train', left_out.append)]
    assert found == ['s/good@0,0', 's/good@64,0']
    assert left_out and all('bad.png: ' in broken.reason for broken in left_out)
    stems = list(data.stems('train'))
    with pytest.raises(DataError, match=r'bad\.png: '):
        data.read('train', len(stems) - 1)
