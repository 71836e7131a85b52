"""Real training, short, on synthetic flights."""

import contextlib
import csv
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from mtl_perception.errors import ConfigError, ModelError

torch = pytest.importorskip('torch')
pytest.importorskip('onnx')

import cv2  # noqa: E402

from mtl_perception.inference.pipeline import Pipeline  # noqa: E402
from mtl_perception.inference.registry import open_runtime  # noqa: E402
from mtl_perception.main import main  # noqa: E402
from mtl_perception.models.checkpoint import load_checkpoint  # noqa: E402
from mtl_perception.training import loop  # noqa: E402
from mtl_perception.training.config import TeacherPaths  # noqa: E402
from mtl_perception.training.loss_weighting import (  # noqa: E402
    LOSS_WEIGHTINGS,
    ProjectedGradients,
)
from mtl_perception.training.losses import LossTerm  # noqa: E402
from mtl_perception.training.train import distill, train  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def test_losses_fall(small_config, read_losses, tmp_path):
    train(small_config(tmp_path, training={'steps': 100}, optimizer={'learning_rate': 4e-3},
                       batches={'crop_size': 96}))
    found = read_losses(tmp_path)
    # Single steps differ much: stretches are compared.
    for fall, loss in ((0.85, found['pixels']), (0.9, sum(found.values()))):
        assert loss[-10:].mean() < fall * loss[:10].mean()


def test_resumed_run_equals_uninterrupted_run_bitwise(
        manifest_path, small_config, read_losses, tmp_path):
    options = {'training': {'steps': 16, 'save_every': 8},
               'optimizer': {'learning_rate': 2e-4}, 'batches': {'workers': 1, 'crop_size': 96}}
    # Stopped after its first steps by Ctrl-C, as a user would, then resumed.
    parts = tmp_path / 'parts'
    process = subprocess.Popen(
        [sys.executable, '-m', 'mtl_perception.main', 'train', '--config', str(manifest_path),
         '--output', str(parts), '--steps', '16', '--save-every', '8', '--learning-rate', '2e-4',
         '--detection-images', '2', '--segmentation-images', '2', '--crop-size', '96',
         '--warmup-steps', '2', '--input-size', '128x128'],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, 'OMP_NUM_THREADS': '1'})
    log = parts / 'log.csv'
    deadline = time.monotonic() + 300
    while not (log.is_file() and len(log.read_text().splitlines()) > 3):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and '--resume' in printed
    done = len(read_losses(parts)['classes'])
    assert 3 <= done < 16
    announced = []
    train(small_config(parts, resume=True, **options), announced.append)
    assert announced == [f'resuming at step {done} of 16']

    train(small_config(tmp_path / 'whole', **options))
    for name, values in read_losses(tmp_path / 'whole').items():
        assert np.array_equal(read_losses(parts)[name], values), name
    (spec, first), (_, second) = (
        load_checkpoint(tmp_path / run / 'model.pt') for run in ('whole', 'parts'))
    assert spec.provenance['steps'].startswith('16 of 16')
    for key, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[key]), key


@pytest.mark.parametrize('task, other', [('detection', 'segmentation'),
                                         ('segmentation', 'detection')])
def test_single_task_is_trained_alone(task, other, trained):
    spec, _ = load_checkpoint(trained(tasks=task) / 'model.pt')
    assert getattr(spec, task) is not None and getattr(spec, other) is None


def test_run_from_a_model_keeps_its_weights_and_network_options(trained, small_config, tmp_path):
    model = trained(network={'finest_level': 2}) / 'model.pt'
    announced = []
    # At a negligible learning rate the result is what the run started from.
    train(small_config(tmp_path, start=model, tasks='detection', training={'steps': 1},
                       optimizer={'learning_rate': 1e-9}, network={'input_size': None}),
          announced.append)
    assert f'starting from {model}' in announced[0] and 'road' in announced[0]
    (_, first), (spec, second) = (load_checkpoint(path) for path in (model, tmp_path / 'model.pt'))
    assert spec.finest_level == 2 and spec.input_size == (128, 128)
    assert spec.provenance['from'] == 'model.pt'
    for name, value in second.named_parameters():
        assert torch.allclose(value, first.get_parameter(name), atol=1e-3), name


def test_frozen_modules_keep_their_weights(trained, small_config, tmp_path):
    model = trained(network={'finest_level': 2}) / 'model.pt'
    train(small_config(tmp_path, start=model, network={'towers': 'separable'}, optimizer={
        'freeze': ('backbone', 'pyramid.smooth.0', 'segmentation')}))
    (_, first), (spec, second) = (load_checkpoint(path) for path in (model, tmp_path / 'model.pt'))
    assert spec.towers == 'separable'
    before, after = first.state_dict(), second.state_dict()
    same = {name for name, value in after.items()
            if name in before and torch.equal(value, before[name])}
    frozen = {name for name in after
              if name.startswith(('backbone.', 'pyramid.smooth.0.', 'segmentation.'))}
    assert frozen <= same
    assert not any(name.startswith('pyramid.lateral.') and name.endswith('0.weight')
                   for name in same)


def test_everything_frozen_is_rejected(small_config, tmp_path):
    with pytest.raises(ConfigError, match='freeze: all weights are frozen'):
        train(small_config(tmp_path, optimizer={
            'freeze': ('backbone', 'pyramid', 'detection', 'segmentation')}))


def test_thesis_network_trains_exports_and_evaluates(
        manifest_path, small_config, read_losses, tmp_path):
    run = tmp_path / 'run'
    train(small_config(run, batches={'crop_size': 100}, network={
        'architecture': 'thesis', 'backbone': 'resnet18', 'input_size': (100, 132)}))
    assert all(np.isfinite(values).all() for values in read_losses(run).values())
    spec, network = load_checkpoint(run / 'model.pt')
    assert (spec.architecture, spec.backbone) == ('thesis', 'resnet18')
    assert spec.input_size == (100, 132)
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    assert cv2.imwrite(str(tmp_path / 'image.png'), image)
    # Export compares ONNX Runtime with torch and fails where they differ.
    onnx = tmp_path / 'model.onnx'
    assert main(['export', str(run / 'model.pt'), '-o', str(onnx), '--images', str(tmp_path),
                 '--label-stride', '1']) == 0
    count = len(network(torch.zeros(1, 3, 132, 100)).detection.default_boxes)
    for path, stride in ((onnx, 1), (run / 'model.pt', 4)):
        outputs = open_runtime(path).run(np.zeros((2, 132, 100, 3), np.uint8))
        assert outputs.label_map.shape == (2, 132 // stride, 100 // stride)
        assert outputs.boxes.shape == (2, min(1000, count), 4)
        found = Pipeline(path).run(image)
        assert found.label_map.shape == (90, 120) and found.detections.boxes.shape[1] == 4
    assert main(['evaluate', '--model', str(onnx), '--config', str(manifest_path),
                 '--json', str(tmp_path / 'scores.json')]) == 0
    assert (tmp_path / 'scores.json').is_file()


def test_best_model_is_kept_and_a_run_that_does_not_improve_ends(small_config, tmp_path):
    # At a negligible learning rate no evaluation is better than the first.
    result = train(small_config(
        tmp_path, training={'steps': 9, 'evaluate_every': 2, 'patience': 2},
        optimizer={'learning_rate': 1e-9}))
    assert (result.reason, result.steps, result.best_step) == ('no better', 6, 2)
    with (tmp_path / 'scores.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert [row['step'] for row in rows] == ['2', '4', '6']
    assert all(0 <= float(row['mIoU']) <= 1 for row in rows)
    assert load_checkpoint(tmp_path / 'best.pt')[0].provenance['seed'] == '0'
    assert list((tmp_path / 'tensorboard').glob('events*'))


def test_run_ends_when_its_minutes_are_used_and_those_before_a_resume_count(
        small_config, tmp_path):
    def limited(minutes, **others):
        return small_config(
            tmp_path, training={'steps': 5000, 'minutes': minutes, 'evaluate_every': 5000},
            batches={'crop_size': 96}, **others)

    result = train(limited(0.05))
    assert result.reason == 'out of time' and 1 <= result.steps < 5000
    assert result.best_step == result.steps  # The last step is scored, whatever ends the run.
    provenance = load_checkpoint(result.model)[0].provenance
    assert (provenance['ended'], provenance['minutes']) == ('out of time', '0.1 of 0.05')
    with (tmp_path / 'log.csv').open() as file:
        rates = [float(row['learning_rate']) for row in csv.DictReader(file)]
    assert rates[-1] < max(rates) / 2
    seconds = torch.load(tmp_path / 'last.pt', weights_only=True)['seconds']
    assert seconds >= 3

    again = train(limited(0.05, resume=True))
    assert (again.reason, again.steps) == ('out of time', result.steps)
    longer = train(limited(0.1, resume=True))
    assert longer.reason == 'out of time' and longer.steps > result.steps
    taken = torch.load(tmp_path / 'last.pt', weights_only=True)['seconds'] - seconds
    assert 6 - seconds <= taken < 6


def test_distillation_adds_the_losses_of_the_teachers(trained, small_config, tmp_path):
    teachers = TeacherPaths(*(trained(tasks=task) / 'model.pt'
                              for task in ('detection', 'segmentation')))
    distill(small_config(tmp_path, teachers=teachers))
    with (tmp_path / 'log.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert all(float(row['soft_pixels']) > 0 and float(row['soft_classes']) > 0 for row in rows)
    assert load_checkpoint(tmp_path / 'model.pt')[0].provenance['teachers'] == 'model.pt, model.pt'


def test_atss_changes_the_detection_losses_only(trained, read_losses):
    default, found = (read_losses(trained(**options)) for options in (
        {}, {'losses': {'assignment': 'atss'}}))
    # Same weights and images in the first step: without the switch all would be equal.
    assert found['pixels'][0] == pytest.approx(default['pixels'][0], rel=1e-4)
    assert found['boxes'][0] > 0
    for name in ('classes', 'boxes'):
        assert found[name][0] != pytest.approx(default[name][0], rel=1e-2), name


def test_pcgrad_computes_the_gradients(small_config, tmp_path, monkeypatch):
    # The losses of a few steps do not tell: the gradients need not conflict in them.
    calls = []

    class Counted(ProjectedGradients):
        def backward(self, losses, *others):
            calls.append(set(losses))
            super().backward(losses, *others)

    monkeypatch.setitem(LOSS_WEIGHTINGS, 'pcgrad', Counted)
    train(small_config(tmp_path, losses={'weighting': 'pcgrad'},
                       training={'precision': 'bf16', 'steps': 1}))
    assert calls == [{'detection', 'segmentation'}]


def test_accumulation_runs_each_step_in_parts(trained, read_losses):
    default, found = (read_losses(trained(**options)) for options in (
        {}, {'batches': {'accumulate': 2}}))
    # Batch norm sees half of the images at a time.
    assert found['pixels'][0] == pytest.approx(default['pixels'][0], rel=0.2)
    assert found['pixels'][0] != pytest.approx(default['pixels'][0], rel=1e-4)


def test_bf16_has_losses_near_those_of_fp32(trained, read_losses):
    default, found = (read_losses(trained(**options)) for options in (
        {}, {'training': {'precision': 'bf16'}}))
    assert found['pixels'][0] == pytest.approx(default['pixels'][0], rel=0.05)
    assert found['pixels'][0] != pytest.approx(default['pixels'][0], rel=1e-5)


def test_overfit_trains_on_the_first_images_only(trained):
    assert load_checkpoint(trained(batches={'overfit': 1}) / 'model.pt')[0].provenance[
        'data'] == 'synthetic (1)'


def test_learned_loss_weights_are_trained_and_resumed(
        small_config, tmp_path, monkeypatch):
    def weights(folder):
        return torch.load(tmp_path / folder / 'last.pt', weights_only=True)['weighting']

    options = {'losses': {'weighting': 'uncertainty'}}
    train(small_config(tmp_path / 'whole', **options))
    with monkeypatch.context() as patch:
        patch.setattr(loop, 'stop_requests', lambda: contextlib.nullcontext(lambda: True))
        assert train(small_config(tmp_path / 'parts', **options)).reason == 'stopped'
    first = weights('parts')
    assert set(first) == {'log_variance.detection', 'log_variance.segmentation'}
    train(small_config(tmp_path / 'parts', **options, resume=True))
    for name, value in weights('whole').items():
        assert weights('parts')[name] == value and value != first[name] != 0, name


def test_loss_that_is_not_finite_ends_the_run_with_its_step(small_config, tmp_path, monkeypatch):
    from mtl_perception.training import objective
    monkeypatch.setattr(objective, 'set_loss', lambda logits, *rest: LossTerm(
        logits.sum() * float('nan'), torch.ones(())))
    with pytest.raises(ModelError, match=r'step 0.*pixels nan'):
        train(small_config(tmp_path))
