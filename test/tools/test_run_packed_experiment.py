"""A whole packed experiment, tiny, with its real processes."""

import json
from pathlib import Path
import subprocess
import sys
import tarfile

import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('jinja2')

from tools import pack_experiment  # noqa: E402

ROOT = Path(__file__).parents[2]

MANIFEST = """
detection: {names: [car, large_vehicle]}
segmentation: {names: [building, road, vegetation, water, ground, vehicle]}
sets:
  town:
    reader: synthetic
    splits:
      train: {first_seed: 3, flights: 1, frames: 3}
      val: {first_seed: 4, flights: 1, frames: 1}
    options: {width: 160, height: 120}
    boxes: {classes: {car: car, large_vehicle: large_vehicle}, complete: [car, large_vehicle]}
    masks: {building: building, road: road, vegetation: vegetation, water: water, ground: ground,
            vehicle: vehicle}
"""

EXPERIMENT = """
manifest: town.yaml
seeds: [3]
train: {crop_size: 64, detection_images: 2, segmentation_images: 2, input_size: 64x64}
networks:
  detection: {tasks: detection}
  both: {detection_teacher: detection}
evaluate: {bootstrap: 20}
"""


@pytest.fixture
def packed(tmp_path):
    (tmp_path / 'town.yaml').write_text(MANIFEST)
    (tmp_path / 'experiment.yaml').write_text(EXPERIMENT)
    assert pack_experiment.main([
        str(tmp_path / 'experiment.yaml'), '--output', str(tmp_path / 'packed'),
        '--packages']) == 0
    return tmp_path / 'packed'


def test_pack_is_not_overwritten_and_has_a_limit(packed, tmp_path, capsys):
    arguments = [str(tmp_path / 'experiment.yaml'), '--packages', '--output']
    assert pack_experiment.main([*arguments, str(packed)]) == 1
    assert 'has a packed experiment' in capsys.readouterr().err
    assert pack_experiment.main([*arguments, str(tmp_path / 'other'), '--limit', '0.1']) == 1
    assert 'above 0.1 MiB' in capsys.readouterr().err


def test_weights_are_packed_in_half_without_the_classifier(tmp_path):
    torch.save({'a': torch.tensor([0.5]), 'large': torch.tensor([1e6]), 'fc.weight': torch.ones(9),
                'count': torch.tensor(3)}, tmp_path / 'all.pth')
    pack_experiment.save_half(tmp_path / 'all.pth', tmp_path / 'half.pth')
    found = torch.load(tmp_path / 'half.pth', weights_only=True)
    assert {name: value.dtype for name, value in found.items()} == {
        'a': torch.float16, 'large': torch.float32, 'count': torch.int64}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_packed_experiment_runs_within_its_time(packed, tmp_path):
    output = tmp_path / 'results'
    for seconds in (150, 540):  # What is not needed is left; a busy machine needs more.
        done = subprocess.run(
            [sys.executable, str(ROOT / 'tools' / 'run_packed_experiment.py'), str(packed),
             '--output', str(output), '--seconds', str(seconds), '--jobs', '1',
             '--steps', '2'],
            cwd=tmp_path, capture_output=True, encoding='utf-8', errors='replace', timeout=900,
            check=False)
        if 'are not enough' not in done.stderr and 'the time is over' not in done.stdout:
            break
    assert done.returncode == 0, done.stdout + done.stderr
    facts = json.loads((output / 'summary.json').read_text())
    assert sum(facts['spent_seconds'].values()) < seconds
    assert set(facts['runs']) == {'detection-seed3', 'both-seed3'}
    for run in facts['runs'].values():
        assert run['ended'] in ('finished', 'out of time') and 0 <= run['wait_share'] <= 1
        assert run['steps'].startswith(('1 of', '2 of'))
    table = (output / 'experiment.md').read_text()
    assert '| both | AP50 |' in table and '| both | mIoU |' in table
    with tarfile.open(output / 'models-1.tar') as archive:
        assert sorted(archive.getnames()) == ['both-seed3/model.pt', 'detection-seed3/model.pt']
    assert len(list(output.iterdir())) <= 8
