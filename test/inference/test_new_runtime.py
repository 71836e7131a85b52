"""A runtime in a separate file is used like those of the package once it is registered."""

import sys

import numpy as np
import pytest

from mtl_perception.commands.model_arguments import add_runtime_arguments
from mtl_perception.errors import StartError
from mtl_perception.inference import registry
from mtl_perception.inference.pipeline import Pipeline
from mtl_perception.inference.registry import Entry, open_runtime, register_runtime, runtime_names
from mtl_perception.inference.runtime import RuntimeOptions
from mtl_perception.main import main

RUNTIME = '''
import numpy as np
from mtl_perception.graph_contract import RawOutputs
from mtl_perception.inference.onnx_file import read_onnx_header
from mtl_perception.inference.runtime import RuntimeFacts


class GreyRuntime:
    """Labels every pixel 1 and detects nothing."""

    name = 'grey'
    batch = 1

    def __init__(self, path, device, options, say):
        self.spec = read_onnx_header(path).spec
        self.device, self.precision = device, 'fp32'

    @classmethod
    def facts(cls):
        return RuntimeFacts('1.0', ('cpu',), ('fp32',))

    def run(self, images, tasks=None):
        count = len(images)
        width, height = (side // self.spec.label_stride for side in self.spec.input_size)
        return RawOutputs(np.zeros((count, 0, 4), np.float32), np.zeros((count, 0), np.float32),
                          np.zeros((count, 0), np.int32),
                          np.ones((count, height, width), np.uint8))
'''


@pytest.fixture
def grey_runtime(tmp_path, monkeypatch):
    """Register a runtime that is defined in a file of `tmp_path`."""
    (tmp_path / 'grey_runtime.py').write_text(RUNTIME)
    monkeypatch.syspath_prepend(tmp_path)
    entries, order = dict(registry.ENTRIES), list(registry.AUTO_ORDER)
    entry = Entry('.onnx', 'grey_runtime', 'GreyRuntime')
    register_runtime('grey', entry, ['cpu'])
    yield entry
    # In place, since other modules have imported them by name.
    registry.ENTRIES.clear()
    registry.ENTRIES.update(entries)
    registry.AUTO_ORDER[:] = order
    sys.modules.pop('grey_runtime', None)


def test_new_runtime_runs_in_the_pipeline(grey_runtime, paint_model):
    pipeline = Pipeline(paint_model(), runtime=RuntimeOptions(runtime='grey'))
    result = pipeline.run(np.zeros((50, 70, 3), np.uint8))
    assert pipeline.runtime.name == 'grey'
    assert result.label_map.shape == (50, 70) and (result.label_map == 1).all()
    assert len(result.detections.boxes) == 0


def test_new_runtime_is_last_in_the_order_of_auto(grey_runtime, paint_model, monkeypatch):
    assert open_runtime(paint_model()).name != 'grey'
    for module in ('openvino', 'onnxruntime', 'tensorrt', 'tensorrt_rtx', 'cuda'):
        monkeypatch.setitem(sys.modules, module, None)
    for entry in registry.ENTRIES.values():
        if entry is not grey_runtime:
            monkeypatch.delitem(sys.modules, entry.module, raising=False)
    assert open_runtime(paint_model()).name == 'grey'


def test_new_runtime_is_an_option_of_commands(grey_runtime, paint_model, capsys):
    assert main(['runtimes', str(paint_model()), '--runtime', 'grey']) == 0
    printed = capsys.readouterr().out
    assert '\ngrey ' in printed and 'runtime grey on cpu, fp32' in printed


def test_new_runtime_is_unknown_until_it_is_registered(capsys):
    import argparse
    assert 'grey' not in runtime_names()
    parser = argparse.ArgumentParser()
    add_runtime_arguments(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(['--runtime', 'grey'])


def test_taken_name_is_rejected(grey_runtime):
    for name in ('auto', 'grey', 'torch'):
        with pytest.raises(ValueError, match='already'):
            register_runtime(name, grey_runtime, ['cpu'])


def test_missing_device_is_reported(grey_runtime, paint_model):
    register_runtime('grey2', grey_runtime, ['cuda'])
    with pytest.raises(StartError, match='it has no device cuda'):
        open_runtime(paint_model(), RuntimeOptions(runtime='grey2'))
