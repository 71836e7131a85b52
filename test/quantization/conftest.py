"""A small network that labels pixels, with one layer that INT8 does harm to."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mtl_perception.labels import LabelSet
from mtl_perception.spec import METADATA_KEY, ModelSpec

onnx = pytest.importorskip('onnx')

from onnx import helper, numpy_helper, TensorProto  # noqa: E402

SMALL = ModelSpec(architecture='small', segmentation=LabelSet.of('building', 'road', 'ground'),
                  input_size=(64, 32), provenance={'data': 'none'})


def conv_graph() -> onnx.ModelProto:
    """
    Return convolutions a, b, c and d, and an arg max.

    What `b` reads has a channel that is a thousand times as large as the others and of which it
    takes nothing: in INT8, the others become 0.
    """
    rng = np.random.default_rng(0)
    wide = rng.normal(0, 0.3, (8, 3, 4, 4)).astype(np.float32)
    wide[0] = 30
    blind = rng.normal(0, 0.3, (8, 8, 1, 1)).astype(np.float32)
    blind[:, 0] = 0
    weights = {'a': wide, 'b': blind, 'c': rng.normal(0, 0.3, (8, 1, 3, 3)).astype(np.float32),
               'd': rng.normal(0, 0.3, (3, 8, 1, 1)).astype(np.float32)}
    constants = {'scale': np.array(255, np.float32)}
    nodes = [helper.make_node('Cast', ['images'], ['pixels'], 'cast', to=TensorProto.FLOAT),
             helper.make_node('Transpose', ['pixels'], ['planes'], 'transpose', perm=[0, 3, 1, 2]),
             helper.make_node('Div', ['planes', 'scale'], ['value'], 'div')]
    attributes = {'a': {'strides': [4, 4]}, 'c': {'group': 8, 'pads': [1, 1, 1, 1]}}
    value = 'value'
    for name, weight in weights.items():
        constants |= {f'{name}.weight': weight,
                      f'{name}.bias': rng.normal(0, 0.1, len(weight)).astype(np.float32)}
        nodes.append(helper.make_node(
            'Conv', [value, f'{name}.weight', f'{name}.bias'], [f'{name}.out'], name,
            **attributes.get(name, {})))
        value = f'{name}.out'
        if name != 'd':
            nodes.append(helper.make_node('Relu', [value], [f'{name}.relu'], f'{name}.relu'))
            value = f'{name}.relu'
    nodes += [helper.make_node('ArgMax', [value], ['label'], 'arg_max', axis=1, keepdims=0),
              helper.make_node('Cast', ['label'], ['label_map'], 'cast_label',
                               to=TensorProto.UINT8)]
    width, height = SMALL.input_size
    graph = helper.make_graph(
        nodes, 'small',
        [helper.make_tensor_value_info('images', TensorProto.UINT8, ['batch', height, width, 3])],
        [helper.make_tensor_value_info('label_map', TensorProto.UINT8,
                                       ['batch', height // 4, width // 4])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=8)
    helper.set_model_props(model, {METADATA_KEY: SMALL.to_json()})
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.fixture
def small() -> onnx.ModelProto:
    return conv_graph()


@pytest.fixture
def small_path(tmp_path) -> Path:
    onnx.save(conv_graph(), tmp_path / 'small.onnx')
    return tmp_path / 'small.onnx'


@pytest.fixture
def inputs() -> np.ndarray:
    """Return images for the small network: uint8 [6, 32, 64, 3]."""
    return np.random.default_rng(1).integers(0, 256, (6, 32, 64, 3), np.uint8)


@pytest.fixture
def values_of() -> Callable[[onnx.ModelProto], dict[str, np.ndarray]]:
    """Return a function from a model to its constants by name."""
    return lambda model: {
        tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
