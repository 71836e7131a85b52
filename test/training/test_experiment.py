"""Experiments: a small real one, the file that describes one, and the table of scores."""

import argparse
from dataclasses import replace
import itertools
import json
from pathlib import Path
import threading

import cv2
import numpy as np
import pytest

from mtl_perception.commands import train
from mtl_perception.errors import ConfigError, DataError, ModelError
from mtl_perception.main import main

pytest.importorskip('torch')

from mtl_perception.training.experiment import (
    as_arguments,
    ExperimentConfig,
    FIGURE_FILE,
    run_command,
    run_experiment,
    Runner,
)
from mtl_perception.training.experiment_figure import figure_png
from mtl_perception.training.experiment_file import load_experiment, Network
from mtl_perception.training.experiment_scores import Difference, read_scores, Score
from mtl_perception.training.experiment_table import format_tables

EXPERIMENT = """
manifest: {manifest}
seeds: [3]
train: {{steps: 1, workers: 0, crop_size: 96, detection_images: 2, segmentation_images: 2,
        input_size: 96x96}}
networks:
  detection: {{tasks: detection}}
  distilled: {{detection_teacher: detection}}
evaluate: {{limit: 1, bootstrap: 20, images: 1}}
"""


@pytest.fixture
def config(manifest_path, tmp_path):
    path = tmp_path / 'experiment.yaml'
    path.write_text(EXPERIMENT.format(manifest=manifest_path))
    return path


def run_here(command, arguments, printed=None):
    """Run a command in this process, which has its modules imported."""
    assert main([command, *arguments]) == 0


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_experiment_trains_and_compares_and_reuses_what_is_complete(config, tmp_path):
    config.write_text(config.read_text().replace('seeds: [3]', 'seeds: [3, 4]'))
    announced, tables = [], []
    experiment = ExperimentConfig(config, tmp_path / 'out')

    def announce(text):
        announced.append(text)
        path = tmp_path / 'out' / 'experiment.md'
        tables.append(path.read_text() if path.is_file() else '')

    result = run_experiment(experiment, announce, run_here)
    assert announced == [
        f'{number} of 4: {name}, seed {seed}' if number else f'evaluation of {name}, seed {seed}'
        for seed in (3, 4) for number, name in (
            (2 * seed - 5, 'detection'), (2 * seed - 4, 'distilled'), (0, 'detection'),
            (0, 'segmentation'))]
    # The first seed's scores do not wait for those of the second.
    assert not any(tables[:4]) and all(tables[4:]) and tables[4] != result.tables
    assert result.path.read_text() == result.tables
    lines = result.tables.splitlines()
    assert [line.split(' | ')[:2] for line in lines[2:5]] == [
        ['| detection', 'AP50'], ['| distilled', 'AP50'], ['| distilled', 'mIoU']]
    assert lines[6] == '| AP50, mean over the seeds | detection | distilled |'
    assert lines[8].startswith('| **synthetic** | ') and lines[8].count('(') == 1
    assert cv2.imread(str(tmp_path / 'out' / FIGURE_FILE)) is not None
    announced.clear()
    assert run_experiment(experiment, announced.append, run_here) == result and not announced
    # An evaluation of other networks than there are now is done again.
    metrics = tmp_path / 'out' / 'evaluation-detection-seed3' / 'metrics.json'
    values = json.loads(metrics.read_text())
    metrics.write_text(json.dumps({**values, 'models': values['models'][::-1]}))
    assert run_experiment(experiment, announced.append, run_here) == result
    assert announced == ['evaluation of detection, seed 3']
    metrics.write_text(json.dumps({**values, 'bootstrap': {}}))
    with pytest.raises(DataError, match=r'metrics\.json'):
        run_experiment(experiment)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_run_that_used_its_minutes_is_complete(config, tmp_path):
    text = config.read_text().replace('steps: 1,', 'steps: 5000, minutes: 0.01,')
    config.write_text(text.replace('  distilled: {detection_teacher: detection}\n', ''))
    result = run_experiment(ExperimentConfig(config, tmp_path / 'out'), run=run_here)
    assert '| detection | AP50 |' in result.tables
    assert (tmp_path / 'out' / 'detection-seed3' / 'done').exists()


def test_networks_run_side_by_side_and_after_their_teachers(config, tmp_path, monkeypatch):
    monkeypatch.setattr(Runner, '_check_finished', lambda self, folder: None)
    text = config.read_text().replace('seeds: [3]', 'seeds: [3, 4]')
    config.write_text(text.replace('  distilled:', '  plain: {}\n  distilled:'))
    at_a_time = threading.Barrier(3, timeout=30)
    lock = threading.Lock()
    events = []

    def run(command, arguments, printed):
        name = Path(arguments[arguments.index('--output') + 1]).name
        with lock:
            events.append(('begin', name))
        if command == 'train' and name != 'plain-seed4':
            at_a_time.wait()  # Broken if fewer than three run at a time.
        assert printed == tmp_path / 'out' / name / 'printed.txt'
        printed.parent.mkdir(parents=True)
        with lock:
            events.append(('end', name))

    announced = []
    runner = Runner(load_experiment(config), tmp_path / 'out', None, announced.append, run, 3)
    runner.train()
    assert sorted(announced)[:2] == ['1 of 6: detection, seed 3', '2 of 6: plain, seed 3']
    for seed in (3, 4):
        assert events.index(('end', f'detection-seed{seed}')) \
            < events.index(('begin', f'distilled-seed{seed}'))


def test_run_that_fails_beside_others_is_an_error_and_no_more_are_started(config, tmp_path):
    config.write_text(config.read_text().replace('seeds: [3]', 'seeds: [3, 4, 5, 6]'))
    started = []

    def run(command, arguments, printed):
        started.append(command)
        raise ModelError('it failed')

    runner = Runner(load_experiment(config), tmp_path / 'out', None, print, run, 2)
    with pytest.raises(ModelError, match='it failed'):
        runner.train()
    assert set(started) == {'train'}
    with pytest.raises(ConfigError, match='--jobs 0'):
        ExperimentConfig(config, tmp_path, jobs=0)


def test_commands_run_as_processes_and_their_failure_is_an_error(capfd, tmp_path):
    run_command('info', ['--help'])
    assert 'usage: mtl info' in capfd.readouterr().out
    with pytest.raises(ModelError, match='mtl info failed'):
        run_command('info', ['nowhere.onnx'])
    assert 'nowhere.onnx' in capfd.readouterr().err
    printed = tmp_path / 'run' / 'printed.txt'
    with pytest.raises(ModelError, match=r'run/printed\.txt'):
        run_command('info', ['nowhere.onnx'], printed)
    assert 'nowhere.onnx' in printed.read_text() and not capfd.readouterr().err


def test_options_become_arguments():
    assert as_arguments({'crop_size': 64, 'freeze': ['a', 'b'], 'skip_bad': True, 'resume': False,
                         'limit': None}) == ['--crop-size', '64', '--freeze', 'a', 'b',
                                             '--skip-bad']


@pytest.mark.parametrize('old, new, message', [
    ('seeds: [3]', 'seeds: three', "line 3: seeds is a list of whole numbers, not 'three'"),
    ('seeds: [3]', 'seeds: []', 'line 3: seeds is a list of whole numbers'),
    ('distilled:', 'dis/tilled:',
     'line 8: networks.dis/tilled is not a valid name of a network: letters'),
    ('detection_teacher: detection', 'detection_teacher: nobody',
     'line 8: networks.distilled.detection_teacher names no network above'),
    ('detection_teacher: detection', 'detection_teacher: [1]', 'detection_teacher is of type str'),
    ('manifest:', 'nonsense: 1\nmanifest:', 'line 2: nonsense is not a known key')])
def test_invalid_experiment_is_rejected_by_key(old, new, message, config):
    config.write_text(config.read_text().replace(old, new, 1))
    with pytest.raises(ConfigError, match=message):
        load_experiment(config)


def test_experiment_without_networks_is_rejected(config):
    config.write_text('manifest: town.yaml\nnetworks: {}\n')
    with pytest.raises(ConfigError, match='line 2: networks names no network'):
        load_experiment(config)


def scores_of(data_set, label, alone, both):
    return [
        Score('detection', data_set, label, 'detection', {0: alone, 1: alone}, {}),
        Score('detection', data_set, label, 'both', {0: both, 1: both + 0.03}, {
            0: Difference(both - alone, -0.02, 0.04),
            1: Difference(both + 0.03 - alone, -0.03, 0.02)})]


def test_tables_have_means_and_intervals():
    text = format_tables([
        *scores_of('', '', 0.49, 0.5), *scores_of('streets', '', 0.4, 0.5),
        *scores_of('streets', 'car', float('nan'), float('nan'))])
    assert ('| detection | AP50 | 0.490 | 0.490, 0.490 | - | - |\n'
            '| both | AP50 | 0.515 | 0.500, 0.530 | +0.025 | +0.010 (-0.020 .. +0.040), '
            '+0.040 (-0.030 .. +0.020) |\n') in text
    assert ('| AP50, mean over the seeds | detection | both |\n|---|---|---|\n'
            '| **streets** | 0.400 | 0.515 (+0.115) |\n| streets: car | - | - (-) |\n') in text


def test_figure_has_a_panel_for_each_task_and_needs_no_scores():
    scores = [*scores_of('', '', 0.49, 0.5), *scores_of('streets', '', 0.4, 0.5)]
    one, two, none = (
        cv2.imdecode(np.frombuffer(figure_png(found), np.uint8), cv2.IMREAD_COLOR)
        for found in (
            scores, [*scores, *(replace(item, task='segmentation') for item in scores)], []))
    assert two.shape[1] == 2 * one.shape[1] and none is not None
    # The blue of the first network's intervals.
    assert (np.abs(one.astype(int) - (178, 114, 0)).max(axis=2) < 60).sum() > 200


def test_scores_by_set_and_class_are_those_of_the_evaluation(tmp_path):
    def row(label, mean, *values, name='ap50'):
        interval = [{'value': value, 'low': value, 'high': None} for value in values]
        return {'metric': {'task': 'detection', 'name': name, 'label': label, 'mean': mean},
                'models': interval, 'differences': interval[1:]}

    def rows(first):
        return [row('car', '', first, 0.2), row('', 'classes', 0, 0), row('vehicle', '', 0.3, 0.4),
                row('person', '', 0.5, 0.6), row('', 'groups', 0.7, 0.8),
                row('', 'groups', 0, 0, name='ap')]

    report = {'name': 'streets', 'groups': {'vehicle': ['car']},
              'detection': dict.fromkeys(('car', 'person', 'vehicle'))}
    (tmp_path / 'metrics.json').write_text(json.dumps({
        'models': [{'sets': [report]}] * 2,
        'bootstrap': {'overall': rows(None), 'sets': {'streets': rows(0.1)}}}))
    networks = [Network(name, {}, {}, (5,)) for name in ('one', 'two')]
    found = {(score.data_set, score.label, score.network): score
             for score in read_scores('detection', {5: (tmp_path, networks)})}
    assert {key: score.by_seed[5] for key, score in found.items()} == {
        ('', '', 'one'): 0.7, ('', '', 'two'): 0.8,
        ('streets', '', 'one'): 0.7, ('streets', '', 'two'): 0.8,
        ('streets', 'vehicle', 'one'): 0.3, ('streets', 'vehicle', 'two'): 0.4,
        ('streets', 'person', 'one'): 0.5, ('streets', 'person', 'two'): 0.6}
    assert not found['', '', 'one'].differences
    assert found['', '', 'two'].difference.value == 0.8


def test_shipped_experiments_train_the_same_networks_alike(pytestconfig):
    main, switches = (load_experiment(pytestconfig.rootpath / 'config' / name) for name in (
        'experiment.yaml', 'experiment_switches.yaml'))
    assert [one.name for one in main.networks] == [
        'detection', 'segmentation', 'both', 'both_distilled']
    assert main.evaluate == switches.evaluate and main.manifest == switches.manifest
    for one, other in zip(main.networks[:3], switches.networks, strict=False):
        assert (one.name, one.options) == (other.name, other.options)


def test_each_task_is_evaluated_on_the_sets_with_its_labels(pytestconfig, tmp_path):
    experiment = load_experiment(pytestconfig.rootpath / 'config' / 'experiment.yaml')
    evaluated = {}

    def run(command, arguments, printed):
        option = dict(itertools.pairwise(arguments))
        evaluated[Path(option['--output']).name] = option['--sets']

    Runner(experiment, tmp_path, None, print, run).evaluate([0])
    assert evaluated == {
        'evaluation-detection-seed0': 'cars_madison,cars_minsk_munich,thermal_hituav',
        'evaluation-segmentation-seed0': 'land_dronedeploy,roads_epfl,city_tiles'}
    runner = Runner(replace(experiment, evaluate={'split': 'val'}), tmp_path, None, print, run)
    assert runner.sets('detection')[-1] == runner.sets('segmentation')[-1] == 'synthetic'
    runner = Runner(
        replace(experiment, evaluate={'sets': 'city_tiles'}), tmp_path, None, print, run)
    assert not runner.compared('detection', 0) and runner.compared('segmentation', 0)


@pytest.mark.parametrize('name', ['experiment.yaml', 'experiment_switches.yaml'])
def test_shipped_experiments_have_options_of_training(name, pytestconfig):
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    for network in load_experiment(pytestconfig.rootpath / 'config' / name).networks:
        parser.parse_args(
            ['--config', 'm.yaml', '--output', 'out', *as_arguments(network.options)])
