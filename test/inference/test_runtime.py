import os
import sys
import time

import pytest

from mtl_perception.errors import ConfigError, ModelError
from mtl_perception.inference.runtime import open_runtime, usable_cores


def _refusal(path, **arguments) -> str:
    """Return the one line with which `path` is refused, quickly."""
    start = time.perf_counter()
    with pytest.raises(ModelError) as caught:
        open_runtime(path, **arguments)
    assert time.perf_counter() - start < 5
    text = str(caught.value)
    assert '\n' not in text and str(path) in text
    return text


def test_opens_a_model_by_its_suffix(paint_model):
    runtime = open_runtime(str(paint_model()))
    assert (runtime.name, runtime.device, runtime.precision) == ('onnxruntime', 'cpu', 'fp32')
    assert runtime.spec.architecture == 'paint'


def test_a_missing_file_and_a_directory(tmp_path):
    assert 'no such model file' in _refusal(tmp_path / 'none.onnx')
    folder = tmp_path / 'folder.onnx'
    folder.mkdir()
    assert 'a directory' in _refusal(folder)
    assert 'no such model file' in _refusal(tmp_path / ('long' * 30) / 'none.onnx')
    assert 'cannot be looked at' in _refusal(tmp_path / ('long' * 100))


def test_a_pipe_is_not_waited_for(tmp_path):
    path = tmp_path / 'pipe.onnx'
    os.mkfifo(path)
    assert 'not a regular file' in _refusal(path)


def test_a_file_too_small_or_too_large(tmp_path):
    path = tmp_path / 'size.onnx'
    path.write_bytes(b'')
    assert 'only 0 bytes' in _refusal(path)
    with path.open('wb') as file:
        file.truncate(3 << 30)  # sparse
    assert '3072 MiB' in _refusal(path)


def test_a_suffix_that_nothing_reads(tmp_path):
    path = tmp_path / 'model.tflite'
    path.write_bytes(bytes(1000))
    assert '.tflite' in _refusal(path) and '.onnx or .pt' in _refusal(path)
    bare = tmp_path / 'model'
    bare.write_bytes(bytes(1000))
    assert 'without suffix' in _refusal(bare)


def test_a_runtime_that_does_not_read_the_suffix(paint_model):
    assert 'the runtime torch reads .pt files' in _refusal(paint_model(), runtime='torch')


def test_a_runtime_whose_package_is_missing(paint_model, tmp_path, monkeypatch):
    for name in ('onnx_runtime', 'torch_runtime'):
        monkeypatch.delitem(sys.modules, f'mtl_perception.inference.{name}', raising=False)
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    assert 'pip install onnxruntime' in _refusal(paint_model())
    monkeypatch.setitem(sys.modules, 'torch', None)
    checkpoint = tmp_path / 'model.pt'
    checkpoint.write_bytes(bytes(1000))
    assert 'needs torch' in _refusal(checkpoint)


def test_impossible_choices_name_the_possible_ones(paint_model):
    with pytest.raises(ConfigError, match='auto, onnxruntime, torch'):
        open_runtime(paint_model(), runtime='caffe')
    with pytest.raises(ConfigError, match='auto, cpu, cuda'):
        open_runtime(paint_model(), device='npu')
    for threads in (-1, 1000, True, 1.5):
        with pytest.raises(ConfigError, match=r'0\.\.256'):
            open_runtime(paint_model(), threads=threads)


def test_usable_cores_are_those_of_this_process():
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
