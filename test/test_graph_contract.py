from dataclasses import replace

import numpy as np
import pytest

from mtl_perception.errors import ModelError
from mtl_perception.graph_contract import (
    check_batch,
    check_graph,
    input_of,
    output_names,
    outputs_of,
)
from mtl_perception.labels import LabelSet
from mtl_perception.spec import ModelSpec

SPEC = ModelSpec(detection=LabelSet.of('a', 'b'), segmentation=LabelSet.of('c', 'd'),
                 input_size=(98, 64), label_stride=4)


def _tensors(tensors, batch='N'):
    return {t.name: (t.dtype.name, [batch, *t.shape[1:]]) for t in tensors}


def test_names_follow_the_tasks():
    assert output_names(SPEC) == ('boxes', 'scores', 'classes', 'label_map')
    assert output_names(replace(SPEC, segmentation=None)) == ('boxes', 'scores', 'classes')
    assert output_names(replace(SPEC, detection=None)) == ('label_map',)


def test_sizes_follow_the_spec():
    assert str(input_of(SPEC)) == 'uint8 [batch, 64, 98, 3]'
    assert [str(tensor) for tensor in outputs_of(SPEC)] == [
        'float32 [batch, boxes, 4]', 'float32 [batch, boxes]', 'int32 [batch, boxes]',
        'uint8 [batch, 16, 25]']
    assert outputs_of(replace(SPEC, label_stride=1))[-1].shape == ('batch', 64, 98)


@pytest.mark.parametrize('batch', ['N', None, -1])
@pytest.mark.parametrize('boxes', ['K', None, -1, 77])
def test_dynamic_sizes_are_accepted(batch, boxes):
    outputs = {name: (dtype, [boxes if size == 'boxes' else size for size in shape])
               for name, (dtype, shape) in _tensors(outputs_of(SPEC), batch).items()}
    check_graph('m.onnx', SPEC, _tensors([input_of(SPEC)], batch), outputs)


@pytest.mark.parametrize(('name', 'dtype', 'shape'), [
    ('images', 'float32', ['N', 64, 98, 3]),
    ('images', 'uint8', [1, 64, 98, 3]),
    ('images', 'uint8', ['N', 98, 64, 3]),
    ('boxes', 'float16', ['N', 9, 4]),
    ('boxes', 'float32', ['N', 9, 5]),
    ('classes', 'int64', ['N', 9]),
    ('scores', 'bfloat16', ['N', 9]),
    ('scores', 'float32', ['N', 9, 1]),
    ('label_map', 'uint8', ['N', 64, 98])])
def test_other_tensor_gives_one_line_error(name, dtype, shape):
    inputs, outputs = _tensors([input_of(SPEC)]), _tensors(outputs_of(SPEC))
    (inputs if name == 'images' else outputs)[name] = dtype, shape
    with pytest.raises(ModelError, match=rf'm\.onnx: {name} is {dtype} \[.*its spec asks for') \
            as caught:
        check_graph('m.onnx', SPEC, inputs, outputs)
    assert '\n' not in str(caught.value)


def test_other_names_are_rejected():
    outputs = _tensors(outputs_of(SPEC))
    del outputs['classes']
    with pytest.raises(ModelError, match='outputs are boxes, label_map, scores; its spec asks'):
        check_graph('m.onnx', SPEC, _tensors([input_of(SPEC)]), outputs)
    with pytest.raises(ModelError, match='inputs are none; its spec asks for images'):
        check_graph('m.onnx', SPEC, {}, _tensors(outputs_of(SPEC)))


@pytest.mark.parametrize('images', [
    np.zeros((1, 64, 98, 3), np.float32), np.zeros((64, 98, 3), np.uint8),
    np.zeros((1, 98, 64, 3), np.uint8), np.zeros((0, 64, 98, 3), np.uint8)])
def test_invalid_batch_is_rejected(images):
    with pytest.raises(ValueError, match=r'not uint8 \[batch, 64, 98, 3\]'):
        check_batch(images, SPEC)
