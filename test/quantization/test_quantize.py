import cv2
import numpy as np
import onnx
import pytest

from mtl_perception.inference.onnx_file import read_onnx_header
from mtl_perception.main import main
from mtl_perception.resources import model_path

from .conftest import SMALL

MANIFEST = """
segmentation: {names: [building, road, ground]}
sets:
  flights:
    reader: synthetic
    splits:
      train: {first_seed: 5, flights: 2, frames: 3}
      val: {first_seed: 1, flights: 1, frames: 4}
    options: {width: 64, height: 48}
    masks: {building: building, road: road, vegetation: [], water: [], ground: ground, vehicle: []}
"""


@pytest.fixture
def folder(tmp_path, inputs):
    folder = tmp_path / 'images'
    folder.mkdir()
    for index, image in enumerate(inputs):
        cv2.imwrite(str(folder / f'{index}.png'), image)
    return folder


def test_folder_of_images_calibrates(small_path, folder, capsys):
    assert main(['quantize', str(small_path), '--images', str(folder)]) == 0
    printed = capsys.readouterr().out
    assert 'calibrating 4 convolutions on 6 images' in printed and 'TensorRT' in printed
    header = read_onnx_header(small_path.with_name('small_int8.onnx'))
    assert header.precision == 'int8'
    provenance = dict(header.spec.provenance)
    note = provenance.pop('quantisation')
    assert provenance == SMALL.provenance and header.spec.segmentation == SMALL.segmentation
    assert '6 user images; 0 of 4 convolutions in FP32' in note
    assert str(folder) not in note
    assert sorted(path.suffix for path in small_path.parent.iterdir()) == ['', '.onnx', '.onnx']


@pytest.mark.slow
def test_auto_lists_float_layers_and_verify_prints_loss(small_path, tmp_path, capsys):
    manifest, output = tmp_path / 'm.yaml', tmp_path / 'new' / 'q.onnx'
    manifest.write_text(MANIFEST)
    assert main(['quantize', str(small_path), '-o', str(output), '--config', str(manifest),
                 '--auto', '--float-weights', '0.5', '--verify', str(manifest),
                 '--runtime', 'onnxruntime', '--count', '4']) == 0
    printed = capsys.readouterr().out
    assert 'on 4 images' in printed
    assert [line.split()[:3] for line in printed.splitlines() if line.startswith('b ')] == [
        ['b', '(b)', '64']]
    assert '3 in INT8' in printed
    assert 'onnxruntime fp32' in printed and 'onnxruntime int8' in printed
    assert [line.split()[:2] for line in printed.splitlines() if line.startswith('flights')] == [
        ['flights', 'mIoU']]
    assert 'm.yaml; 1 of 4 convolutions in FP32' in read_onnx_header(output).spec.provenance[
        'quantisation']


def test_invalid_input_gives_one_line_error(small_path, folder, tmp_path, small, capsys):
    assert main(['quantize', str(small_path), '--images', str(folder)]) == 0
    int8 = small_path.with_name('small_int8.onnx')
    for node in [node for node in small.graph.node if node.op_type == 'Conv']:
        node.op_type = 'Identity'
    bare = tmp_path / 'bare.onnx'
    del small.graph.node[3:10]
    small.graph.node[3].input[0] = 'value'
    onnx.save(small, bare)
    unheard = tmp_path / 'unheard.onnx'
    model = onnx.load(small_path)
    model.graph.node[3].op_type = 'Unheard'
    model.graph.node.append(onnx.helper.make_node(
        'Conv', ['value', 'a.weight'], ['unused'], 'unused'))
    onnx.save(model, unheard)
    capsys.readouterr()
    images = ['--images', str(folder)]
    for arguments, words in (
            ([str(int8), *images], 'its weights are in int8; give a file in FP32'),
            ([str(bare), *images], 'has no convolution to quantise'),
            ([str(unheard), *images], 'ONNX Runtime cannot load the model'),
            ([str(small_path), *images, '-o', str(small_path)], 'is the model itself'),
            ([str(small_path), *images, '-o', str(tmp_path / 'q.pt')], 'needs the suffix .onnx'),
            ([str(small_path), *images, '--count', '0'], '--count 0 is not in 1..2000'),
            ([str(small_path), *images, '--float-weights', '2'], 'is not a share in 0..1'),
            ([str(small_path), *images, '--tiles', 'many'], "tiles 'many'"),
            ([str(small_path), '--images', str(tmp_path / 'none')], 'no such file or folder'),
            ([str(tmp_path / 'none.onnx'), *images], 'no such model file')):
        assert main(['quantize', *arguments]) == 1
        error = capsys.readouterr().err
        assert words in error and error.count('\n') == 1, error


def test_shipped_model_is_not_overwritten(tmp_path, capsys):
    before = model_path()
    cv2.imwrite(str(tmp_path / 'a.png'), np.zeros((64, 64, 3), np.uint8))
    assert main(['quantize', str(before), '-o', str(before), '--images', str(tmp_path)]) == 1
    assert 'is the model itself' in capsys.readouterr().err
