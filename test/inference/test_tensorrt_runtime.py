import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import onnx
import pytest

from mtl_perception.errors import ConfigError, ModelError, StartError
from mtl_perception.graph_contract import output_names, RawOutputs
from mtl_perception.inference import tensorrt_runtime
from mtl_perception.inference.onnx_runtime import OnnxRuntime
from mtl_perception.inference.registry import open_runtime
from mtl_perception.inference.runtime import MAX_BATCH, RuntimeOptions, silent
from mtl_perception.inference.tensorrt_runtime import TensorRtRuntime
from mtl_perception.inference.trt import flavour
from mtl_perception.inference.trt.engine_cache import engine_name, EngineFolder
from mtl_perception.inference.trt.gpu import current_gpu, Gpu

RTX_3090 = Gpu('NVIDIA GeForce RTX 3090', (8, 6))


def _no_gpu():
    try:
        current_gpu()
    except StartError as error:
        return error.reason
    return ''


NO_GPU = _no_gpu()
with_gpu = pytest.mark.skipif(bool(NO_GPU), reason=f'needs a GPU: {NO_GPU}')
without_gpu = pytest.mark.skipif(not NO_GPU, reason='there is a GPU')
with_tensorrt = pytest.mark.skipif(not flavour.installed(), reason='no TensorRT is installed')


@pytest.fixture
def as_if_rtx_3090(monkeypatch):
    """Have it look as if there was a GPU; TensorRT itself still finds none."""
    pytest.importorskip('tensorrt_rtx')
    if flavour.installed()[0] != flavour.RTX or not NO_GPU:
        pytest.skip('this is for TensorRT for RTX without a GPU')
    monkeypatch.setattr(tensorrt_runtime, 'current_gpu', lambda: RTX_3090)


@without_gpu
@with_tensorrt
def test_missing_gpu_names_driver_without_loading_tensorrt(paint_model, tmp_path):
    code = (
        'import sys\n'
        'from mtl_perception.errors import StartError\n'
        'from mtl_perception.inference.registry import open_runtime\n'
        'from mtl_perception.inference.runtime import RuntimeOptions\n'
        'from mtl_perception.inference.tensorrt_runtime import TensorRtRuntime\n'
        'facts = TensorRtRuntime.facts()\n'
        'assert facts.devices == () and set(facts.missing) == {"cuda"}, facts\n'
        'print(facts.version)\n'
        'try:\n'
        '    open_runtime(sys.argv[1], RuntimeOptions("tensorrt"))\n'
        'except StartError as error:\n'
        '    print(error)\n'
        'assert not {"tensorrt", "tensorrt_rtx"} & set(sys.modules)\n')
    done = subprocess.run([sys.executable, '-c', code, paint_model()], capture_output=True,
                          text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, '')
    version, error = done.stdout.splitlines()
    assert version == str(flavour.flavour())
    assert error.startswith(f'{paint_model()}: the runtime tensorrt does not start: no CUDA '
                            f'device (')
    assert 'driver' in error


def test_cpu_is_rejected(paint_model):
    with pytest.raises(ConfigError, match='the runtime tensorrt runs on cuda only'):
        open_runtime(paint_model(), RuntimeOptions('tensorrt', 'cpu'))


def test_missing_package_names_remedy(paint_model, monkeypatch):
    for name in flavour.MODULES:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(StartError, match='neither tensorrt nor tensorrt_rtx is installed; '):
        open_runtime(paint_model(), RuntimeOptions('tensorrt'))


def test_capabilities_with_gpu(as_if_rtx_3090):
    facts = TensorRtRuntime.facts()
    assert facts.devices == ('cuda',) and facts.version.startswith('RTX 1.')
    assert facts.precisions[0] == 'fp32' and not facts.missing


def test_orin_requires_tensorrt(as_if_rtx_3090, monkeypatch):
    monkeypatch.setattr(tensorrt_runtime, 'current_gpu', lambda: Gpu('Orin', (8, 7)))
    facts = TensorRtRuntime.facts()
    assert facts.devices == ()
    assert 'compute capability 8.7' in str(facts.missing['cuda'])
    assert 'JetPack' in facts.missing['cuda'].remedy


def test_precision_other_than_models_is_rejected(paint_model, as_if_rtx_3090):
    with pytest.raises(StartError, match='it computes in fp32 as the model, not in bf16'):
        TensorRtRuntime(paint_model(), 'cuda', RuntimeOptions(precision='bf16'), silent)


def test_start_fails_at_engine_loading_without_gpu(paint_model, as_if_rtx_3090, tmp_path, capfd):
    """The engine is built, kept, found again, and rejected for want of a driver."""
    lines = []
    options = RuntimeOptions('tensorrt', cache=tmp_path)
    for _ in range(2):
        with pytest.raises(StartError, match=r'TensorRT does not load the engine that it has '
                                             r'just built \(.*CUDA driver') as caught:
            TensorRtRuntime(paint_model(), 'cuda', options, lines.append)
        assert '\n' not in str(caught.value)
    kept = [path.name for path in (tmp_path / 'tensorrt').iterdir() if path.suffix == '.engine']
    name = engine_name(
        paint_model().read_bytes(), flavour.flavour(), (8, 6), RTX_3090.name, MAX_BATCH)
    assert kept == [name]
    assert [line.split(': ')[0] for line in lines if 'does not load it' in line] == [
        str(tmp_path / 'tensorrt' / name)]
    assert sum('builds its engine' in line for line in lines) == 2
    assert capfd.readouterr() == ('', '')


def test_runtime_finds_engine_of_build_engine(paint_model, as_if_rtx_3090, tmp_path, monkeypatch):
    from mtl_perception.inference.trt import building, contexts
    from mtl_perception.main import main
    assert main(['build-engine', str(paint_model()), '-o', str(tmp_path),
                 '--compute-capability', '8.6', '8.9']) == 0
    loaded = []

    def load(self, data):
        loaded.append(bytes(data))
        raise KeyboardInterrupt  # further than a machine without a GPU gets

    monkeypatch.setattr(contexts.Loader, 'load', load)
    monkeypatch.setattr(building, 'build', lambda *_: pytest.fail('it was built again'))
    with pytest.raises(KeyboardInterrupt):
        TensorRtRuntime(paint_model(), 'cuda', RuntimeOptions(cache=tmp_path), silent)
    folder = EngineFolder(tmp_path / 'tensorrt', silent)
    assert loaded == [bytes(folder.read(path.name))
                      for path in folder.path.glob('rtx-*-sm86-*.engine')]


def test_build_engine_builds_engine_for_each_task(paint_model, as_if_rtx_3090, tmp_path,
                                                  monkeypatch):
    from mtl_perception.inference.trt import building, contexts, execution
    from mtl_perception.main import main
    assert main(['build-engine', str(paint_model()), '-o', str(tmp_path), '--each-task',
                 '--compute-capability', '8.6']) == 0
    folder = EngineFolder(tmp_path / 'tensorrt', silent)
    assert len(list(folder.path.glob('*.engine'))) == 3

    class Executor:
        """Stands in for what needs a GPU; answers with its engine."""

        def __init__(self, engine, _, spec, say):
            self.engine, self.names = engine, output_names(spec)

        def run(self, images):
            return RawOutputs(**dict.fromkeys(self.names, self.engine))

    monkeypatch.setattr(contexts, 'Loader', lambda: SimpleNamespace(load=bytes))
    monkeypatch.setattr(contexts, 'Contexts', lambda *_: None)
    monkeypatch.setattr(contexts, 'check_engine', lambda *_: None)
    monkeypatch.setattr(execution, 'Executor', Executor)
    monkeypatch.setattr(building, 'build', lambda *_: pytest.fail('it was built again'))
    lines = []
    runtime = TensorRtRuntime(paint_model(), 'cuda', RuntimeOptions(cache=tmp_path), lines.append)
    images = np.zeros((1, 64, 96, 3), np.uint8)
    engines = {runtime.run(images).boxes}
    for task in ('detection', 'segmentation'):
        runtime.run(images, [task])
        runtime._graphs.wait()
        outputs = runtime.run(images, [task])
        engines.add(outputs.boxes or outputs.label_map)
    assert len(engines) == 3 and lines == []


def test_contract_is_checked_before_cuda(paint_proto, tmp_path, monkeypatch):
    monkeypatch.setattr(
        tensorrt_runtime, 'current_gpu', lambda: pytest.fail('CUDA was asked'))
    model = paint_proto()
    model.graph.output[0].name = 'corners'
    onnx.save(model, tmp_path / 'other.onnx')
    with pytest.raises(ModelError, match='its spec asks for'):
        TensorRtRuntime(tmp_path / 'other.onnx', 'cuda', RuntimeOptions(), silent)


def test_engine_tensors_are_checked_against_contract(paint_model):
    if not flavour.installed():
        pytest.skip('no TensorRT is installed')
    from mtl_perception.inference.onnx_file import read_onnx_header
    from mtl_perception.inference.trt.contexts import check_engine
    from mtl_perception.inference.trt.library import trt

    class Engine:
        """Says of its tensors what an engine of the painted model says."""

        def __init__(self, **changes):
            self.tensors = {
                'images': ('INPUT', 'UINT8', (-1, 64, 96, 3)),
                'boxes': ('OUTPUT', 'FLOAT', (-1, 6, 4)),
                'scores': ('OUTPUT', 'FLOAT', (-1, 6)),
                'classes': ('OUTPUT', 'INT32', (-1, 6)),
                'label_map': ('OUTPUT', 'UINT8', (-1, 16, 24)), **changes}
            self.num_io_tensors = len(self.tensors)

        def get_tensor_name(self, index):
            return list(self.tensors)[index]

        def get_tensor_mode(self, name):
            return getattr(trt.TensorIOMode, self.tensors[name][0])

        def get_tensor_dtype(self, name):
            return getattr(trt.DataType, self.tensors[name][1])

        def get_tensor_shape(self, name):
            return self.tensors[name][2]

    spec = read_onnx_header(paint_model()).spec
    check_engine(Engine(), spec, paint_model())
    for changes, text in (
            ({'classes': ('OUTPUT', 'INT64', (-1, 6))}, r'classes is int64 \[\?, 6\]'),
            ({'images': ('INPUT', 'UINT8', (1, 64, 96, 3))}, r'images is uint8 \[1, 64, 96, 3\]'),
            ({'label_map': ('INPUT', 'UINT8', (-1, 16, 24))}, 'inputs are images, label_map')):
        with pytest.raises(ModelError, match=text):
            check_engine(Engine(**changes), spec, paint_model())


@with_gpu
@with_tensorrt
def test_outputs_agree_with_onnxruntime(paint_model, tmp_path):
    lines = []
    options = RuntimeOptions('tensorrt', cache=tmp_path)
    runtime = open_runtime(paint_model(), options, lines.append)
    assert (runtime.device, runtime.precision) == ('cuda', 'fp32')
    reference = OnnxRuntime(paint_model(), 'cpu', RuntimeOptions(), silent)
    random = np.random.default_rng(5)
    for count in (1, 3, 1, 4, 9):
        images = np.zeros((count, 64, 96, 3), np.uint8)
        for image in images:
            for channel in range(3):
                y, x = random.integers(0, (40, 70))
                image[y:y + 12, x:x + 16] = 0
                image[y:y + 12, x:x + 16, channel] = 150 + 40 * channel
        outputs, expected = runtime.run(images), reference.run(images)
        found = expected.scores > 0
        np.testing.assert_allclose(outputs.scores, expected.scores, rtol=1e-3)
        np.testing.assert_allclose(outputs.boxes[found], expected.boxes[found], atol=1e-3)
        assert (outputs.classes[found] == expected.classes[found]).all()
        assert (outputs.label_map == expected.label_map).mean() > 0.99
    assert sum('builds its engine' in line for line in lines) == 1
    assert not any('without a CUDA graph' in line for line in lines)
    lines.clear()
    open_runtime(paint_model(), options, lines.append).run(images)
    assert lines == []


@with_gpu
@with_tensorrt
def test_images_of_other_shape_are_rejected(paint_model, tmp_path):
    runtime = open_runtime(paint_model(), RuntimeOptions('tensorrt', cache=tmp_path))
    with pytest.raises(ValueError, match='not uint8'):
        runtime.run(np.zeros((1, 96, 64, 3), np.uint8))
