"""An experiment, small and real, and what it says of files that are not as they should be."""

import json

import pytest

from mtl_perception.errors import ConfigError, DataError
from mtl_perception.main import main

torch = pytest.importorskip('torch')

from mtl_perception.training.experiment import (  # noqa: E402
    as_arguments,
    collect,
    load_experiment,
    Runner,
    Score,
    table,
)

EXPERIMENT = """
manifest: {manifest}
seeds: [3]
train: {{steps: 1, workers: 0, crop_size: 128, detection_images: 2, segmentation_images: 2,
        input_size: 128x128}}
networks:
  detection: {{tasks: detection}}
  segmentation: {{tasks: segmentation}}
  taught: {{detection_teacher: detection, segmentation_teacher: segmentation}}
evaluate: {{limit: 1, bootstrap: 20, pictures: 1}}
"""


@pytest.fixture
def config(manifest_path, tmp_path):
    path = tmp_path / 'experiment.yaml'
    path.write_text(EXPERIMENT.format(manifest=manifest_path))
    return path


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_an_experiment_trains_compares_and_does_nothing_twice(config, tmp_path, capfd):
    output = tmp_path / 'out'
    command = ['experiment', str(config), '--output', str(output)]
    assert main(command) == 0
    text = (output / 'experiment.md').read_text()
    assert [line.split(' | ')[0] for line in text.splitlines()[2:]] == [
        '| detection', '| taught', '| segmentation', '| taught']
    capfd.readouterr()
    assert main(command) == 0
    assert 'seed' not in capfd.readouterr().out.replace('by seed', '')
    (output / 'evaluation-detection-seed3' / 'metrics.json').write_text('{}')
    with pytest.raises(DataError, match=r'metrics\.json'):
        list(collect(Runner(load_experiment(config), output, None)))


def test_options_become_arguments():
    assert as_arguments({'crop_size': 64, 'freeze': ['a', 'b'], 'skip_bad': True, 'resume': False,
                         'limit': None}) == ['--crop-size', '64', '--freeze', 'a', 'b',
                                             '--skip-bad']


@pytest.mark.parametrize('old, new, message', [
    ('seeds: [3]', 'seeds: three', 'seeds'),
    ('taught:', 'ta/ught:', 'letters'),
    ('detection_teacher: detection', 'detection_teacher: nobody', 'further up'),
    ('manifest:', 'nonsense: 1\nmanifest:', 'nonsense')])
def test_an_impossible_experiment_is_named_by_its_key(old, new, message, config):
    config.write_text(config.read_text().replace(old, new, 1))
    with pytest.raises(ConfigError, match=message):
        load_experiment(config)


def test_the_table_has_means_spreads_and_intervals():
    text = table([Score('both', 'detection', {0: 0.5, 1: 0.53}, {
        0: (0.01, -0.02, 0.04), 1: (-0.005, -0.03, 0.02)})])
    assert '| both | AP50 | 51.5 | 50.0, 53.0 | 3.0 | +1.0 (-2.0 .. +4.0), -0.5 (-3.0 .. +2.0) |' \
        in text


def test_the_experiment_in_the_box_can_be_read(pytestconfig):
    experiment = load_experiment(pytestconfig.rootpath / 'config' / 'experiment.yaml')
    assert [one.name for one in experiment.networks] == [
        'detection', 'segmentation', 'both', 'both_distilled']
    assert json.dumps(experiment.evaluate)
