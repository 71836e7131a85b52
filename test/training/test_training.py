"""Real training, short: on synthetic flights, with the real command."""

import argparse
import csv
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from mtl_perception.errors import ModelError
from mtl_perception.main import main

torch = pytest.importorskip('torch')
pytest.importorskip('onnx')

import cv2  # noqa: E402

from mtl_perception.data.manifest import load_manifest  # noqa: E402
from mtl_perception.data.transforms import AugmentOptions  # noqa: E402
from mtl_perception.inference.pipeline import Pipeline  # noqa: E402
from mtl_perception.inference.registry import open_runtime  # noqa: E402
from mtl_perception.models.checkpoint import load_checkpoint  # noqa: E402
from mtl_perception.training import train_command  # noqa: E402
from mtl_perception.training.batches import Batches, draw_schedule, Pool  # noqa: E402
from mtl_perception.training.losses import LossTerm  # noqa: E402
from mtl_perception.training.options import TrainingOptions  # noqa: E402
from mtl_perception.training.state import learning_rate  # noqa: E402

pytestmark = pytest.mark.slow

COMMON = ['--input-size', '128x128', '--detection-images', '2', '--segmentation-images', '2',
          '--crop-size', '128', '--warmup-steps', '2']


def command(manifest_path: Path, output: Path, *more: str) -> list[str]:
    return ['train', '--config', str(manifest_path), '--output', str(output), *COMMON, *more]


def losses(output: Path) -> dict[str, np.ndarray]:
    rows = list(csv.DictReader((output / 'log.csv').open()))
    assert [int(row['step']) for row in rows] == list(range(1, len(rows) + 1))
    return {name: np.array([float(row[name]) for row in rows])
            for name in ('classes', 'boxes', 'pixels')}


@pytest.mark.timeout(600)
def test_losses_fall(manifest_path, tmp_path):
    assert main(command(manifest_path, tmp_path / 'run', '--steps', '100',
                        '--learning-rate', '4e-3')) == 0
    found = losses(tmp_path / 'run')
    # Single steps differ much: stretches are compared.
    for fall, loss in ((0.85, found['pixels']), (0.9, sum(found.values()))):
        assert loss[-10:].mean() < fall * loss[:10].mean()


def started(arguments: list[str]) -> subprocess.Popen:
    # One thread: sums that several share may come out differently each time.
    return subprocess.Popen(
        [sys.executable, '-m', 'mtl_perception.main', *arguments], stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True, env={**os.environ, 'OMP_NUM_THREADS': '1'})


@pytest.mark.timeout(600)
def test_a_resumed_run_equals_an_uninterrupted_one(manifest_path, tmp_path):
    steps = ['--steps', '20', '--save-every', '8', '--learning-rate', '2e-4']
    process = started(command(manifest_path, tmp_path / 'whole', *steps))
    process.communicate(timeout=300)
    assert process.returncode == 0
    whole = losses(tmp_path / 'whole')

    # Stopped after its first steps by Ctrl-C, as a person would, then resumed.
    arguments = command(manifest_path, tmp_path / 'parts', *steps)
    process = started(arguments)
    log = tmp_path / 'parts' / 'log.csv'
    deadline = time.monotonic() + 300
    while not (log.is_file() and len(log.read_text().splitlines()) > 3):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and '--resume' in said
    done = len(losses(tmp_path / 'parts')['classes'])
    assert 3 <= done < 20
    process = started([*arguments, '--resume'])
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0 and f'resuming at step {done} of 20' in said
    parts = losses(tmp_path / 'parts')
    for name in whole:
        assert np.allclose(parts[name], whole[name], rtol=1e-3, atol=1e-4), name
    (spec, first), (_, second) = (
        load_checkpoint(tmp_path / run / 'model.pt') for run in ('whole', 'parts'))
    assert spec.provenance['steps'].startswith('20 of 20')
    for key, value in first.state_dict().items():
        assert torch.allclose(value, second.state_dict()[key], rtol=1e-2, atol=1e-3), key


@pytest.mark.timeout(400)
@pytest.mark.parametrize('task, other', [('detection', 'segmentation'),
                                         ('segmentation', 'detection')])
def test_a_single_task_trains_alone(task, other, manifest_path, tmp_path):
    assert main(command(manifest_path, tmp_path / 'run', '--tasks', task, '--steps', '2',
                        '--workers', '0')) == 0
    spec, _ = load_checkpoint(tmp_path / 'run' / 'model.pt')
    assert getattr(spec, task) is not None and getattr(spec, other) is None


@pytest.mark.timeout(400)
def test_a_run_starts_from_a_model_with_its_network_options(manifest_path, tmp_path, capsys):
    short = ['--steps', '1', '--workers', '0']
    assert main(command(manifest_path, tmp_path / 'first', *short, '--finest-level', '2')) == 0
    model = tmp_path / 'first' / 'model.pt'
    # A rate of next to nothing: what comes out is what was started from.
    arguments = command(manifest_path, tmp_path / 'second', *short, '--from', str(model),
                        '--tasks', 'detection', '--learning-rate', '1e-9')
    capsys.readouterr()
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert f'starting from {model}' in said and 'road' in said
    (_, first), (spec, second) = (
        load_checkpoint(tmp_path / run / 'model.pt') for run in ('first', 'second'))
    assert spec.finest_level == 2 and spec.provenance['from'] == 'model.pt'
    for name, value in second.named_parameters():
        assert torch.allclose(value, first.get_parameter(name), atol=1e-3), name


@pytest.mark.timeout(400)
def test_parts_that_are_frozen_stay_as_they_are(manifest_path, tmp_path):
    short = ['--steps', '2', '--workers', '0']
    assert main(command(manifest_path, tmp_path / 'first', *short)) == 0
    model = tmp_path / 'first' / 'model.pt'
    assert main(command(
        manifest_path, tmp_path / 'second', *short, '--from', str(model), '--towers', 'separable',
        '--freeze', 'backbone', 'pyramid.smooth.0', 'segmentation')) == 0
    (_, first), (spec, second) = (
        load_checkpoint(tmp_path / run / 'model.pt') for run in ('first', 'second'))
    assert spec.towers == 'separable'
    before, after = first.state_dict(), second.state_dict()
    same = {name for name, value in after.items()
            if name in before and torch.equal(value, before[name])}
    frozen = {name for name in after
              if name.startswith(('backbone.', 'pyramid.smooth.0.', 'segmentation.'))}
    assert frozen <= same
    assert not any(name.startswith('pyramid.lateral.') and name.endswith('0.weight')
                   for name in same)


@pytest.mark.timeout(900)
def test_the_thesiss_network_trains_exports_and_runs_as_the_other_does(
        manifest_path, tmp_path):
    run = tmp_path / 'run'
    assert main(command(manifest_path, run, '--architecture', 'thesis', '--backbone', 'resnet18',
                        '--crop-size', '100', '--steps', '3', '--workers', '0',
                        '--input-size', '100x132')) == 0
    assert all(np.isfinite(values).all() for values in losses(run).values())
    spec, network = load_checkpoint(run / 'model.pt')
    assert (spec.architecture, spec.backbone) == ('thesis', 'resnet18')
    assert spec.input_size == (100, 132)
    picture = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    assert cv2.imwrite(str(tmp_path / 'picture.png'), picture)
    # Export compares ONNX Runtime with torch and fails where they differ.
    onnx = tmp_path / 'model.onnx'
    assert main(['export', str(run / 'model.pt'), '-o', str(onnx), '--images', str(tmp_path),
                 '--label-stride', '1']) == 0
    count = len(network(torch.zeros(1, 3, 132, 100)).detection.default_boxes)
    for path, stride in ((onnx, 1), (run / 'model.pt', 4)):
        outputs = open_runtime(path).run(np.zeros((2, 132, 100, 3), np.uint8))
        assert outputs.label_map.shape == (2, 132 // stride, 100 // stride)
        assert outputs.boxes.shape == (2, min(1000, count), 4)
        seen = Pipeline(path).run(picture)
        assert seen.label_map.shape == (90, 120) and seen.detections.boxes.shape[1] == 4
    assert main(['evaluate', '--model', str(onnx), '--config', str(manifest_path),
                 '--json', str(tmp_path / 'scores.json')]) == 0
    assert (tmp_path / 'scores.json').is_file()


@pytest.mark.timeout(400)
def test_atss_trains(manifest_path, tmp_path):
    assert main(command(manifest_path, tmp_path / 'run', '--assignment', 'atss', '--steps', '2',
                        '--workers', '0')) == 0
    assert (losses(tmp_path / 'run')['boxes'] > 0).all()


@pytest.mark.timeout(400)
def test_the_best_is_kept_and_a_run_that_gets_no_better_ends(manifest_path, tmp_path, capsys):
    # At a rate of next to nothing no evaluation is better than the first.
    assert main(command(manifest_path, tmp_path / 'run', '--steps', '9', '--workers', '0',
                        '--evaluate-every', '2', '--patience', '2', '--learning-rate', '1e-9',
                        )) == 0
    said = capsys.readouterr().out
    assert 'no better' in said and 'best.pt' in said
    rows = list(csv.DictReader((tmp_path / 'run' / 'scores.csv').open()))
    assert [row['step'] for row in rows] == ['2', '4', '6']
    assert all(0 <= float(row['mIoU']) <= 1 for row in rows)
    assert load_checkpoint(tmp_path / 'run' / 'best.pt')[0].provenance['seed'] == '0'
    assert list((tmp_path / 'run' / 'tensorboard').glob('events*'))


@pytest.mark.timeout(400)
def test_teachers_teach_a_student(manifest_path, tmp_path, capsys):
    short = ['--steps', '2', '--workers', '0']
    for task in ('detection', 'segmentation'):
        assert main(command(manifest_path, tmp_path / task, *short, '--tasks', task)) == 0
    teachers = [argument for task in ('detection', 'segmentation') for argument in (
        f'--{task}-teacher', str(tmp_path / task / 'model.pt'))]
    assert main(['distill', *teachers,
                 *command(manifest_path, tmp_path / 'student', *short)[1:]]) == 0
    rows = list(csv.DictReader((tmp_path / 'student' / 'log.csv').open()))
    assert all(float(row['soft_pixels']) > 0 and float(row['soft_classes']) > 0 for row in rows)
    assert load_checkpoint(tmp_path / 'student' / 'model.pt')[0].provenance['teachers']
    capsys.readouterr()
    assert main(['distill', *command(manifest_path, tmp_path / 'other', *short)[1:]]) == 1
    assert 'needs a teacher' in capsys.readouterr().err


@pytest.mark.timeout(400)
@pytest.mark.parametrize('more', [
    ['--balance', 'uncertainty', '--accumulate', '2'], ['--balance', 'pcgrad'],
    ['--precision', 'bf16'], ['--overfit', '1']])
def test_switches_train_and_resume(more, manifest_path, tmp_path):
    short = command(manifest_path, tmp_path / 'run', '--workers', '0', *more)
    assert main([*short, '--steps', '1']) == 0
    assert main([*short, '--steps', '2', '--resume']) == 0
    assert all(np.isfinite(values).all() for values in losses(tmp_path / 'run').values())


def test_a_loss_that_is_not_finite_is_named_with_its_step(manifest_path, tmp_path, monkeypatch):
    from mtl_perception.training import objective
    monkeypatch.setattr(objective, 'set_loss', lambda logits, *rest: LossTerm(
        logits.sum() * float('nan'), torch.ones(())))
    with pytest.raises(ModelError, match=r'step 0.*pixels nan'):
        run_in_this_process(command(manifest_path, tmp_path / 'run', '--steps', '2',
                                    '--workers', '0'))


def run_in_this_process(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    train_command.add_arguments(parser)
    train_command.run(parser.parse_args(arguments[1:]))


def test_overfitting_sees_few_pictures_and_always_the_same_crops(manifest_path):
    pool = Pool(load_manifest(manifest_path), 'train', 1 << 30, progress=False, limit=1)
    assert pool.sizes == [1]
    batches = Batches(pool, 3, 1, 1, AugmentOptions(crop_size=64), 0, same_crops=True)
    first = batches[0].images
    assert torch.equal(first[0], first[1]) and torch.equal(first, batches[2].images)


def test_a_batch_is_dealt_out_in_parts(manifest_path):
    pool = Pool(load_manifest(manifest_path), 'train', 1 << 30, progress=False)
    batch = Batches(pool, 1, 2, 3, AugmentOptions(crop_size=64), 0)[0]
    parts = batch.parts(2)
    assert [len(part.images) for part in parts] == [3, 2]
    assert torch.equal(parts[1].images, batch.images[1::2])
    assert torch.equal(parts[0].labels, batch.labels[::2])
    assert parts[1].truths == batch.truths[1::2] and len(batch.parts(9)) == 5


def test_the_default_rate_grows_with_the_root_of_the_batch():
    options = TrainingOptions()
    assert options.peak_rate(16) == pytest.approx(1e-3)
    assert options.peak_rate(64) == pytest.approx(2e-3)
    assert TrainingOptions(learning_rate=0.1).peak_rate(64) == 0.1


@pytest.mark.parametrize('more, message', [
    (['--patience', '2'], 'evaluate_every'),
    (['--from', 'nowhere.pt'], 'nowhere.pt'),
    (['--resume'], 'no run to resume'),
    (['--input-size', '0x5'], 'input_size'),
    (['--input-size', 'big'], 'WIDTHxHEIGHT'),
    (['--learning-rate', '7'], 'learning_rate'),
    (['--backbone', 'nonesuch'], 'no backbone'),
    (['--weights', 'nowhere.pth'], 'nowhere.pth'),
    (['--fcn-stride', '8'], 'lean has no fcn_stride'),
    (['--architecture', 'thesis', '--backbone', 'resnet18', '--finest-level', '2'],
     'thesis has no finest_level'),
    (['--architecture', 'thesis', '--backbone', 'resnet18', '--assignment', 'atss'],
     'assignment atss'),
    (['--freeze', 'features.99'], 'features.99')])
def test_impossible_options_are_one_line(more, message, manifest_path, tmp_path, capsys):
    assert main(command(manifest_path, tmp_path / 'run', *more)) == 1
    error = capsys.readouterr().err
    assert error.startswith('mtl: error: ') and error.count('\n') == 1 and message in error


def test_batches_follow_from_seed_and_step_alone(manifest_path):
    pool = Pool(load_manifest(manifest_path), 'train', 1 << 30, progress=False)
    first, again, other = (Batches(pool, 6, 2, 1, AugmentOptions(crop_size=64), seed)
                           for seed in (5, 5, 6))
    for step in (4, 1):
        a, b, c = first[step], again[step], other[step]
        assert torch.equal(a.images, b.images) and torch.equal(a.labels, b.labels)
        assert not torch.equal(a.images, c.images)
        assert a.images.shape == (3, 64, 64, 3) and a.labels.shape == (3, 64, 64)
        assert all(truth.labelled.all() for truth in a.truths)


def test_sets_are_drawn_by_weight_and_their_pictures_in_passes():
    schedule = draw_schedule([3, 1, 0], [10, 5, 7], 4000, np.random.default_rng(0))
    share = np.bincount(schedule[:, 0], minlength=3) / 4000
    assert share[0] == pytest.approx(0.75, abs=0.03) and share[2] == 0
    first = schedule[schedule[:, 0] == 0, 1]
    for start in range(0, 100, 10):
        assert sorted(first[start:start + 10]) == list(range(10))


def test_learning_rate_warms_up_and_falls_to_a_hundredth():
    options = TrainingOptions(steps=100, warmup_steps=10, learning_rate=0.1)
    rates = [learning_rate(step, options) for step in range(100)]
    assert rates[0] == pytest.approx(0.01) and rates[9] == pytest.approx(0.1)
    assert rates[55] == pytest.approx(0.1 * 0.505)
    assert rates[99] == pytest.approx(0.001, rel=0.1)
    assert (np.diff(rates[10:]) < 0).all()
