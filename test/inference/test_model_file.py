import os
import time

import pytest

from mtl_perception.errors import ModelError
from mtl_perception.inference.model_file import check_model_file


def _rejection(path) -> str:
    """Return the one line with which `path` is rejected, quickly."""
    start = time.perf_counter()
    with pytest.raises(ModelError) as caught:
        check_model_file(path)
    assert time.perf_counter() - start < 5
    text = str(caught.value)
    assert '\n' not in text and str(path) in text
    return text


def test_missing_file_and_directory_are_rejected(tmp_path):
    assert 'no such model file' in _rejection(tmp_path / 'none.onnx')
    folder = tmp_path / 'folder.onnx'
    folder.mkdir()
    assert 'a directory' in _rejection(folder)
    assert 'no such model file' in _rejection(tmp_path / ('long' * 30) / 'none.onnx')
    assert 'cannot be accessed' in _rejection(tmp_path / ('long' * 100))


def test_pipe_is_rejected_without_waiting(tmp_path):
    path = tmp_path / 'pipe.onnx'
    os.mkfifo(path)
    assert 'not a regular file' in _rejection(path)


def test_file_of_invalid_size_is_rejected(tmp_path):
    path = tmp_path / 'size.onnx'
    path.write_bytes(b'')
    assert 'file too small (0 bytes)' in _rejection(path)
    with path.open('wb') as file:
        file.truncate(3 << 30)  # sparse
    assert '3072 MiB' in _rejection(path)
