"""`mtl distill`: its teachers."""

import argparse
from pathlib import Path

import pytest

from mtl_perception.main import main

pytest.importorskip('torch')

from mtl_perception.commands import distill
from mtl_perception.training import train


def test_without_a_teacher_it_prints_one_line_error(tmp_path, capsys):
    assert main(['distill', '--config', 'none.yaml', '--output', str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith('mtl: error: ') and error.count('\n') == 1
    assert 'needs a teacher' in error


def test_teachers_and_training_options_reach_the_configuration(monkeypatch):
    configs = []
    monkeypatch.setattr(train, 'distill', lambda config, *others, **named: configs.append(config))
    parser = argparse.ArgumentParser()
    distill.add_arguments(parser)
    distill.run(parser.parse_args([
        '--config', 'town.yaml', '--output', 'out', '--detection-teacher', 'd.pt',
        '--segmentation-teacher', 's.pt', '--distillation-weight', '0.5']))
    config, = configs
    assert config.teachers.given() == (Path('d.pt'), Path('s.pt'))
    assert config.training.losses.distillation_weight == 0.5
