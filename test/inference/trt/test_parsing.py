import subprocess
import sys

import numpy as np
import onnx
from onnx import numpy_helper, TensorProto
import pytest

from mtl_perception.errors import ModelError, StartError
from mtl_perception.inference.onnx_file import read_onnx_header
from mtl_perception.inference.trt import flavour, parsing
from mtl_perception.inference.trt.parsing import check_parses, found, parse
from mtl_perception.resources import model_path


def save(model, path):
    onnx.save(model, path)
    return path


def test_valid_model_is_parsed_without_output(paint_model, library, capfd):
    for arguments in ({}, {'detection': False}, {'segmentation': False}):
        assert check_parses(paint_model(**arguments)) == str(library.FLAVOUR)
    assert capfd.readouterr() == ('', '')


def test_shipped_model_is_parsed(library):
    assert check_parses(model_path()) == str(library.FLAVOUR)


def test_network_is_strongly_typed_in_the_files_formats(paint_model, paint_proto, library,
                                                        tmp_path):
    trt = library.trt
    network = parse(library.new_builder(), paint_model().read_bytes(),
                    read_onnx_header(paint_model()).spec, paint_model())
    if not library.FLAVOUR.is_rtx:  # which has no other
        assert network.get_flag(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    model = paint_proto(detection=False)
    for node in model.graph.node:
        if node.op_type == 'Cast' and node.output[0] == 'pixels':
            node.attribute[0].i = TensorProto.FLOAT16
    for constant in model.graph.initializer:
        values = numpy_helper.to_array(constant)
        if values.dtype == np.float32:
            constant.CopyFrom(numpy_helper.from_array(values.astype(np.float16), constant.name))
    path = save(model, tmp_path / 'half.onnx')
    network = parse(
        library.new_builder(), path.read_bytes(), read_onnx_header(path).spec, path)
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    pooled = [layer.get_output(0).dtype for layer in layers if layer.type == trt.LayerType.POOLING]
    assert pooled == [trt.DataType.HALF]


def test_parser_error_names_operator_and_node(paint_proto, library, tmp_path, capfd):
    model = paint_proto(segmentation=False)
    # As graphs of PyTorch begin that transpose before they cast: UINT8 is for casts alone.
    cast, transpose, *rest = model.graph.node
    transpose.name = 'permute'
    transpose.input[0], transpose.output[0] = 'images', 'permuted'
    cast.input[0], cast.output[0] = 'permuted', 'planes'
    nodes = [transpose, cast, *(node for node in rest)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    path = save(model, tmp_path / 'late.onnx')
    with pytest.raises(StartError) as caught:
        check_parses(path)
    text = str(caught.value)
    assert text.startswith(f'TensorRT {library.FLAVOUR} rejects it: operator Transpose node '
                           f'permute: ')
    assert 'UInt8' in text and '\n' not in text and 'checkMacros' not in text
    assert len(text) < 500
    assert capfd.readouterr() == ('', '')


def test_unknown_operator_and_old_opset_are_rejected(paint_proto, library, tmp_path):
    model = paint_proto()
    model.graph.node[4].op_type = 'Frobnicate'
    with pytest.raises(StartError, match='rejects it: operator Frobnicate node number 4: '):
        check_parses(save(model, tmp_path / 'unknown.onnx'))
    model = paint_proto()
    model.opset_import[0].version = 3
    with pytest.raises(StartError, match=r'rejects it: .*opset'):
        check_parses(save(model, tmp_path / 'old.onnx'))


def test_invalid_file_is_rejected_before_tensorrt(paint_proto, tmp_path, monkeypatch):
    monkeypatch.setattr(parsing, 'installed', lambda: pytest.fail('TensorRT was asked'))
    model = paint_proto()
    model.graph.output[0].name = 'corners'
    model.graph.node[-1].output[0] = 'label_map'
    with pytest.raises(ModelError, match=r'outputs are classes, corners, .*; its spec asks for'):
        check_parses(save(model, tmp_path / 'other.onnx'))
    model = paint_proto()
    onnx.save(model, tmp_path / 'outside.onnx', save_as_external_data=True, size_threshold=0,
              location='weights.bin')
    with pytest.raises(ModelError, match='weights are in another file'):
        check_parses(tmp_path / 'outside.onnx')


def test_network_that_contradicts_spec_is_rejected(paint_model, library):
    other = read_onnx_header(paint_model(size=(64, 64))).spec
    with pytest.raises(ModelError, match=r'images is uint8 \[\?, 64, 96, 3\]; its spec asks for'):
        parse(library.new_builder(), paint_model().read_bytes(), other, paint_model())


def test_number_formats_have_numpy_names(library):
    kinds = library.trt.DataType
    assert found([('a', kinds.FLOAT, (-1, 2)), ('b', kinds.UINT8, (3,)), ('c', kinds.INT32, ()),
                  ('d', kinds.FP8, (1,))]) == {
        'a': ('float32', (-1, 2)), 'b': ('uint8', (3,)), 'c': ('int32', ()), 'd': ('FP8', (1,))}


def test_missing_tensorrt_gives_no_result(paint_model, monkeypatch):
    for name in flavour.MODULES:
        monkeypatch.setitem(sys.modules, name, None)
    assert check_parses(paint_model()) is None


def test_broken_tensorrt_gives_no_result(paint_model, library, monkeypatch):
    def fail(log):
        raise TypeError('pybind11::init(): factory function returned nullptr')

    monkeypatch.setattr(library.trt, 'Builder', fail)
    with pytest.raises(StartError, match='does not start'):
        library.new_builder()
    assert check_parses(paint_model()) is None


def test_import_does_not_load_tensorrt():
    code = ('import sys, mtl_perception.inference.trt.parsing, '
            'mtl_perception.inference.tensorrt_runtime\n'
            'assert not {"tensorrt", "tensorrt_rtx", "torch", "cuda"} & set(sys.modules)')
    subprocess.run([sys.executable, '-c', code], check=True, timeout=60)
