import numpy as np
import onnx
from onnx import numpy_helper, TensorProto
import pytest

from mtl_perception.errors import ModelError
from mtl_perception.inference.onnx_file import read_onnx_header
from mtl_perception.spec import METADATA_KEY


def test_spec_agrees_with_onnx(paint_model):
    path = paint_model(size=(128, 96), stride=1)
    spec = read_onnx_header(path).spec
    metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert spec.to_json() == metadata[METADATA_KEY]
    assert spec.input_size == (128, 96)


@pytest.mark.parametrize(('dtype', 'name'), [
    (np.float32, 'fp32'), (np.float16, 'fp16'), (np.int8, 'int8')])
def test_precision_is_that_of_most_weights(paint_proto, tmp_path, dtype, name):
    model = paint_proto()
    model.graph.initializer.extend([
        numpy_helper.from_array(np.zeros(5000, dtype), 'weights'),
        numpy_helper.from_array(np.zeros(9000, np.int64), 'indices')])
    path = tmp_path / 'model.onnx'
    onnx.save(model, path)
    assert read_onnx_header(path).precision == name


def test_truncated_file_is_rejected(paint_proto, tmp_path):
    whole = paint_proto().SerializeToString()
    path = tmp_path / 'cut.onnx'
    for length in range(1, len(whole), 41):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError, match=r'cut\.onnx: .*(truncated|no metadata)'):
            read_onnx_header(path)


def test_other_file_types_are_rejected(tmp_path):
    path = tmp_path / 'other.onnx'
    rng = np.random.default_rng(0)
    for content in (b'\x89PNG\r\n\x1a\n' + bytes(4000), b'#!/bin/sh\n' * 99, bytes(4000),
                    *(rng.integers(0, 256, 4000, np.uint8).tobytes() for _ in range(50))):
        path.write_bytes(content)
        with pytest.raises(ModelError, match=r'other\.onnx: not an ONNX file, or truncated'):
            read_onnx_header(path)


def test_git_lfs_pointer_is_named_in_error(tmp_path):
    path = tmp_path / 'pointer.onnx'
    path.write_text('version https://git-lfs.github.com/spec/v1\noid sha256:' + 'a' * 64)
    with pytest.raises(ModelError, match='git lfs pull'):
        read_onnx_header(path)


def test_model_without_spec_is_rejected(paint_proto, tmp_path):
    model = paint_proto()
    del model.metadata_props[:]
    path = tmp_path / 'foreign.onnx'
    onnx.save(model, path)
    with pytest.raises(ModelError, match=r'foreign\.onnx: .* not a model of mtl_perception'):
        read_onnx_header(path)


@pytest.mark.parametrize('text', ['no JSON', '[]', '{"format": 99}', '{"format": 1, "x": 2}',
                                  '{"format": 1, "detection": {"names": [3]}}', '{"format": 1}'])
def test_broken_spec_is_rejected_with_path(paint_proto, tmp_path, text):
    model = paint_proto()
    model.metadata_props[0].value = text
    path = tmp_path / 'spec.onnx'
    onnx.save(model, path)
    with pytest.raises(ModelError, match=r'spec\.onnx: '):
        read_onnx_header(path)


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
    (_fix_batch, r'images is uint8 \[1, 64, 96, 3\]'),
    (_change_size, r'images is .*128.* uint8 \[batch, 64, 96, 3\]'),
    (_change_type, r'label_map is int64')])
def test_graph_that_contradicts_spec_is_rejected(paint_proto, tmp_path, spoil, reason):
    model = paint_proto()
    spoil(model)
    path = tmp_path / 'spoilt.onnx'
    onnx.save(model, path)
    with pytest.raises(ModelError, match=rf'spoilt\.onnx: .*{reason}') as caught:
        read_onnx_header(path)
    assert '\n' not in str(caught.value)


def test_external_weights_are_rejected(paint_proto, tmp_path):
    model = paint_proto()
    model.graph.initializer.append(
        numpy_helper.from_array(np.zeros(5000, np.float32), 'weights'))
    path = tmp_path / 'external.onnx'
    onnx.save(model, path, save_as_external_data=True, location='weights.bin',
              size_threshold=100)
    with pytest.raises(ModelError, match=r'external\.onnx: its weights are in another file'):
        read_onnx_header(path)
