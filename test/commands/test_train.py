"""`mtl train`: its options, what they become, and what the command prints."""

import argparse
from pathlib import Path
import re

import pytest

from mtl_perception.main import main

pytest.importorskip('torch')

from mtl_perception.commands import distill, experiment, train
from mtl_perception.models.backbones import NO_WEIGHTS
from mtl_perception.training.config import TrainConfig

MANIFEST = """
detection: {names: [car, large_vehicle]}
sets:
  town:
    reader: synthetic
    splits: {train: {first_seed: 3, flights: 1, frames: 1}}
    options: {width: 160, height: 128}
    boxes: {classes: {car: car, large_vehicle: large_vehicle}, complete: [car, large_vehicle]}
"""


def parser_of(command) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser


def config_of(*arguments: str) -> TrainConfig:
    return train.config_of(parser_of(train).parse_args(
        ['--config', 'town.yaml', '--output', 'out', *arguments]))


@pytest.fixture
def command(tmp_path) -> list[str]:
    """Return the arguments of a run of one step."""
    manifest = tmp_path / 'town.yaml'
    manifest.write_text(MANIFEST)
    return ['train', '--config', str(manifest), '--output', str(tmp_path / 'run'), '--tasks',
            'detection', '--steps', '1', '--detection-images', '2', '--crop-size', '64',
            '--workers', '0', '--input-size', '64x64']


@pytest.mark.parametrize('command', [train, distill, experiment])
def test_every_option_has_a_help_text_and_states_its_default(command):
    parser = parser_of(command)
    options = [action for action in parser._actions if action.dest != 'help']
    assert len(options) >= 3
    for action in options:
        text = ' '.join(parser._get_formatter()._expand_help(action).split())
        described, found, default = text.rpartition('(default: ')
        assert bool(found) != action.required, action.dest
        assert len((described or text).split()) >= 3, f'{action.dest}: {text}'
        if found and action.default not in (None, False, True, ()):
            assert default == f'{action.default})', action.dest


def test_without_options_all_values_are_the_defaults():
    assert config_of() == TrainConfig(Path('town.yaml'), Path('out'))


def test_every_option_reaches_the_configuration():
    config = config_of(
        '--data', 'd', '--skip-bad', '--resume', '--tasks', 'detection', '--from', 'm.pt',
        '--device', 'cpu', '--steps', '11', '--seed', '12', '--precision', 'bf16', '--save-every',
        '13', '--evaluate-every', '14', '--evaluate-images', '15', '--patience', '16',
        '--architecture', 'thesis', '--backbone', 'resnet18', '--input-size', '320x240',
        '--finest-level', '2', '--neck-channels', '72', '--fine-channels', '40', '--fine-towers',
        'one', '--towers', 'separable', '--tower-channels', '48', '--fcn-stride', '8',
        '--detection-images', '21', '--segmentation-images', '22', '--crop-size', '128',
        '--accumulate', '23', '--overfit', '24', '--workers', '25', '--cache-gib', '2.5',
        '--learning-rate', '0.25', '--backbone-rate', '0.125', '--weight-decay', '0.5',
        '--warmup-steps', '26', '--gradient-norm', '1.5', '--ema-decay', '0.75', '--freeze', 'a',
        'b', '--assignment', 'atss', '--balance', 'pcgrad', '--segmentation-weight', '3.5',
        '--box-weight', '4.5', '--distillation-weight', '5.5', '--drawn-labels-only',
        '--no-boxes-as-masks', '--like', 'a=b, c=d')
    text = repr(config)
    for value in (
            "data=PosixPath('d')", 'skip_bad=True', 'resume=True', "tasks='detection'",
            "start=PosixPath('m.pt')", "device='cpu'", 'steps=11', 'seed=12', "precision='bf16'",
            'save_every=13', 'evaluate_every=14', 'evaluate_images=15', 'patience=16',
            "architecture='thesis'", "backbone='resnet18'", 'input_size=(320, 240)',
            'finest_level=2', 'neck_channels=72', 'fine_channels=40', "fine_towers='one'",
            "towers='separable'", 'tower_channels=48', 'fcn_stride=8', 'detection_images=21',
            'segmentation_images=22', 'crop_size=128', 'accumulate=23', 'overfit=24', 'workers=25',
            'cache_gib=2.5', 'learning_rate=0.25', 'backbone_rate=0.125', 'weight_decay=0.5',
            'warmup_steps=26', 'gradient_norm=1.5', 'ema_decay=0.75', "freeze=('a', 'b')",
            "assignment='atss'", "weighting='pcgrad'", 'segmentation_weight=3.5', 'box_weight=4.5',
            'distillation_weight=5.5', 'drawn_labels_only=True', 'boxes_as_masks=False',
            "like={'a': 'b', 'c': 'd'}"):
        assert re.search(rf'[(, ]{re.escape(value)}[,)]', text), value
    assert config.weights == NO_WEIGHTS
    assert config_of('--weights', 'DEFAULT').weights == 'DEFAULT'


@pytest.mark.slow
@pytest.mark.parametrize('more, message', [
    (['--patience', '2'], 'evaluate_every'),
    (['--from', 'nowhere.pt'], 'nowhere.pt'),
    (['--resume'], 'no run to resume'),
    (['--like', 'car=bus'], 'give --from'),
    (['--like', 'car'], "--like 'car' is not NAME=VALUE"),
    (['--like', 'car=bus,car=van'], 'different names'),
    (['--input-size', '0x5'], 'input_size'),
    (['--input-size', 'big'], 'WIDTHxHEIGHT'),
    (['--learning-rate', '7'], 'learning_rate'),
    (['--device', 'tpu'], "device 'tpu'"),
    (['--backbone', 'nonesuch'], 'no backbone'),
    (['--weights', 'nowhere.pth'], 'nowhere.pth'),
    (['--fcn-stride', '8'], 'lean has no fcn_stride'),
    (['--precision', 'fp16', '--device', 'cpu'], 'precision fp16'),
    (['--detection-images', '1'], 'crop_size 64'),
    (['--accumulate', '2'], 'crop_size 64'),
    (['--evaluate-every', '1'], "split 'val'"),
    (['--architecture', 'thesis', '--backbone', 'resnet18', '--finest-level', '2'],
     'thesis has no finest_level'),
    (['--architecture', 'thesis', '--backbone', 'resnet18', '--assignment', 'atss'],
     'assignment atss'),
    (['--freeze', 'features.99'], 'features.99')])
def test_invalid_option_prints_one_line_error(more, message, command, capsys):
    assert main([*command, *more]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith('mtl: error: ') and message in error


@pytest.mark.slow
def test_command_prints_the_model_and_resumes(command, tmp_path, capsys):
    run = tmp_path / 'run'
    assert main(command) == 0
    printed = capsys.readouterr()
    assert printed.out == f'{run / "model.pt"}: the model after 1 steps\n'
    assert 'reading' in printed.err and 'training' in printed.err
    assert main(command) == 1
    assert '--resume continues that run' in capsys.readouterr().err
    assert main([*command, '--resume']) == 0
    assert 'resuming at step 1 of 1' in capsys.readouterr().out


@pytest.mark.slow
def test_broken_entries_are_reported_on_stderr(command, tmp_path, capsys):
    root = tmp_path / 'set'
    (root / 'images').mkdir(parents=True)
    import cv2
    import numpy as np
    for name in ('bad', 'good'):
        cv2.imwrite(str(root / 'images' / f'{name}.png'), np.full((64, 80, 3), 90, np.uint8))
    (root / 'annotations').mkdir()
    text = ('<annotation><object><name>{}</name><bndbox><xmin>9</xmin><ymin>9</ymin>'
            '<xmax>40</xmax><ymax>30</ymax></bndbox></object></annotation>')
    (root / 'annotations' / 'good.xml').write_text(text.format('car'))
    (root / 'annotations' / 'bad.xml').write_text(text.format('tank'))
    (root / 'train.txt').write_text('bad\ngood\n')
    (tmp_path / 'town.yaml').write_text("""
root: .
detection: {names: [car]}
sets:
  town:
    reader: voc
    path: set
    splits: {train: train.txt}
    boxes: {classes: {car: car}, complete: [car]}
""")
    assert main([*command, '--data', str(tmp_path)]) == 1
    assert 'tank' in capsys.readouterr().err
    assert main([*command, '--data', str(tmp_path), '--skip-bad']) == 0
    error = capsys.readouterr().err
    assert error.count('mtl: left out of town (1): ') == 1 and 'tank' in error
