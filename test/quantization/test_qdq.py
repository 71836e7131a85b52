import numpy as np
import onnx
from onnx import numpy_helper
import pytest

from mtl_perception.data.synthetic import SyntheticFlight
from mtl_perception.inference.letterbox import Canvas
from mtl_perception.inference.registry import open_runtime
from mtl_perception.inference.runtime import RuntimeOptions
from mtl_perception.inference.trt.parsing import check_parses
from mtl_perception.quantization.graph import layers_of
from mtl_perception.quantization.qdq import quantize, quantize_weights
from mtl_perception.quantization.ranges import measure_ranges
from mtl_perception.resources import model_path

RANGES = {'value': 1.0, 'a.relu': 1500.0, 'b.relu': 2.0, 'c.relu': 3.0}


def makers(model):
    return {name: node for node in model.graph.node for name in node.output}


def test_convolution_inputs_are_int8_and_outputs_float(small, values_of):
    model = quantize(small, RANGES)
    onnx.checker.check_model(model, full_check=True)
    made, constants = makers(model), values_of(model)
    for node in model.graph.node:
        if node.op_type in ('QuantizeLinear', 'DequantizeLinear'):
            zero = constants[node.input[2]]
            assert zero.dtype == np.int8 and not zero.any()
        if node.op_type == 'Conv':
            read, weights = (made[name] for name in node.input[:2])
            assert read.op_type == weights.op_type == 'DequantizeLinear'
            assert made[read.input[0]].op_type == 'QuantizeLinear'
            assert constants[weights.input[1]].shape == (len(constants[weights.input[0]]),)
            assert constants[node.input[2]].dtype == np.float32
    assert all(made[f'{name}.relu'].input[0] == f'{name}.out' for name in 'abc')
    assert constants['value.scale'] == np.float32(1 / 127)
    assert not {'a.weight', 'd.weight'} & {*constants}
    assert model.metadata_props == small.metadata_props
    assert small.graph.node[3].input[1] == 'a.weight'  # the given model is as it was


def test_weights_are_rounded_per_channel():
    weights = np.random.default_rng(0).normal(0, [[[[1]]], [[[100]]], [[[0]]]], (3, 4, 3, 3))
    scales, codes = quantize_weights(weights.astype(np.float32))
    assert codes.dtype == np.int8 and np.abs(codes[:2]).reshape(2, -1).max(axis=1).tolist() == [
        127, 127]
    assert (np.abs(codes * scales[:, None, None, None] - weights)
            <= 0.501 * scales[:, None, None, None]).all()
    assert scales.min() > 0 and not codes[2].any()


def test_excluded_layer_stays_in_fp32(small, values_of):
    model = quantize(small, RANGES, ['b', 'c'])
    assert [node.name for node in layers_of(model.graph)] == ['b', 'c']
    constants = values_of(model)
    assert {'b.weight', 'c.weight', 'value.scale', 'c.relu.scale'} <= {*constants}
    assert not {'a.weight', 'a.relu.scale', 'b.relu.scale'} & {*constants}


def test_result_agrees_with_quantize_static(small, small_path, tmp_path, values_of):
    """The same scales and codes as those of its `quantize_static`."""
    from onnxruntime.quantization import QuantFormat, quantize_static, QuantType

    class OneImage:
        def __init__(self):
            self.images = [{'images': np.zeros((1, 32, 64, 3), np.uint8)}]

        def get_next(self):
            return self.images.pop() if self.images else None

    quantize_static(
        small_path, tmp_path / 'theirs.onnx', OneImage(), quant_format=QuantFormat.QDQ,
        op_types_to_quantize=['Conv'], per_channel=True, activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8, nodes_to_exclude=['c'], extra_options={
            'QuantizeBias': False, 'ActivationSymmetric': True,
            'OpTypesToExcludeOutputQuantization': ['Conv'],
            'TensorQuantOverrides': {name: [{
                'scale': np.array(size / 127, np.float32), 'zero_point': np.array(0, np.int8)}]
                for name, size in RANGES.items()}})
    found = []
    for model in (onnx.load(tmp_path / 'theirs.onnx'), quantize(small, RANGES, ['c'])):
        made, constants = makers(model), values_of(model)
        for node in model.graph.node:
            if node.op_type == 'Conv':
                found.append((node.name, [constants[name] for source in node.input[:2]
                                          if source in made and made[source].op_type ==
                                          'DequantizeLinear' for name in made[source].input
                                          if name in constants]))
    assert len(found) == 8
    for (name, theirs), (same, ours) in zip(found[:4], found[4:], strict=True):
        assert name == same and len(theirs) == len(ours)
        for first, second in zip(theirs, ours, strict=True):
            np.testing.assert_allclose(first, second, rtol=1e-6)


@pytest.fixture(scope='module')
def images() -> np.ndarray:
    flight, canvas = SyntheticFlight(0, 640, 480, 300, 1.0), Canvas((640, 640))
    batch = canvas.batch(2)
    for slot in range(2):
        canvas.place(slot, flight[100 * slot].image, 'rgb')
    return batch


@pytest.fixture(scope='module')
def shipped(images, tmp_path_factory):
    """Return the shipped model in INT8, its first eleven convolutions in FP32."""
    model = onnx.load(model_path())
    first = [node.name for node in layers_of(model.graph)[:11]]
    path = tmp_path_factory.mktemp('int8') / 'model.onnx'
    onnx.save(quantize(model, measure_ranges(model, images), first), path)
    return path


@pytest.mark.slow
def test_towers_share_weights_over_levels(shipped):
    model = onnx.load(shipped)
    sizes = [(numpy_helper.to_array(tensor).nbytes, tensor.name)
             for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.INT8]
    # Of each of both towers: two layers for all of the four coarser levels.
    assert sum(size == 64 * 64 * 9 for size, name in sizes if name.startswith('getitem')) == 4
    assert shipped.stat().st_size < 3.1e6


@pytest.mark.slow
def test_runtimes_agree_on_int8_file(shipped, images):
    pytest.importorskip('openvino')
    whole = open_runtime(model_path(), RuntimeOptions('onnxruntime', 'cpu')).run(images)
    for runtime, precision, found in (('onnxruntime', 'auto', 'int8'),
                                      ('openvino', 'fp32', 'int8/fp32')):
        opened = open_runtime(shipped, RuntimeOptions(runtime, 'cpu', precision))
        assert opened.precision == found
        raw = opened.run(images)
        assert (raw.label_map == whole.label_map).mean() > 0.98
        assert np.abs(raw.scores - whole.scores)[:, :20].max() < 0.1


def test_tensorrt_parses_file(shipped):
    pytest.importorskip('tensorrt_rtx')
    assert check_parses(shipped).startswith('RTX')
