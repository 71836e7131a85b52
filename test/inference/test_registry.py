import sys

import numpy as np
import onnx
from onnx import numpy_helper
import pytest

from mtl_perception.errors import ConfigError, ModelError, StartError
from mtl_perception.inference import registry
from mtl_perception.inference.onnx_runtime import OnnxRuntime
from mtl_perception.inference.registry import choices, ENTRIES, open_runtime
from mtl_perception.inference.runtime import RuntimeFacts, RuntimeOptions
from mtl_perception.inference.timing import startable


def _without(monkeypatch, *packages):
    """Have the packages look as if they were not installed."""
    for entry in ENTRIES.values():
        monkeypatch.delitem(sys.modules, entry.module, raising=False)
    for name in packages:
        for module in [name, *(m for m in sys.modules if m.startswith(f'{name}.'))]:
            monkeypatch.setitem(sys.modules, module, None)


def test_runtime_by_name_is_opened_without_search(paint_model):
    lines = []
    runtime = open_runtime(str(paint_model()), RuntimeOptions('onnxruntime'), lines.append)
    assert (runtime.name, runtime.device, runtime.precision) == ('onnxruntime', 'cpu', 'fp32')
    assert runtime.spec.architecture == 'paint'
    assert lines[-1].startswith('runtime onnxruntime on cpu, fp32')


def test_auto_skips_missing_package_and_logs_choice(paint_model, monkeypatch):
    _without(monkeypatch, 'openvino', 'tensorrt', 'tensorrt_rtx', 'cuda')
    lines = []
    assert open_runtime(paint_model(), RuntimeOptions(device='cpu'), lines.append).name == \
        'onnxruntime'
    assert lines == ['runtime onnxruntime on cpu, fp32 (openvino on cpu: openvino is not '
                     'installed)']


def test_auto_skips_runtime_that_does_not_start(paint_model, monkeypatch):
    pytest.importorskip('openvino')

    def fail(*_):
        raise StartError('it fell over', 'lift it')

    runtime = open_runtime(paint_model(), RuntimeOptions(precision='fp32', device='cpu'))
    assert runtime.name == 'onnxruntime'
    monkeypatch.setattr(OnnxRuntime, '__init__', fail)
    lines = []
    options = RuntimeOptions(precision='fp32', device='cpu')
    assert open_runtime(paint_model(), options, lines.append).name == 'openvino'
    assert 'onnxruntime on cpu: it fell over' in lines[0] and 'lift it' not in lines[0]
    with pytest.raises(StartError, match='onnxruntime does not start: it fell over; lift it'):
        open_runtime(paint_model(), RuntimeOptions('onnxruntime'))


def test_no_usable_runtime_reports_all_reasons(paint_model, monkeypatch):
    _without(monkeypatch, *ENTRIES, 'tensorrt_rtx', 'cuda')
    with pytest.raises(StartError) as caught:
        open_runtime(paint_model())
    text = str(caught.value)
    assert '\n' not in text and str(paint_model()) in text
    assert 'openvino is not installed' in text and 'onnxruntime is not installed' in text
    assert 'pip install' in text


def test_missing_package_of_named_runtime_names_remedy(paint_model, tmp_path, monkeypatch):
    _without(monkeypatch, 'onnxruntime', 'torch')
    with pytest.raises(StartError, match=r'onnxruntime is not installed; .*\[run\]'):
        open_runtime(paint_model(), RuntimeOptions('onnxruntime'))
    checkpoint = tmp_path / 'model.pt'
    checkpoint.write_bytes(bytes(1000))
    with pytest.raises(StartError, match=r'torch is not installed; .*\[train\]'):
        open_runtime(checkpoint, RuntimeOptions('torch'))


def test_import_defect_is_not_reported_as_missing_package(paint_model, monkeypatch):
    _without(monkeypatch, 'mtl_perception.inference.onnx_file')
    with pytest.raises(ModuleNotFoundError):
        open_runtime(paint_model())


def test_auto_skips_broken_package(paint_model, monkeypatch, tmp_path):
    _without(monkeypatch, 'tensorrt', 'tensorrt_rtx', 'cuda')
    for module in [name for name in sys.modules if name.partition('.')[0] == 'openvino']:
        monkeypatch.delitem(sys.modules, module)
    package = tmp_path / 'openvino'
    package.mkdir()
    (package / '__init__.py').write_text("raise ImportError('libopenvino.so: no such file')\n")
    monkeypatch.syspath_prepend(tmp_path)
    lines = []
    assert open_runtime(paint_model(), say=lines.append).name == 'onnxruntime'
    assert 'its package does not load (libopenvino.so: no such file)' in lines[-1]
    with pytest.raises(StartError, match='openvino does not start: its package does not load'):
        open_runtime(paint_model(), RuntimeOptions('openvino'))


def test_openvino_is_first_if_cpu_computes_bf16(paint_model, monkeypatch):
    openvino = pytest.importorskip('mtl_perception.inference.openvino_runtime')
    options = RuntimeOptions(device='cpu')
    for precisions, name in (
            (('bf16', 'fp32'), 'openvino'), (('fp32',), 'onnxruntime')):
        facts = RuntimeFacts('1', ('cpu',), precisions)
        monkeypatch.setattr(openvino.OpenVinoRuntime, 'facts', classmethod(lambda _, f=facts: f))
        monkeypatch.setattr(openvino.OpenVinoRuntime, '__init__', lambda self, *_: None)
        monkeypatch.setattr(openvino.OpenVinoRuntime, 'device', 'cpu', raising=False)
        monkeypatch.setattr(openvino.OpenVinoRuntime, 'precision', 'bf16', raising=False)
        assert open_runtime(paint_model(), options).name == name


def test_openvino_is_first_for_int8_on_any_cpu(paint_model, paint_proto, tmp_path):
    pytest.importorskip('openvino')
    model = paint_proto()
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(5000, np.int8), 'weights'))
    path = tmp_path / 'int8.onnx'
    onnx.save(model, path)
    options = RuntimeOptions(device='cpu', precision='fp32')
    opened = open_runtime(path, options)
    assert (opened.name, opened.precision) == ('openvino', 'int8/fp32')
    assert open_runtime(paint_model(), options).name == 'onnxruntime'
    assert [choice.runtime for choice in choices(path, RuntimeOptions('openvino'))] == ['openvino']
    assert len({*startable(path, options)}) == 1


def test_order_lists_exactly_the_known_runtimes():
    assert {choice.runtime for choice in registry.AUTO_ORDER} == set(ENTRIES)


def test_unknown_suffix_is_rejected(tmp_path):
    for name, what in (('model.tflite', '.tflite'), ('model', 'without suffix')):
        path = tmp_path / name
        path.write_bytes(bytes(1000))
        with pytest.raises(ModelError, match=f'{what}.*; a model is a file .onnx or .pt'):
            open_runtime(path)


def test_unsupported_choices_are_rejected(paint_model):
    with pytest.raises(ModelError, match=r'the runtime torch reads \.pt files'):
        open_runtime(paint_model(), RuntimeOptions('torch'))
    with pytest.raises(ConfigError, match=r'auto, .*onnxruntime, torch'):
        open_runtime(paint_model(), RuntimeOptions('caffe'))
    with pytest.raises(ConfigError, match='device cuda: the runtime openvino runs on cpu only'):
        open_runtime(paint_model(), RuntimeOptions('openvino', 'cuda'))
    assert [c.device for c in choices(paint_model(), RuntimeOptions('onnxruntime'))] == [
        'cuda', 'cpu']


def test_broken_file_ends_search_with_error(tmp_path):
    path = tmp_path / 'broken.onnx'
    path.write_bytes(bytes(1000))
    with pytest.raises(ModelError, match='not an ONNX file, or truncated'):
        open_runtime(path)
