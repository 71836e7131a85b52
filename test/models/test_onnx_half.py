"""The shipped model in half precision, as every runtime has it."""

from pathlib import Path

import numpy as np
import pytest

from mtl_perception.data.synthetic import SyntheticFlight
from mtl_perception.inference.letterbox import Canvas
from mtl_perception.inference.onnx_file import read_onnx_header
from mtl_perception.inference.registry import open_runtime
from mtl_perception.inference.runtime import RuntimeOptions
from mtl_perception.inference.trt.parsing import check_parses
from mtl_perception.resources import model_path

onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxscript')

from onnx import helper, numpy_helper, TensorProto  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

from mtl_perception.models.onnx_half import to_half  # noqa: E402

CPU = RuntimeOptions('onnxruntime', 'cpu')


@pytest.fixture(scope='module')
def model() -> onnx.ModelProto:
    model = onnx.load(model_path())
    to_half(model)
    return model


@pytest.fixture(scope='module')
def path(model, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('half') / 'model.onnx'
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path


@pytest.fixture(scope='module')
def images() -> np.ndarray:
    flight, canvas = SyntheticFlight(0, 640, 480, 300, 1.0), Canvas((640, 640))
    batch = canvas.batch(2)
    for slot in range(2):
        canvas.place(slot, flight[100 * slot].image, 'rgb')
    return batch


def test_file_has_half_size_and_fp16_precision(path):
    whole = read_onnx_header(Path(model_path()))
    header = read_onnx_header(path)
    assert (whole.precision, header.precision) == ('fp32', 'fp16')
    assert header.spec == whole.spec
    assert path.stat().st_size < 0.55 * Path(model_path()).stat().st_size


def test_convolutions_are_fp16_and_box_decoding_fp32(model):
    dtypes = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    dtypes |= {value.name: value.type.tensor_type.elem_type
               for value in (*model.graph.value_info, *model.graph.output)}
    convolutions = [node for node in model.graph.node if node.op_type == 'Conv']
    assert {dtypes[name] for node in convolutions for name in (*node.input[1:], *node.output)} \
        == {TensorProto.FLOAT16}
    makers = {name: node for node in model.graph.node for name in node.output}
    seen, ahead = [], ['boxes', 'scores']
    while ahead:
        node = makers[ahead.pop()]
        if node.op_type != 'Cast' and node.op_type != 'TopK':
            seen.append(node.op_type)
            ahead += [name for name in node.input
                      if name in makers and dtypes[name] in (TensorProto.FLOAT,
                                                             TensorProto.FLOAT16)]
            assert TensorProto.FLOAT16 not in [dtypes.get(name) for name in node.input]
    assert {'Exp', 'Mul', 'Sub', 'Add', 'GatherElements', 'Sigmoid'} <= {*seen}
    assert 'Conv' not in seen


@pytest.mark.parametrize(('runtime', 'precision'), [
    ('onnxruntime', 'fp32'), ('openvino', 'fp32'), ('openvino', 'bf16')])
def test_runtimes_report_computed_precision(path, images, runtime, precision):
    pytest.importorskip(runtime)
    from mtl_perception.inference.registry import load
    if precision not in load(runtime).facts().precisions:
        pytest.skip(f'this CPU does not compute in {precision}')
    whole = open_runtime(model_path(), CPU).run(images)
    opened = open_runtime(path, RuntimeOptions(runtime, 'cpu', precision))
    assert opened.precision == precision
    half = opened.run(images)
    for name in ('boxes', 'scores', 'classes', 'label_map'):
        ours, theirs = getattr(half, name), getattr(whole, name)
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    # BF16 has 8 bits of mantissa, FP16 has 11.
    least, score = (0.98, 0.1) if precision == 'bf16' else (0.99, 0.02)
    assert (half.label_map == whole.label_map).mean() > least
    assert np.abs(half.scores - whole.scores).max() < score


def test_tensorrt_parses_file(path):
    pytest.importorskip('tensorrt_rtx')
    assert check_parses(path).startswith('RTX')


def test_sums_of_squares_and_scales_of_a_resize_stay_in_fp32():
    """Values of 300 are no more than that in FP16, the sum of their squares is infinite."""
    constants = {'shared': np.array([1, 1, 2, 2], np.float32),
                 'weight': np.full((1, 4, 1, 1), 0.25, np.float32)}
    nodes = [helper.make_node('ReduceL2', ['x'], ['length'], 'length', axes=[1], keepdims=1),
             helper.make_node('Div', ['x', 'length'], ['unit'], 'unit'),
             helper.make_node('Resize', ['unit', '', 'shared'], ['large'], 'resize',
                              mode='nearest'),
             helper.make_node('Conv', ['large', 'weight'], ['mean'], 'conv'),
             helper.make_node('Resize', ['mean', '', 'shared'], ['y'], 'last', mode='nearest')]
    model = helper.make_model(helper.make_graph(
        nodes, 'g', [helper.make_tensor_value_info('x', TensorProto.FLOAT, [1, 4, 2, 2])],
        [helper.make_tensor_value_info('y', TensorProto.FLOAT, [1, 1, 8, 8])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()]),
        opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    to_half(model)
    onnx.checker.check_model(model, full_check=True)
    found, = ReferenceEvaluator(model).run(None, {'x': np.full((1, 4, 2, 2), 300, np.float32)})
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, 0.5, rtol=1e-3)
