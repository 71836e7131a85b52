"""
Fixtures for a model with known outputs, in a real ONNX file.

It detects at most one object of each of three colours: the box around all pixels of that colour,
with the brightest one's value over 255 as score, and a duplicate shifted by half a pixel with a
lower score, as networks do. Its label map is the strongest of the three colours, averaged over a
cell, or `dark`.
"""

from collections.abc import Callable, Iterator
from importlib.util import LazyLoader, module_from_spec, spec_from_file_location
import os
from pathlib import Path
import sys
from typing import Any

import cv2
from hypothesis import settings
import numpy as np
import onnx
from onnx import helper, numpy_helper, TensorProto
import pytest

from mtl_perception.labels import LabelSet
from mtl_perception.spec import METADATA_KEY, ModelSpec

# Threads of several processes would wait for each other. Before torch is imported.
if 'PYTEST_XDIST_WORKER' in os.environ:
    os.environ.setdefault('OMP_NUM_THREADS', '1')

# The time of an example depends more on the machine's load than on the code.
settings.register_profile('no deadline', deadline=None)
settings.load_profile('no deadline')


def make_importable(name: str) -> None:
    """
    Let tests import the helper `name`.py of this folder.

    The folder itself is not put on the path: some of its folders have the names of packages. It is
    run when it is used, as those for tests of nodes need ROS.
    """
    spec = spec_from_file_location(name, Path(__file__).with_name(f'{name}.py'))
    assert spec is not None and spec.loader is not None
    spec.loader = LazyLoader(spec.loader)
    sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])


for name in ('fuzzing', 'node_results', 'painted_images', 'past_bags', 'stream_servers'):
    make_importable(name)

HERE = Path(__file__).parent

REALTIME = ('bags/test_killed.py', 'bags/test_recording.py', 'benchmark/test_machine.py',
            'benchmark/test_memory_limit.py', 'benchmark/test_rounds.py',
            'benchmark/test_worker_process.py', 'demo', 'inference/test_batches.py', 'interfaces',
            'launch', 'nodes', 'test_memory.py', 'test_scripts.py', 'test_shared_memory.py')
"""Folders and files of tests that measure or wait for something that takes time."""


@pytest.hookimpl(tryfirst=True)  # Before pytest-xdist looks for groups.
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one process of pytest-xdist run the tests of `REALTIME`, one after the other."""
    for item in items:
        if any(item.path.is_relative_to(HERE / name) for name in REALTIME):
            item.add_marker(pytest.mark.xdist_group('realtime'))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave the processor to the tests of `REALTIME` where another process runs the others."""
    if 'PYTEST_XDIST_WORKER' not in os.environ:
        return
    if item.get_closest_marker('xdist_group') is None:
        if os.nice(0) == 0:
            os.nice(10)
    elif '@' not in item.nodeid:
        # They would disturb each other, and now and then fail for no visible reason.
        raise RuntimeError('this pytest and pytest-xdist do not keep groups of tests together')


COLORS = LabelSet.of('red', 'green', 'blue')
LABELS = LabelSet.of('red', 'green', 'blue', 'dark')

# Of the backbones, the one with the fewest layers.
LEAN_SPEC = ModelSpec(
    backbone='resnet18', detection=LabelSet.of('car', 'person'),
    segmentation=LabelSet.of('a', 'b', 'c'), input_size=(160, 96), finest_level=2, candidates=50,
    label_stride=2)


def paint_spec(size=(96, 64), stride=4, detection=True, segmentation=True) -> ModelSpec:
    return ModelSpec(
        architecture='paint', detection=COLORS if detection else None,
        segmentation=LABELS if segmentation else None, input_size=size, label_stride=stride,
        candidates=6, pixel_classes={'red': 'red'} if detection and segmentation else {})


def paint_graph(spec: ModelSpec) -> onnx.ModelProto:
    width, height = spec.input_size
    nodes, constants = [], []

    def constant(name, values, dtype):
        constants.append(numpy_helper.from_array(np.array(values, dtype), name))
        return name

    def node(kind, inputs, output, **attributes):
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    bright = constant('bright', 128, np.float32)
    outputs = []
    node('Cast', ['images'], 'pixels', to=TensorProto.FLOAT)
    node('Transpose', ['pixels'], 'planes', perm=[0, 3, 1, 2])
    if spec.detection:
        # A pixel has a colour if its channel is above 128 and the sum of all three is below that
        # channel's value plus 128.
        node('Greater', ['planes', bright], 'lit')
        node('ReduceSum', ['planes', constant('channel_axis', [1], np.int64)], 'sum', keepdims=1)
        node('Sub', ['sum', 'planes'], 'others')
        node('Less', ['others', bright], 'pure')
        node('And', ['lit', 'pure'], 'found')
        node('Cast', ['found'], 'mask', to=TensorProto.FLOAT)
        node('Mul', ['mask', 'planes'], 'values')
        node('ReduceMax', ['values'], 'peaks', axes=[2, 3], keepdims=0)
        node('Div', ['peaks', constant('full', 255, np.float32)], 'score')
        node('ReduceMax', ['mask'], 'columns', axes=[2], keepdims=0)
        node('ReduceMax', ['mask'], 'rows', axes=[3], keepdims=0)
        sides = []
        for side, source, last in (('x0', 'columns', 0), ('y0', 'rows', 0),
                                   ('x1', 'columns', 1), ('y1', 'rows', 1)):
            node('ArgMax', [source], f'{side}_index', axis=2, keepdims=1, select_last_index=last)
            node('Cast', [f'{side}_index'], f'{side}_edge', to=TensorProto.FLOAT)
            sides.append(node(
                'Add', [f'{side}_edge', constant(f'{side}_far', last, np.float32)], side))
        node('Concat', sides, 'box', axis=2)
        node('Add', ['box', constant('aside', 0.5, np.float32)], 'box_aside')
        node('Mul', ['score', constant('lower', 0.9, np.float32)], 'score_aside')
        node('Concat', ['box', 'box_aside'], 'all_boxes', axis=1)
        node('Concat', ['score', 'score_aside'], 'all_scores', axis=1)
        nodes.append(helper.make_node(
            'TopK', ['all_scores', constant('k', [6], np.int64)], ['scores', 'order'], axis=1))
        node('Mod', ['order', constant('three', 3, np.int64)], 'order_class')
        node('Cast', ['order_class'], 'classes', to=TensorProto.INT32)
        node('Unsqueeze', ['order', constant('last', [2], np.int64)], 'order_column')
        node('Expand', ['order_column', constant('four', [1, 1, 4], np.int64)], 'order_boxes')
        node('GatherElements', ['all_boxes', 'order_boxes'], 'boxes', axis=1)
        outputs += [
            helper.make_tensor_value_info('boxes', TensorProto.FLOAT, ['batch', 6, 4]),
            helper.make_tensor_value_info('scores', TensorProto.FLOAT, ['batch', 6]),
            helper.make_tensor_value_info('classes', TensorProto.INT32, ['batch', 6])]
    if spec.segmentation:
        stride = spec.label_stride
        node('AveragePool', ['planes'], 'means', kernel_shape=[stride] * 2, strides=[stride] * 2)
        node('ReduceMin', ['means'], 'least', axes=[1], keepdims=1)
        node('Mul', ['least', constant('none', 0, np.float32)], 'zeros')
        node('Add', ['zeros', constant('dusk', 120, np.float32)], 'dark')
        node('Concat', ['means', 'dark'], 'evidence', axis=1)
        node('ArgMax', ['evidence'], 'label', axis=1, keepdims=0)
        node('Cast', ['label'], 'label_map', to=TensorProto.UINT8)
        outputs.append(helper.make_tensor_value_info(
            'label_map', TensorProto.UINT8, ['batch', height // stride, width // stride]))
    images = helper.make_tensor_value_info(
        'images', TensorProto.UINT8, ['batch', height, width, 3])
    used = {name for item in nodes for name in item.input}
    graph = helper.make_graph(
        nodes, 'paint', [images], outputs, [item for item in constants if item.name in used])
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    helper.set_model_props(model, {METADATA_KEY: spec.to_json()})
    onnx.checker.check_model(model)
    return model


@pytest.fixture(scope='session', autouse=True)
def user_cache(tmp_path_factory) -> Iterator[Path]:
    """Have compiled models and log files of defects in a temporary folder, also in processes."""
    folder = tmp_path_factory.mktemp('cache')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('XDG_CACHE_HOME', str(folder))
        patch.setenv('XDG_STATE_HOME', str(folder))
        yield folder


@pytest.fixture(scope='session')
def paint_model(tmp_path_factory) -> Callable[..., Path]:
    """Return a function that writes the model of a `paint_spec` with these arguments."""
    folder = tmp_path_factory.mktemp('paint')
    written: dict[str, Path] = {}

    def write(**arguments) -> Path:
        spec = paint_spec(**arguments)
        key = spec.to_json()
        if key not in written:
            written[key] = folder / f'paint_{len(written)}.onnx'
            onnx.save(paint_graph(spec), written[key])
        return written[key]

    return write


@pytest.fixture(scope='session')
def lean_export(tmp_path_factory) -> tuple[Any, Path, Any]:
    """
    Return a network of both tasks with random weights, its exported file and their difference.

    An export takes seconds: tests that need a file of a real network, but none in particular,
    share this one.
    """
    torch = pytest.importorskip('torch')
    from mtl_perception.models.export import export_onnx
    from mtl_perception.models.network import build_model
    torch.manual_seed(3)
    network = build_model(LEAN_SPEC)
    with torch.no_grad():
        for parameter in network.detection.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    path = tmp_path_factory.mktemp('lean') / 'model.onnx'
    return network.eval(), path, export_onnx(network, LEAN_SPEC, path, smooth_images())


def smooth_images() -> list[np.ndarray]:
    """Return three images of the size of `LEAN_SPEC`."""
    random = np.random.default_rng(0)
    width, height = LEAN_SPEC.input_size
    return [cv2.resize(random.integers(0, 256, (12, 20, 3), np.uint8), (width, height))
            for _ in range(3)]


@pytest.fixture
def paint_proto() -> Callable[..., onnx.ModelProto]:
    """Return a function that creates the model of a `paint_spec` in memory, to be modified."""
    return lambda **arguments: paint_graph(paint_spec(**arguments))
