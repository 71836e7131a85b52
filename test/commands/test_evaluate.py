import argparse
from pathlib import Path

import pytest

from mtl_perception.commands import evaluate
from mtl_perception.errors import MtlError
from mtl_perception.evaluation.run import model_names

CONFIG = Path(__file__).parents[2] / 'config' / 'aerial.yaml'


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    return parser.parse_args(arguments)


def test_default_options_are_those_of_the_pipeline() -> None:
    args = parse('--model', 'm.onnx', '--config', 'c.yaml')
    assert (args.tiles, args.nms_threshold, args.split) == ('off', 0.5, 'val')


@pytest.mark.parametrize(('arguments', 'problem'), [
    (['--config', 'no.yaml'], r'no\.yaml: cannot be read'),
    (['--config', str(CONFIG)], r'no\.onnx'),
    (['--config', str(CONFIG), '--json', 'nowhere/scores.json'], 'nowhere: no such folder'),
    (['--config', str(CONFIG), '--tiles', 'many'], 'many'),
    (['--config', str(CONFIG), '--nms-threshold', '2'], 'nms_threshold'),
])
def test_invalid_argument_is_rejected(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str],
        problem: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MtlError, match=problem):
        evaluate.run(parse('--model', 'no.onnx', *arguments))


def test_model_names_are_unique() -> None:
    names = model_names
    assert names(['a/x.onnx', 'b/y.pt']) == ['x.onnx', 'y.pt']
    assert names(['runs/a/model.pt', 'runs/b/model.pt']) == ['a/model.pt', 'b/model.pt']
    assert names(['m.pt', 'm.pt']) == ['m.pt', 'm.pt (2)']


def test_documented_old_option_is_a_hidden_alias(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse('--model', 'm.onnx', '--config', 'c.yaml').images == 3
    assert parse('--model', 'm.onnx', '--config', 'c.yaml', '--pictures', '5').images == 5
    with pytest.raises(SystemExit):
        parse('--help')
    assert '--pictures' not in capsys.readouterr().out
