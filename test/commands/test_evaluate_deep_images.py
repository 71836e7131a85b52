"""`mtl evaluate` and `mtl data check` on thermal images of 16 bits."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from mtl_perception.main import main


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a manifest of a warm left half, labelled as the model's label of bright grey."""
    monkeypatch.delenv('MTL_DATA', raising=False)
    names = ['red', 'green', 'blue', 'dark']
    for folder in ('images', 'masks'):
        (tmp_path / folder).mkdir()
    counts = np.full((64, 96), 7200, np.uint16)
    counts[:, :48] = 8500
    cv2.imwrite(str(tmp_path / 'images' / 'a.png'), counts)
    cv2.imwrite(str(tmp_path / 'masks' / 'a.png'), np.where(counts > 8000, 0, 3).astype(np.uint8))
    (tmp_path / 'val.txt').write_text('a\n')
    path = tmp_path / 'm.yaml'
    path.write_text(yaml.safe_dump({'segmentation': {'names': names}, 'sets': {'s': {
        'reader': 'mask_folder', 'path': '.', 'splits': {'val': 'val.txt'},
        'masks': {name: name for name in names}}}}, sort_keys=False))
    return path


def test_thermal_set_is_white_hot_or_black_hot(manifest, tmp_path, paint_model):
    def pixel_accuracy(*options: str) -> float:
        code = main(['evaluate', '--model', str(paint_model()), '--config', str(manifest),
                     '--output', str(tmp_path / 'out'), '--bootstrap', '10', *options])
        assert code == 0
        values = json.loads((tmp_path / 'out' / 'metrics.json').read_text())
        assert values['black_hot'] == ('--black-hot' in options)
        [scores] = values['models'][0]['sets']
        return scores['segmentation']['pixel_accuracy']

    assert pixel_accuracy() == 1
    assert pixel_accuracy('--black-hot') == 0
    values = yaml.safe_load(manifest.read_text())
    values['sets']['s']['black_hot'] = True
    manifest.write_text(yaml.safe_dump(values, sort_keys=False))
    assert pixel_accuracy() == 0


def test_what_cannot_be_read_is_named_by_both(manifest, tmp_path, paint_model, capsys):
    cv2.imwrite(str(tmp_path / 'images' / 'a.png'), np.zeros((1, 32767), np.uint8))
    for arguments in (['data', 'check', str(manifest)],
                      ['evaluate', '--model', str(paint_model()), '--config', str(manifest)]):
        assert main(arguments) == 1
        assert 'a.png: its header gives 32767x1 pixels; the limits are' in capsys.readouterr().err
