import subprocess
import sys

import numpy as np
import onnx
from onnx import TensorProto
import onnxruntime
import pytest

from mtl_perception.errors import ConfigError, ModelError
from mtl_perception.inference.onnx_runtime import OnnxRuntime


def test_outputs_for_a_batch(paint_model):
    runtime = OnnxRuntime(paint_model(size=(96, 64), stride=4))
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


def test_a_model_of_one_task_leaves_the_other_out(paint_model):
    images = np.zeros((1, 64, 96, 3), np.uint8)
    detects = OnnxRuntime(paint_model(segmentation=False)).run(images)
    assert detects.label_map is None and detects.boxes is not None
    segments = OnnxRuntime(paint_model(detection=False)).run(images)
    assert (segments.boxes, segments.scores, segments.classes) == (None, None, None)
    assert segments.label_map is not None


@pytest.mark.parametrize('images', [
    np.zeros((1, 64, 96, 3), np.float32), np.zeros((64, 96, 3), np.uint8),
    np.zeros((1, 96, 64, 3), np.uint8), np.zeros((1, 64, 96, 4), np.uint8)])
def test_images_of_another_shape_are_refused(paint_model, images):
    with pytest.raises(ValueError, match='not uint8'):
        OnnxRuntime(paint_model()).run(images)


def _rename_output(model):
    for node in model.graph.node:
        node.output[:] = ['labels' if name == 'label_map' else name for name in node.output]
    next(o for o in model.graph.output if o.name == 'label_map').name = 'labels'


def _drop_output(model):
    del model.graph.output[-1]


def _fix_batch(model):
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


def _change_size(model):
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 128
    model.graph.output[-1].type.tensor_type.shape.dim[1].dim_value = 32


def _change_type(model):
    cast = next(node for node in model.graph.node if node.output[0] == 'label_map')
    cast.attribute[0].i = TensorProto.INT64
    model.graph.output[-1].type.tensor_type.elem_type = TensorProto.INT64


@pytest.mark.parametrize(('spoil', 'reason'), [
    (_rename_output, 'outputs are boxes, classes, labels, scores'),
    (_drop_output, 'outputs are boxes, classes, scores; its spec asks for .*label_map'),
    (_fix_batch, r'images is tensor\(uint8\) \[1, 64, 96, 3\]'),
    (_change_size, r'images is .*128.* \[\'batch\', 64, 96, 3\]'),
    (_change_type, r'label_map is tensor\(int64\)')])
def test_a_graph_that_is_not_what_its_spec_says(paint_proto, tmp_path, spoil, reason):
    model = paint_proto()
    spoil(model)
    path = tmp_path / 'spoilt.onnx'
    onnx.save(model, path)
    with pytest.raises(ModelError, match=rf'spoilt\.onnx: .*{reason}') as caught:
        OnnxRuntime(path)
    assert '\n' not in str(caught.value)


def test_a_graph_that_cannot_be_loaded_is_one_line(paint_proto, tmp_path, capfd):
    model = paint_proto()
    model.graph.node[3].op_type = 'NoSuchOperator'
    path = tmp_path / 'spoilt.onnx'
    onnx.save(model, path)
    with pytest.raises(ModelError, match=r'spoilt\.onnx: ONNX Runtime cannot load it') as caught:
        OnnxRuntime(path)
    assert '\n' not in str(caught.value)
    assert capfd.readouterr() == ('', '')


def test_it_prints_nothing(paint_model):
    code = ('import sys, numpy; from pathlib import Path; '
            'from mtl_perception.inference.onnx_runtime import OnnxRuntime; '
            'OnnxRuntime(Path(sys.argv[1])).run(numpy.zeros((1, 64, 96, 3), numpy.uint8))')
    done = subprocess.run([sys.executable, '-c', code, str(paint_model())], capture_output=True,
                          check=True, text=True)
    assert (done.stdout, done.stderr) == ('', '')


def test_cuda_by_name_needs_cuda(paint_model):
    if 'CUDAExecutionProvider' in onnxruntime.get_available_providers():
        pytest.skip('this ONNX Runtime has CUDA')
    with pytest.raises(ConfigError, match='onnxruntime-gpu'):
        OnnxRuntime(paint_model(), device='cuda')
    assert OnnxRuntime(paint_model(), device='auto', threads=1).device == 'cpu'
