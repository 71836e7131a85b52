from pathlib import Path
import subprocess
import sys

import pytest

from mtl_perception.deployment import engines
from mtl_perception.inference.trt import flavour
from mtl_perception.inference.trt.gpu import Gpu
from mtl_perception.main import main

pytestmark = pytest.mark.skipif(
    flavour.installed()[:1] != (flavour.RTX,), reason='needs TensorRT for RTX')

CAPABILITY = ['--compute-capability', '8.6']


@pytest.fixture
def run(paint_model, tmp_path, capfd):
    """Return a function that runs the command; it returns exit code, output and error lines."""
    def run(*arguments, model=None):
        code = main(['build-engine', str(model or paint_model()), *map(str, arguments)])
        output, error = capfd.readouterr()
        return code, output.splitlines(), error.splitlines()

    return run


@pytest.mark.slow
def test_an_engine_for_each_capability_is_written_once(run, tmp_path):
    code, output, error = run('-o', tmp_path, *CAPABILITY, '12.0', '8.6')
    assert code == 0 and len(output) == 2 and len(error) == 4
    paths = [line.partition(': ')[0] for line in output]
    assert {Path(path).parent for path in paths} == {tmp_path / 'tensorrt'}
    assert '-sm86-b4-' in paths[0] and '-sm120-b4-' in paths[1]
    assert 'builds its engine for GPUs of compute capability 8.6' in error[0]
    code, output, error = run('-o', tmp_path, *CAPABILITY)
    assert (code, output, error) == (0, [f'{paths[0]}: exists already'], [])


def test_default_folder_is_the_users_cache(run, tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    _, output, _ = run(*CAPABILITY)
    assert output[0].startswith(str(tmp_path / 'mtl_perception' / 'tensorrt' / 'rtx-'))


def test_default_capability_is_that_of_this_gpu(run, tmp_path, monkeypatch):
    monkeypatch.setattr(
        engines, 'current_gpu', lambda: Gpu('NVIDIA RTX 4090', (8, 9)))
    code, output, _ = run('-o', tmp_path)
    assert code == 0 and '-sm89-b4-' in output[0]


def test_errors_are_printed_in_one_line(run, tmp_path, paint_proto):
    blocked = tmp_path / 'blocked'
    blocked.write_text('')
    broken = tmp_path / 'broken.onnx'
    broken.write_bytes(bytes(2000))
    checkpoint = tmp_path / 'model.pt'
    checkpoint.write_bytes(bytes(2000))
    for arguments, model, text in (
            (['-o', blocked, *CAPABILITY], None, 'the engine cannot be written (Not a directory)'),
            (['-o', '/proc', *CAPABILITY], None, '/proc/tensorrt: the engine cannot be written ('),
            (['--compute-capability', '8.7'], None, 'does not support compute capability'),
            (CAPABILITY, broken, 'not an ONNX file, or truncated'),
            (CAPABILITY, checkpoint, 'an engine is built from an .onnx file'),
            (CAPABILITY, tmp_path / 'none.onnx', 'none.onnx')):
        code, output, error = run(*arguments, model=model)
        assert (code, output, len(error)) == (1, [], 1), error
        assert error[0].startswith('mtl: error: ') and text in error[0]


def test_model_rejected_by_tensorrt_prints_one_line(run, tmp_path, paint_proto):
    import onnx
    model = paint_proto()
    model.graph.node[4].op_type = 'Frobnicate'
    onnx.save(model, tmp_path / 'unknown.onnx')
    code, output, error = run('-o', tmp_path, *CAPABILITY, model=tmp_path / 'unknown.onnx')
    assert (code, output, len(error)) == (1, [], 1)
    assert 'rejects it: operator Frobnicate' in error[0]


def test_missing_gpu_names_the_option_to_give(run, tmp_path, monkeypatch):
    from mtl_perception.errors import StartError

    def fail():
        raise StartError('no CUDA device (none)', 'install one')

    monkeypatch.setattr(engines, 'current_gpu', fail)
    code, _, error = run('-o', tmp_path)
    assert code == 1 and error == [
        'mtl: error: no CUDA device (none); give the GPU to build for with --compute-capability, '
        'such as 8.6']


def test_tensorrt_proper_rejects_other_capabilities(run, tmp_path, monkeypatch):
    from mtl_perception.inference.trt import library
    monkeypatch.setattr(library, 'FLAVOUR', flavour.Flavour('tensorrt', '10.3.0'))
    monkeypatch.setattr(engines, 'current_gpu', lambda: Gpu('Orin', (8, 7)))
    code, _, error = run('-o', tmp_path, *CAPABILITY)
    assert code == 1 and len(error) == 1
    assert 'builds for the GPU of this machine only, of compute capability 8.7' in error[0]


@pytest.mark.parametrize('text', ['86', '8.6.1', 'sm86', '8'])
def test_invalid_capability_is_rejected(text, capsys):
    with pytest.raises(SystemExit):
        main(['build-engine', 'model.onnx', '--compute-capability', text])
    assert f"'{text}' is not a compute capability such as 8.6" in capsys.readouterr().err


def test_help_loads_no_tensorrt():
    code = ('import sys\nfrom mtl_perception.main import main\n'
            'try:\n    main(["build-engine", "--help"])\n'
            'except SystemExit:\n    pass\n'
            'assert not {"tensorrt", "tensorrt_rtx", "torch", "cuda"} & set(sys.modules)')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert '--compute-capability' in done.stdout
