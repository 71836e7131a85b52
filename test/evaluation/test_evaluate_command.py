import argparse
from pathlib import Path

import pytest

from mtl_perception.errors import MtlError
from mtl_perception.evaluation import evaluate_command

CONFIG = Path(__file__).parents[2] / 'config' / 'aerial.yaml'


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    evaluate_command.add_arguments(parser)
    return parser.parse_args(arguments)


def test_defaults_are_the_pipelines() -> None:
    args = parse('--model', 'm.onnx', '--config', 'c.yaml')
    assert (args.tiles, args.nms_threshold, args.split) == ('off', 0.5, 'val')


@pytest.mark.parametrize(('arguments', 'problem'), [
    (['--config', 'no.yaml'], r'no\.yaml: cannot be read'),
    (['--config', str(CONFIG)], r'no\.onnx'),
    (['--config', str(CONFIG), '--json', 'nowhere/scores.json'], 'nowhere: no such folder'),
    (['--config', str(CONFIG), '--tiles', 'many'], 'many'),
    (['--config', str(CONFIG), '--nms-threshold', '2'], 'nms_threshold'),
])
def test_wrong_argument_is_one_error(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str],
        problem: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MtlError, match=problem):
        evaluate_command.run(parse('--model', 'no.onnx', *arguments))


def test_models_have_names_of_their_own() -> None:
    names = evaluate_command.model_names
    assert names(['a/x.onnx', 'b/y.pt']) == ['x.onnx', 'y.pt']
    assert names(['runs/a/model.pt', 'runs/b/model.pt']) == ['a/model.pt', 'b/model.pt']
    assert names(['m.pt', 'm.pt']) == ['m.pt', 'm.pt (2)']
