import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest

from mtl_perception.errors import StartError
from mtl_perception.inference import machine
from mtl_perception.inference.onnx_runtime import OnnxRuntime
from mtl_perception.inference.registry import open_runtime
from mtl_perception.inference.runtime import RuntimeOptions, silent


def _open(path, device='cpu', **options):
    return OnnxRuntime(path, device, RuntimeOptions(**options), silent)


def test_batch_outputs_follow_contract(paint_model):
    runtime = _open(paint_model(size=(96, 64), stride=4))
    images = np.zeros((3, 64, 96, 3), np.uint8)
    images[1, 8:20, 16:40] = (255, 0, 0)
    outputs = runtime.run(images)
    assert outputs.boxes.shape == (3, 6, 4) and outputs.boxes.dtype == np.float32
    assert outputs.scores.shape == (3, 6) and outputs.scores.dtype == np.float32
    assert outputs.classes.shape == (3, 6) and outputs.classes.dtype == np.int32
    assert outputs.label_map.shape == (3, 16, 24) and outputs.label_map.dtype == np.uint8
    assert outputs.boxes[1, 0].tolist() == [16, 8, 40, 20]
    assert outputs.scores[:, 0].tolist() == [0, 1, 0]
    assert (outputs.label_map[1, 2:5, 4:10] == 0).all() and (outputs.label_map[0] == 3).all()


def test_single_task_model_omits_other_outputs(paint_model):
    images = np.zeros((1, 64, 96, 3), np.uint8)
    detects = _open(paint_model(segmentation=False)).run(images)
    assert detects.label_map is None and detects.boxes is not None
    segments = _open(paint_model(detection=False)).run(images)
    assert (segments.boxes, segments.scores, segments.classes) == (None, None, None)
    assert segments.label_map is not None


def test_tasks_and_batch_sizes_agree_without_copy_of_single_image(paint_model):
    runtime = _open(paint_model())
    rng = np.random.default_rng(0)
    for _ in range(2):
        for count in (1, 3, 2):
            images = rng.integers(0, 256, (count, 64, 96, 3)).astype(np.uint8)
            whole = {name: values.copy() for name, values in vars(runtime.run(images)).items()}
            again = runtime.run(images)
            if count == 1:
                assert again.boxes.ctypes.data == runtime.run(images).boxes.ctypes.data
            assert all(np.array_equal(getattr(again, name), whole[name]) for name in whole)
            for task, names in (('detection', {'boxes', 'scores', 'classes'}),
                                ('segmentation', {'label_map'})):
                runtime.run(images, [task])
                runtime._graphs.wait()
                part = vars(runtime.run(images, {task}))
                assert {name for name in part if part[name] is not None} == names
                assert all(np.array_equal(part[name], whole[name]) for name in names)


def test_read_only_images_are_supported(paint_model):
    images = np.zeros((1, 64, 96, 3), np.uint8)
    images[0, 8:20, 16:40] = (255, 0, 0)
    images.setflags(write=False)
    runtime = _open(paint_model())
    for _ in range(2):
        assert runtime.run(images).boxes[0, 0].tolist() == [16, 8, 40, 20]


@pytest.mark.parametrize('images', [
    np.zeros((1, 64, 96, 3), np.float32), np.zeros((64, 96, 3), np.uint8),
    np.zeros((1, 96, 64, 3), np.uint8), np.zeros((1, 64, 96, 4), np.uint8)])
def test_images_of_other_shape_are_rejected(paint_model, images):
    with pytest.raises(ValueError, match='not uint8'):
        _open(paint_model()).run(images)


def test_invalid_graph_gives_one_line_error(paint_proto, tmp_path, capfd):
    model = paint_proto()
    model.graph.node[3].op_type = 'NoSuchOperator'
    path = tmp_path / 'spoilt.onnx'
    onnx.save(model, path)
    with pytest.raises(StartError, match='ONNX Runtime cannot load it') as caught:
        _open(path)
    assert '\n' not in str(caught.value)
    assert capfd.readouterr() == ('', '')


def test_runtime_prints_nothing(paint_model):
    code = ('import sys, numpy; from pathlib import Path; '
            'from mtl_perception.inference.registry import open_runtime, RuntimeOptions; '
            'open_runtime(Path(sys.argv[1]), RuntimeOptions("onnxruntime")).run('
            'numpy.zeros((1, 64, 96, 3), numpy.uint8))')
    done = subprocess.run([sys.executable, '-c', code, str(paint_model())], capture_output=True,
                          check=True, text=True)
    assert (done.stdout, done.stderr) == ('', '')


def test_cuda_by_name_requires_cuda_build(paint_model):
    if 'CUDAExecutionProvider' in onnxruntime.get_available_providers():
        pytest.skip('this ONNX Runtime has CUDA')
    with pytest.raises(StartError, match='onnxruntime-gpu'):
        open_runtime(paint_model(), RuntimeOptions('onnxruntime', 'cuda'))
    assert open_runtime(paint_model(), RuntimeOptions('onnxruntime')).device == 'cpu'


def test_precision_other_than_models_is_rejected(paint_model):
    with pytest.raises(StartError, match='computes in fp32 as the model, not in bf16'):
        _open(paint_model(), precision='bf16')
    assert _open(paint_model(), precision='fp32', threads=1).precision == 'fp32'


@pytest.mark.parametrize('opset', [5, 99])
def test_unknown_operator_set_is_rejected(paint_proto, tmp_path, opset):
    model = paint_proto()
    model.opset_import[0].version = opset
    path = tmp_path / 'opset.onnx'
    onnx.save(model, path)
    with pytest.raises(StartError, match=r'cannot load it .*; export it again'):
        _open(path)


def test_missing_driver_is_reported(monkeypatch):
    monkeypatch.setattr(onnxruntime, 'get_available_providers',
                        lambda: ['CUDAExecutionProvider', 'CPUExecutionProvider'])
    monkeypatch.setattr(machine, 'CUDA_DRIVER', 'libno_such_driver.so.1')
    facts = OnnxRuntime.facts()
    assert facts.devices == ('cpu',)
    assert 'no CUDA driver (libcuda.so.1)' in str(facts.missing['cuda'])
    # Any library that is there stands for the driver.
    monkeypatch.setattr(machine, 'CUDA_DRIVER', 'libc.so.6')
    assert OnnxRuntime.facts().devices == ('cuda', 'cpu')


def test_session_that_falls_back_to_cpu_is_rejected(paint_model, capfd):
    if 'CUDAExecutionProvider' in onnxruntime.get_available_providers():
        pytest.skip('this ONNX Runtime has CUDA')
    with pytest.raises(StartError, match='can use no GPU'):
        _open(paint_model(), 'cuda')
    assert capfd.readouterr() == ('', '')
