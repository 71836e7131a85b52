"""Every architecture's exported graph, as runtimes want it."""

from pathlib import Path

import numpy as np
import pytest

from mtl_perception.graph_contract import output_names
from mtl_perception.inference.onnx_file import read_onnx_header
from mtl_perception.inference.runtime import MAX_BATCH, silent
from mtl_perception.labels import LabelSet
from mtl_perception.resources import model_path
from mtl_perception.spec import ModelSpec

torch = pytest.importorskip('torch')
onnx = pytest.importorskip('onnx')

from onnx import helper, numpy_helper, TensorProto  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

from mtl_perception.models.export import export_onnx  # noqa: E402
from mtl_perception.models.network import build_model  # noqa: E402
from mtl_perception.models.onnx_graph import fold  # noqa: E402

# Tracing a graph takes long on a loaded machine.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

BOXES, LABELS = LabelSet.of('car', 'person'), LabelSet.of('a', 'b', 'c')
LEAN = {'input_size': (160, 96), 'candidates': 50}
THESIS = {'architecture': 'thesis', 'input_size': (300, 300), 'candidates': 50}
SPECS = {
    'lean, light head, label map at stride 2': ModelSpec(
        detection=BOXES, segmentation=LABELS, finest_level=2, fine_channels=16,
        fine_towers='one', towers='separable', tower_channels=32, label_stride=2, **LEAN),
    'lean, other backbone, label map at stride 1': ModelSpec(
        backbone='resnet18', detection=BOXES, segmentation=LABELS, label_stride=1, **LEAN),
    'lean, third backbone, detection alone': ModelSpec(
        backbone='mobilenet_v3_large', detection=BOXES, **LEAN),
    'thesis, FCN-8s, label map at stride 1': ModelSpec(
        backbone='resnet50', detection=BOXES, segmentation=LABELS, fcn_stride=8, label_stride=1,
        **THESIS),
    'thesis, FCN-32s, segmentation alone, label map at stride 1': ModelSpec(
        backbone='resnet18', segmentation=LABELS, fcn_stride=32, label_stride=1, **THESIS),
}
UNWANTED = {'Shape', 'Range', 'BatchNormalization', 'ConstantOfShape', 'NonZero', 'Loop', 'If'}
"""Operators that compute sizes or could have been computed before."""


@pytest.fixture(scope='module', params=['shared', *SPECS])
def exported(request, tmp_path_factory) -> Path:
    if request.param == 'shared':
        return request.getfixturevalue('lean_export')[1]
    spec = SPECS[request.param]
    torch.manual_seed(0)
    width, height = spec.input_size
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    path = tmp_path_factory.mktemp('graph') / 'model.onnx'
    assert export_onnx(build_model(spec).eval(), spec, path, [image]).tolerable
    return path


def check_static(path: Path) -> None:
    """Check that a graph casts first, and that only the batch has a size that is open."""
    model = onnx.load(path)
    first = model.graph.node[0]
    assert (first.op_type, list(first.input)) == ('Cast', ['images'])
    assert not UNWANTED & {node.op_type for node in model.graph.node}
    assert [(item.domain, item.version) for item in model.opset_import] == [('', 18)]
    assert model.ir_version == 8  # more, and ONNX Runtime 1.17 does not read it
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    shapes = [value.type.tensor_type.shape.dim for value in (
        *inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output)]
    assert len(shapes) > len(model.graph.node) / 2
    for sizes in shapes:
        assert all(size.dim_value > 0 for size in sizes[1:]), sizes


def test_node_names_contain_part(exported):
    spec = read_onnx_header(exported).spec
    graph = onnx.load(exported).graph
    parts: dict[str, list[str]] = {}
    for node in graph.node:
        parts.setdefault(node.name.partition('/')[0], []).append(node.op_type)
    own = {name for name, _ in build_model(spec).named_children()}
    assert set(parts) == own | {'normalization'} | (
        {'decoding'} if spec.detection else set()) | (
        {'label_map'} if spec.segmentation else set())
    # Outside the network's parts nothing is learnt.
    for part in set(parts) - own:
        assert 'Conv' not in parts[part]
    assert parts['backbone'].count('Conv') > 15
    assert 'TopK' in parts.get('decoding', ['TopK'])
    assert 'ArgMax' in parts.get('label_map', ['ArgMax'])
    assert [value.name for value in graph.output] == list(output_names(spec))


def test_input_is_cast_first_and_only_batch_is_dynamic(exported):
    check_static(exported)


def test_tensorrt_parses_graph_and_builds_engine(exported):
    check_builds(exported)


def test_shipped_model_follows_the_same_rules():
    check_static(model_path())
    check_builds(model_path())


def check_builds(path: Path) -> None:
    """Check that TensorRT for RTX makes an engine of the file for a GPU that is not here."""
    pytest.importorskip('tensorrt_rtx')
    from mtl_perception.inference.trt import building, parsing

    assert parsing.check_parses(path).startswith('RTX ')
    engine = building.build(
        path.read_bytes(), read_onnx_header(path).spec, path, (8, 6), MAX_BATCH, silent)
    assert len(engine) > 1e6


def test_batch_norms_of_shared_weights_are_folded_separately():
    random = np.random.default_rng(0)
    constants = {
        'w': random.normal(size=(4, 3, 3, 3)), 'b': random.normal(size=4),
        **{f'{part}{i}': random.uniform(0.5, 2, 4) for part in 'smdv' for i in range(3)}}
    nodes = [helper.make_node('Conv', ['x', 'w', 'b'], ['c0'], pads=[1] * 4),
             helper.make_node('Conv', ['x', 'w'], ['c1'], pads=[1] * 4),
             helper.make_node('Relu', ['x'], ['r'])]
    nodes += [helper.make_node('BatchNormalization',
                               [source, *(f'{part}{i}' for part in 'smdv')], [f'n{i}'],
                               epsilon=0.01 * (i + 1))
              for i, source in enumerate(('c0', 'c1', 'r'))]
    # Its channels are those of `x`: not after a convolution, so it stays.
    for part in 'smdv':
        constants[f'{part}2'] = constants[f'{part}2'][:3]

    def value(name, channels):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ['N', channels, 5, 6])

    model = helper.make_model(helper.make_graph(
        nodes, 'norms', [value('x', 3)], [value('n0', 4), value('n1', 4), value('n2', 3)],
        [numpy_helper.from_array(values.astype(np.float32), name)
         for name, values in constants.items()]), opset_imports=[helper.make_opsetid('', 18)])
    x = random.normal(size=(2, 3, 5, 6)).astype(np.float32)
    before = ReferenceEvaluator(model).run(None, {'x': x})
    fold(model)
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == [
        'Conv', 'Conv', 'Relu', 'BatchNormalization']
    assert not {'w', 'b'} & {tensor.name for tensor in model.graph.initializer}
    for old, new in zip(before, ReferenceEvaluator(model).run(None, {'x': x}), strict=True):
        assert np.allclose(old, new, rtol=1e-4, atol=1e-4)
