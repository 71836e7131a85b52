"""Scores shifted to one threshold, in a real network and through the command."""

import json

import numpy as np
import pytest

from mtl_perception.errors import ConfigError, DataError
from mtl_perception.labels import LabelSet
from mtl_perception.main import main
from mtl_perception.spec import ModelSpec

torch = pytest.importorskip('torch')

from mtl_perception.deployment.calibrate import calibrate, CalibrateConfig  # noqa: E402
from mtl_perception.models.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from mtl_perception.models.network import build_model  # noqa: E402

SPEC = ModelSpec(backbone='resnet18', detection=LabelSet.of('car', 'bus', 'person', 'kite'),
                 segmentation=LabelSet.of('road'), input_size=(96, 64), finest_level=2)

BEST = {'car': (0.9, 500), 'vehicle': (0.5, 600), 'bus': (0.1, 100), 'person': (0.2, 50),
        'kite': (0.9, 3)}


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('calibrate') / 'model.pt'
    save_checkpoint(build_model(SPEC), SPEC, path)
    return path


@pytest.fixture
def metrics(tmp_path):
    path = tmp_path / 'metrics.json'
    path.write_text(json.dumps({'models': [{
        'sets': [{'groups': {'vehicle': ['car', 'bus']}}, {'groups': {}}],
        'overall': {'detection': {name: {'objects': objects, 'best': {'threshold': best}}
                                  for name, (best, objects) in BEST.items()}}}]}))
    return path


def scores_of(path):
    _, network = load_checkpoint(path)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        found = network(torch.randn((1, 3, 64, 96), generator=generator))
    return found.detection.class_logits.sigmoid()[0].numpy(), found


def test_best_thresholds_move_to_the_default_one(checkpoint, metrics, tmp_path):
    found = calibrate(CalibrateConfig(checkpoint, metrics, tmp_path / 'out.pt'))
    assert [(item.name, item.best, item.objects) for item in found] == [
        ('car', 0.5, 600), ('bus', 0.5, 600), ('person', 0.2, 50), ('kite', None, 3)]
    before, old = scores_of(checkpoint)
    after, new = scores_of(tmp_path / 'out.pt')
    for label, best in enumerate((0.5, 0.5, 0.2)):
        # What was above the best threshold is above 0.3 now, in every cell of every level.
        odds = (0.3 / 0.7) / (best / (1 - best))
        shifted = before[:, label] / (1 - before[:, label]) * odds
        assert after[:, label] == pytest.approx(shifted / (1 + shifted), abs=2e-3)
    assert np.array_equal(after[:, 3], before[:, 3])
    assert torch.equal(old.detection.boxes, new.detection.boxes)
    assert torch.equal(old.label_logits, new.label_logits)
    spec, _ = load_checkpoint(tmp_path / 'out.pt')
    assert spec.provenance['scores'] == (
        'best F1 moved to 0.3 from: car 0.500, bus 0.500, person 0.200')


def test_command_tells_what_was_shifted(checkpoint, metrics, tmp_path, capsys):
    output = tmp_path / 'out.pt'
    assert main(['calibrate', str(checkpoint), '--metrics', str(metrics), '-o', str(output),
                 '--threshold', '0.4']) == 0
    assert capsys.readouterr().out == (
        'car: best F1 at 0.500 (600 objects), now at 0.4\n'
        'bus: best F1 at 0.500 (600 objects), now at 0.4\n'
        'person: best F1 at 0.200 (50 objects), now at 0.4\n'
        f'kite: not shifted (3 objects)\n{output}\n')


def test_given_thresholds_shift_these_classes_alone(checkpoint, tmp_path, capsys):
    output = tmp_path / 'out.pt'
    assert main(['calibrate', str(checkpoint), '--best', 'bus=0.45', '-o', str(output)]) == 0
    assert capsys.readouterr().out == (
        'car: not shifted\nbus: best F1 at 0.450, now at 0.3\nperson: not shifted\n'
        f'kite: not shifted\n{output}\n')
    before, after = scores_of(checkpoint)[0], scores_of(output)[0]
    others = [0, 2, 3]
    assert np.array_equal(after[:, others], before[:, others])
    assert np.array_equal(after[:, 1] > 0.3, before[:, 1] > 0.45)
    spec, _ = load_checkpoint(output)
    assert spec.provenance['scores'] == 'best F1 moved to 0.3 from: bus 0.450'


@pytest.mark.parametrize('best, message', [
    ('lorry=0.4', "no class 'lorry'; it has car, bus, person, kite"),
    ('bus=1.5', 'threshold 1.5 of bus'), ('bus=high', 'not a number'), ('bus', 'NAME=VALUE'),
    ('bus=nan', 'threshold nan of bus')])
def test_invalid_thresholds_give_one_line(best, message, checkpoint, tmp_path, capsys):
    output = tmp_path / 'out.pt'
    assert main(['calibrate', str(checkpoint), '--best', best, '-o', str(output)]) == 1
    said = capsys.readouterr().err
    assert message in said and said.count('\n') == 1
    assert not output.exists()


@pytest.mark.parametrize('content, message', [
    ('nonsense', 'not a metrics.json'), ('[]', 'not a metrics.json'),
    ('{"models": [{"sets": [], "overall": {"detection": {}}}]}', 'no class of the model'),
    (None, 'No such file')])
def test_files_that_are_no_evaluation_are_rejected(content, message, checkpoint, tmp_path):
    path = tmp_path / 'metrics.json'
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=message):
        calibrate(CalibrateConfig(checkpoint, path, tmp_path / 'out.pt'))
    assert not (tmp_path / 'out.pt').exists()


@pytest.mark.parametrize('changes', [
    {'architecture': 'thesis', 'input_size': (300, 300), 'finest_level': 3},
    {'detection': None}])
def test_other_networks_are_rejected(changes, metrics, tmp_path):
    from dataclasses import replace
    spec = replace(SPEC, **changes)
    save_checkpoint(build_model(spec), spec, tmp_path / 'model.pt')
    with pytest.raises(ConfigError, match='only scores of lean networks'):
        calibrate(CalibrateConfig(tmp_path / 'model.pt', metrics, tmp_path / 'out.pt'))


def test_threshold_is_checked(tmp_path):
    with pytest.raises(ConfigError, match='threshold 1'):
        CalibrateConfig(tmp_path, tmp_path, tmp_path, threshold=1.0)
