import re

import numpy as np
import pytest

from mtl_perception.errors import ModelError
from mtl_perception.inference.onnx_file import read_onnx_header
from mtl_perception.inference.registry import open_runtime
from mtl_perception.inference.trt.parsing import tensorrt_verdict
from mtl_perception.labels import LabelSet
from mtl_perception.main import main
from mtl_perception.resources import model_path
from mtl_perception.spec import ModelSpec

torch = pytest.importorskip('torch')
pytest.importorskip('onnx')

import cv2  # noqa: E402

from mtl_perception.models import export  # noqa: E402
from mtl_perception.models.checkpoint import save_checkpoint  # noqa: E402
from mtl_perception.models.network import build_model  # noqa: E402

# Tracing a graph takes long on a loaded machine.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

# Exports of a single task without the finest level are the fastest.
SEGMENTATION = ModelSpec(backbone='resnet18', segmentation=LabelSet.of('a', 'b', 'c'),
                         input_size=(160, 96))
DETECTION = ModelSpec(backbone='resnet18', detection=LabelSet.of('car', 'person'),
                      input_size=(160, 96), candidates=50)


@pytest.fixture(scope='module')
def images():
    random = np.random.default_rng(0)
    return [cv2.resize(random.integers(0, 256, (12, 20, 3), np.uint8), (160, 96))
            for _ in range(3)]


def test_runtimes_agree_for_any_batch_size(lean_export, images, tmp_path):
    network, path, found = lean_export
    assert found.tolerable and found.candidates > 0
    onnx = open_runtime(path)
    save_checkpoint(network, onnx.spec, tmp_path / 'model.pt')
    torch_runtime = open_runtime(tmp_path / 'model.pt')
    assert onnx.spec == torch_runtime.spec
    for batch in (images[:1], images):
        ours, theirs = (runtime.run(np.stack(batch)) for runtime in (onnx, torch_runtime))
        assert ours.boxes.shape == theirs.boxes.shape == (len(batch), 50, 4)
        assert np.abs(ours.scores - theirs.scores).max() < 0.01  # weights were rounded to FP16
        assert (ours.label_map == theirs.label_map).mean() > 0.98
        assert ours.label_map.shape == (len(batch), 48, 80)


def test_file_contains_no_local_path(lean_export):
    data = lean_export[1].read_bytes()
    for name in (b'site-packages', b'torch/', b'mtl_perception/models'):
        assert data.find(name) < 0, name


def test_export_that_differs_is_deleted(images, tmp_path, monkeypatch):
    path = tmp_path / 'model.onnx'
    monkeypatch.setattr(export, 'compare', lambda *_: export.Difference(9, 0.1, 0.5, 1.0))
    with pytest.raises(ModelError, match='differ too much'):
        export.export_onnx(build_model(SEGMENTATION).eval(), SEGMENTATION, path, images)
    assert list(tmp_path.iterdir()) == []


def test_compare_detects_other_weights(lean_export, images):
    _, path, _ = lean_export
    spec = read_onnx_header(path).spec
    graph = export.DeployableGraph(build_model(spec).eval(), spec).eval()
    assert not export.compare(graph, path, images).tolerable


def test_command_exports_a_single_task_at_full_resolution(tmp_path, capsys):
    save_checkpoint(build_model(SEGMENTATION), SEGMENTATION, tmp_path / 'm.pt')
    cv2.imwrite(str(tmp_path / 'a.png'), np.full((50, 60, 3), 90, np.uint8))
    assert main(['export', str(tmp_path / 'm.pt'), '--images', str(tmp_path),
                 '--label-stride', '1']) == 0
    printed = capsys.readouterr().out
    assert 'of labels equal' in printed
    # Where TensorRT is installed, which tests of the Makefile have it.
    assert re.search(r'\nTensorRT RTX [0-9.]+ parses it\n', printed) or 'not tried' in printed
    outputs = open_runtime(tmp_path / 'm.onnx').run(np.zeros((2, 96, 160, 3), np.uint8))
    assert outputs.boxes is None and outputs.label_map.shape == (2, 96, 160)


def test_command_compares_on_synthetic_frames_and_rejects_an_empty_folder(tmp_path, capsys):
    save_checkpoint(build_model(DETECTION), DETECTION, tmp_path / 'm.pt')
    (tmp_path / 'none').mkdir()
    capsys.readouterr()
    assert main(['export', str(tmp_path / 'm.pt'), '--limit', '2']) == 0
    assert '2 synthetic frames' in capsys.readouterr().out
    assert main(['export', str(tmp_path / 'm.pt'), '--images', str(tmp_path / 'none')]) == 1
    assert capsys.readouterr().err.count('\n') == 1


def test_file_rejected_by_tensorrt_is_reported_and_kept(tmp_path):
    pytest.importorskip('tensorrt_rtx')
    onnx = pytest.importorskip('onnx')
    model = onnx.load(model_path())
    cast, transpose = model.graph.node[:2]
    assert (cast.op_type, transpose.op_type) == ('Cast', 'Transpose')
    # The other way round, as TensorRT does not take it.
    transpose.input[0], transpose.output[0] = 'images', 'moved'
    cast.input[0], cast.output[0] = 'moved', model.graph.node[2].input[0]
    del model.graph.node[:2]
    model.graph.node.insert(0, transpose)
    model.graph.node.insert(1, cast)
    onnx.save(model, tmp_path / 'm.onnx')
    verdict = tensorrt_verdict(tmp_path / 'm.onnx')
    assert re.match(r'for other runtimes only: TensorRT RTX .* rejects it: .*UInt8', verdict)
    assert '\n' not in verdict


def test_command_exports_half_precision(tmp_path, capsys):
    save_checkpoint(build_model(DETECTION), DETECTION, tmp_path / 'm.pt')
    assert main(['export', str(tmp_path / 'm.pt'), '--precision', 'fp16', '--limit', '2']) == 0
    assert 'candidates within' in capsys.readouterr().out
    header = read_onnx_header(tmp_path / 'm.onnx')
    assert (header.precision, header.spec) == ('fp16', DETECTION)
