import numpy as np
import onnx
import onnx.utils
import onnxruntime
import pytest

from mtl_perception.errors import ModelError
from mtl_perception.inference.onnx_part import OnnxParts
from mtl_perception.resources import model_path

DETECTION, SEGMENTATION = ('boxes', 'scores', 'classes'), ('label_map',)


def _onnx_part(path, outputs, folder):
    """Return the part that the package `onnx` makes."""
    onnx.utils.extract_model(str(path), str(folder / 'part.onnx'), ['images'], list(outputs))
    return onnx.load(folder / 'part.onnx').graph


@pytest.mark.parametrize('outputs', [DETECTION, SEGMENTATION, DETECTION + SEGMENTATION])
@pytest.mark.parametrize('shipped', [False, True])
def test_part_contains_only_required_nodes(paint_model, tmp_path, outputs, shipped):
    path = model_path() if shipped else paint_model()
    part = onnx.load_from_string(OnnxParts(path).part(outputs))
    onnx.checker.check_model(part, full_check=True)
    expected = _onnx_part(path, outputs, tmp_path)
    assert [value.name for value in part.graph.output] == [*outputs]
    assert [value.name for value in part.graph.input] == ['images']
    for field in ('node', 'initializer'):
        ours, theirs = ([item.SerializeToString() for item in getattr(graph, field)]
                        for graph in (part.graph, expected))
        assert sorted(ours) == sorted(theirs)
    whole = onnx.load(path)
    assert (part.ir_version, part.opset_import) == (whole.ir_version, whole.opset_import)
    assert part.metadata_props == whole.metadata_props


def test_part_agrees_with_whole_graph(paint_model):
    path = paint_model()
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3)).astype(np.uint8)
    whole = onnxruntime.InferenceSession(path).run(DETECTION, {'images': images})
    part = onnxruntime.InferenceSession(OnnxParts(path).part(DETECTION)).run(
        None, {'images': images})
    assert all(np.array_equal(*values) for values in zip(whole, part, strict=True))


def test_replaced_file_is_rejected(paint_model, tmp_path):
    path = tmp_path / 'model.onnx'
    path.write_bytes(paint_model().read_bytes())
    parts = OnnxParts(path)
    other = tmp_path / 'other.onnx'
    other.write_bytes(paint_model(stride=1).read_bytes())
    other.replace(path)
    with pytest.raises(ModelError, match=r'model\.onnx: was replaced since it was loaded'):
        parts.part(SEGMENTATION)
    path.unlink()
    with pytest.raises(ModelError, match=r'model\.onnx: cannot be read'):
        parts.part(SEGMENTATION)


def test_broken_file_raises_model_error(paint_model, tmp_path):
    path = tmp_path / 'model.onnx'
    whole = bytearray(paint_model().read_bytes())
    rng = np.random.default_rng(0)
    for _ in range(200):
        broken = whole[:]
        for place in rng.integers(0, len(whole), 5):
            broken[place] = rng.integers(0, 256)
        path.write_bytes(broken)
        try:
            OnnxParts(path).part(DETECTION)
        except ModelError as error:
            assert str(error).startswith(f'{path}: cannot be read (')
