"""`mtl experiment`: what it takes and what it prints."""

from pathlib import Path

import pytest

from mtl_perception.main import main

pytest.importorskip('torch')

from mtl_perception.training import experiment


def test_it_prints_the_table_and_its_file(monkeypatch, capsys):
    configs = []

    def run(config, announce):
        configs.append(config)
        announce('1 of 1: both, seed 0')
        return experiment.ExperimentResult('| table |', Path('out/experiment.md'))

    monkeypatch.setattr(experiment, 'run_experiment', run)
    assert main(['experiment', 'town.yaml', '--output', 'out', '--data', 'sets']) == 0
    assert configs == [
        experiment.ExperimentConfig(Path('town.yaml'), Path('out'), Path('sets'))]
    assert capsys.readouterr().out == (
        '1 of 1: both, seed 0\n\n| table |\nout/experiment.md\n')


def test_missing_file_prints_one_line_error(tmp_path, capsys):
    assert main(['experiment', str(tmp_path / 'none.yaml'), '--output', str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith('mtl: error: ') and 'none.yaml' in error and error.count('\n') == 1
