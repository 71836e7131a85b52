"""The mean of models, of real networks and through the command."""

from dataclasses import replace

import pytest

from mtl_perception.errors import ConfigError, ModelError
from mtl_perception.labels import LabelSet
from mtl_perception.main import main
from mtl_perception.spec import ModelSpec

torch = pytest.importorskip('torch')

from mtl_perception.deployment.average import average, AverageConfig  # noqa: E402
from mtl_perception.models.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from mtl_perception.models.network import build_model  # noqa: E402

SPEC = ModelSpec(backbone='resnet18', detection=LabelSet.of('car'),
                 segmentation=LabelSet.of('road'), input_size=(96, 64))


@pytest.fixture(scope='module')
def models(tmp_path_factory):
    """Return two checkpoints of one network with different weights."""
    folder = tmp_path_factory.mktemp('average')
    paths = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        network = build_model(SPEC)
        for value in network.state_dict().values():
            if not value.is_floating_point():
                value.fill_(seed + 5)
        paths.append(folder / f'{seed}.pt')
        save_checkpoint(network, replace(SPEC, provenance={'seed': str(seed)}), paths[-1])
    return tuple(paths)


@pytest.mark.parametrize('shares, fractions', [
    ((), (0.5, 0.5)), ((1, 3), (0.25, 0.75)), ((0, 2), (0.0, 1.0))])
def test_weights_are_the_mean_of_those_of_the_models(models, shares, fractions, tmp_path):
    assert average(AverageConfig(models, tmp_path / 'mean.pt', shares)) == fractions
    first, second, mean = (
        load_checkpoint(path)[1].state_dict() for path in (*models, tmp_path / 'mean.pt'))
    for name, value in mean.items():
        if value.is_floating_point():
            expected = fractions[0] * first[name] + fractions[1] * second[name]
            assert torch.allclose(value, expected, rtol=1e-3, atol=1e-4), name
        else:
            assert torch.equal(value, second[name]), name
    assert any(not value.is_floating_point() for value in mean.values())
    spec, _ = load_checkpoint(tmp_path / 'mean.pt')
    assert spec.provenance == {
        'seed': '1', 'mean of': f'{fractions[0]:.3g} 0.pt, {fractions[1]:.3g} 1.pt'}


def test_command_prints_shares(models, tmp_path, capsys):
    output = tmp_path / 'mean.pt'
    assert main(['average', *map(str, models), '--shares', '1, 2', '-o', str(output)]) == 0
    assert capsys.readouterr().out == f'0.333 {models[0]}\n0.667 {models[1]}\n{output}\n'
    load_checkpoint(output)


@pytest.mark.parametrize('shares, message', [
    ('a,b', "--shares 'a,b' is not A,B,... in numbers"), ('1', '1 shares of 2 models'),
    ('0,0', 'not all of them 0'), ('-1,2', 'shares are numbers from 0 on'),
    ('nan,1', 'shares are numbers')])
def test_invalid_shares_are_one_line(models, shares, message, tmp_path, capsys):
    arguments = [*map(str, models), f'--shares={shares}', '-o', str(tmp_path / 'mean.pt')]
    assert main(['average', *arguments]) == 1
    error = capsys.readouterr().err
    assert message in error and error.count('\n') == 1
    assert not (tmp_path / 'mean.pt').exists()


def test_other_networks_have_no_mean(models, tmp_path):
    spec = replace(SPEC, detection=LabelSet.of('bus'))
    save_checkpoint(build_model(spec), spec, tmp_path / 'other.pt')
    with pytest.raises(ConfigError, match=r'0\.pt and .*other\.pt differ in network or classes'):
        average(AverageConfig((models[0], tmp_path / 'other.pt'), tmp_path / 'mean.pt'))
    with pytest.raises(ConfigError, match='two models or more'):
        AverageConfig(models[:1], tmp_path / 'mean.pt')
    with pytest.raises(ModelError, match='nowhere'):
        average(AverageConfig((models[0], tmp_path / 'nowhere.pt'), tmp_path / 'mean.pt'))
