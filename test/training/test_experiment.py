"""Experiments: a small real one, the file that describes one, and the table of scores."""

from dataclasses import replace
import json

import cv2
import numpy as np
import pytest

from mtl_perception.errors import ConfigError, DataError, ModelError
from mtl_perception.main import main

pytest.importorskip('torch')

from mtl_perception.training.experiment import (
    as_arguments,
    ExperimentConfig,
    FIGURE_FILE,
    run_command,
    run_experiment,
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


def run_here(command, arguments):
    """Run a command in this process, which has its modules imported."""
    assert main([command, *arguments]) == 0


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_experiment_trains_and_compares_and_reuses_what_is_complete(config, tmp_path):
    announced = []
    experiment = ExperimentConfig(config, tmp_path / 'out')
    result = run_experiment(experiment, announced.append, run_here)
    assert announced == [
        '1 of 2: detection, seed 3', '2 of 2: distilled, seed 3',
        'evaluation of detection, seed 3', 'evaluation of segmentation, seed 3']
    assert result.path.read_text() == result.tables
    lines = result.tables.splitlines()
    assert [line.split(' | ')[:2] for line in lines[2:5]] == [
        ['| detection', 'AP50'], ['| distilled', 'AP50'], ['| distilled', 'mIoU']]
    assert lines[6] == '| AP50, mean over the seeds | detection | distilled |'
    assert lines[8].startswith('| **synthetic** | ') and lines[8].count('(') == 1
    assert cv2.imread(str(tmp_path / 'out' / FIGURE_FILE)) is not None
    announced.clear()
    assert run_experiment(experiment, announced.append, run_here) == result and not announced
    # An evaluation of fewer networks than there are now is done again.
    metrics = tmp_path / 'out' / 'evaluation-detection-seed3' / 'metrics.json'
    values = json.loads(metrics.read_text())
    metrics.write_text(json.dumps({**values, 'models': values['models'][:1]}))
    assert run_experiment(experiment, announced.append, run_here) == result
    assert announced == ['evaluation of detection, seed 3']
    metrics.write_text(json.dumps({**values, 'bootstrap': {}}))
    with pytest.raises(DataError, match=r'metrics\.json'):
        run_experiment(experiment)


def test_commands_run_as_processes_and_their_failure_is_an_error(capfd):
    run_command('info', ['--help'])
    assert 'usage: mtl info' in capfd.readouterr().out
    with pytest.raises(ModelError, match='mtl info failed'):
        run_command('info', ['nowhere.onnx'])
    assert 'nowhere.onnx' in capfd.readouterr().err


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


def test_shipped_experiment_can_be_read(pytestconfig):
    experiment = load_experiment(pytestconfig.rootpath / 'config' / 'experiment.yaml')
    assert [one.name for one in experiment.networks] == [
        'detection', 'segmentation', 'both', 'both_distilled']
    assert json.dumps(experiment.evaluate)
