"""The time of a network's parts, from the profiles of real runtimes."""

from pathlib import Path

import pytest

from mtl_perception.benchmark.onnx_nodes import Node, read_nodes
from mtl_perception.benchmark.parts import part_names, PARTS, RUNTIMES, time_parts
from mtl_perception.errors import ModelError, StartError
from mtl_perception.labels import LabelSet
from mtl_perception.spec import ModelSpec

SPEC = ModelSpec(detection=LabelSet.of('car'), segmentation=LabelSet.of('a', 'b'))


@pytest.fixture
def model(lean_export) -> Path:
    _, path, _ = lean_export
    return path


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize('runtime', RUNTIMES)
def test_profile_covers_all_parts_of_exported_file(runtime, model):
    pytest.importorskip(runtime)
    parts = time_parts(model, runtime, 'fp32', threads=1, runs=5)
    assert set(PARTS) <= set(parts) and list(parts)[:len(PARTS)] == list(PARTS)
    assert all(value > 0 for part, value in parts.items() if part in PARTS)
    assert sum(value for part, value in parts.items() if part not in PARTS) < 0.1 * sum(
        parts.values())
    assert parts['backbone'] > parts['decoding']


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize('runtime', RUNTIMES)
def test_file_without_part_names_is_divided_by_task(runtime, model, tmp_path):
    pytest.importorskip(runtime)
    onnx = pytest.importorskip('onnx')
    loaded = onnx.load(model)
    for node in loaded.graph.node:
        node.name = node.name.partition('/')[2]
        for names in (node.input, node.output):
            names[:] = [name.rpartition('/')[2] for name in names]
    del loaded.graph.value_info[:]
    onnx.save(loaded, tmp_path / 'old.onnx')
    parts = time_parts(tmp_path / 'old.onnx', runtime, 'fp32', threads=1, runs=5)
    assert {'both tasks', 'detection', 'segmentation'} <= set(parts)
    assert parts['both tasks'] > 0.2 * sum(parts.values())


def test_nodes_required_by_output_belong_to_its_task():
    nodes = [Node('a', ('images',), ('x',)), Node('b', ('x',), ('y',)),
             Node('c', ('x', ''), ('label_map',)), Node('d', ('y',), ('boxes', 'scores')),
             Node('e', ('y',), ('nobody',))]
    assert part_names(nodes, SPEC) == {
        'a': 'both tasks', 'b': 'detection', 'c': 'segmentation', 'd': 'detection', 'e': 'other'}


def test_inserted_nodes_belong_to_part_of_their_inputs():
    nodes = [Node('backbone/conv', ('images',), ('t0',)), Node('reorder', ('t0',), ('t1',)),
             Node('label_map/argmax', ('t1',), ('label_map',))]
    assert part_names(nodes, SPEC) == {
        'backbone/conv': 'backbone', 'reorder': 'backbone', 'label_map/argmax': 'label_map'}


def test_profiling_failure_gives_one_line_error(tmp_path):
    with pytest.raises(StartError, match='no profile of torch'):
        time_parts(tmp_path / 'model.pt', 'torch', 'fp32')
    broken = tmp_path / 'broken.onnx'
    broken.write_bytes(b'\x3a\xff\xff\xff\xff\x0f')
    with pytest.raises(ModelError, match=r'broken\.onnx'):
        read_nodes(broken)
    with pytest.raises(StartError, match=r'no profile of broken\.onnx') as caught:
        time_parts(broken, 'onnxruntime', 'fp32')
    assert '\n' not in str(caught.value)
