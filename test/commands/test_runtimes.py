import pytest

from mtl_perception.errors import StartError
from mtl_perception.inference.onnx_runtime import OnnxRuntime
from mtl_perception.inference.registry import ENTRIES
from mtl_perception.main import main


def test_prints_every_runtime_and_what_auto_takes(paint_model, capsys):
    path = paint_model()
    assert main(['runtimes', str(path), '--device', 'cpu']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ['runtime', 'version', 'reads', 'devices', 'precisions', 'missing']
    assert [line.split()[0] for line in lines[1:len(ENTRIES) + 1]] == list(ENTRIES)
    assert lines[-1].startswith(f'{path}: runtime ') and ' on cpu, ' in lines[-1]


def test_names_what_is_missing_with_its_remedy(paint_model, capsys, monkeypatch):
    def missing(name):
        raise StartError(f'{name} is not installed', f'install {name}')

    with monkeypatch.context() as patch:
        patch.setattr('mtl_perception.commands.runtimes.load', missing)
        assert main(['runtimes', str(paint_model()), '--runtime', 'onnxruntime']) == 0
    output = capsys.readouterr().out
    for name in ENTRIES:
        assert f'{name} is not installed; install {name}' in output
    assert ': runtime onnxruntime on ' in output.splitlines()[-1]


def test_times_what_starts(paint_model, capsys):
    assert main(['runtimes', str(paint_model()), '--runtime', 'onnxruntime', '--time', '5']) == 0
    header, *rows = capsys.readouterr().out.split('\n\n')[-1].splitlines()
    assert header.split('  ')[0] == 'runtime' and 'median ms' in header
    (cells,) = [row.split() for row in rows]
    assert cells[:3] == ['onnxruntime', 'cpu', 'fp32'] and float(cells[3]) > 0
    assert cells[-1] == '1.00'


@pytest.mark.parametrize('arguments', [
    ['nowhere.onnx'], ['--time', '-1'], ['--runtime', 'torch'], ['--threads', '-3']])
def test_what_cannot_be_is_one_line(arguments, capsys):
    assert main(['runtimes', *arguments]) == 1
    assert capsys.readouterr().err.count('\n') == 1


def test_a_runtime_that_does_not_start_ends_it_after_the_table(paint_model, capsys, monkeypatch):
    def fail(*_):
        raise StartError('it fell over', 'lift it')

    monkeypatch.setattr(OnnxRuntime, '__init__', fail)
    assert main(['runtimes', str(paint_model()), '--runtime', 'onnxruntime']) == 1
    captured = capsys.readouterr()
    assert 'onnxruntime' in captured.out
    assert captured.err.endswith('does not start: it fell over; lift it\n')
