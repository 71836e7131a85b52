import subprocess
import sys

import numpy as np
import onnx
import pytest

from mtl_perception.data.synthetic import SyntheticFlight
from mtl_perception.errors import StartError
from mtl_perception.inference.registry import open_runtime
from mtl_perception.inference.runtime import RuntimeOptions, silent
from mtl_perception.resources import model_path

pytest.importorskip('openvino')

from mtl_perception.inference.openvino_runtime import OpenVinoRuntime


@pytest.fixture
def cache(tmp_path):
    return tmp_path / 'cache'


def _open(path, cache, say=silent, **options):
    return OpenVinoRuntime(path, 'cpu', RuntimeOptions(cache=cache, **options), say)


def _images(count=3):
    images = np.zeros((count, 64, 96, 3), np.uint8)
    images[-1, 8:20, 16:40] = (255, 0, 0)
    return images


def test_agrees_with_onnxruntime_for_any_batch_size(paint_model, cache):
    path = paint_model(size=(96, 64), stride=4)
    runtime = _open(path, cache, precision='fp32')
    other = open_runtime(path, RuntimeOptions('onnxruntime'))
    for count in (1, 3, 2, 1):
        ours, theirs = runtime.run(_images(count)), other.run(_images(count))
        found = theirs.scores > 0  # Equal ones may be in any order.
        for name in ('boxes', 'scores', 'classes', 'label_map'):
            mine, expected = getattr(ours, name), getattr(theirs, name)
            assert mine.dtype == expected.dtype and mine.shape == expected.shape
            if name != 'label_map':
                mine, expected = mine[found], expected[found]
            assert np.array_equal(mine, expected), name
    assert ours.boxes[0, 0].tolist() == [16, 8, 40, 20]


def test_single_task_model_omits_other_outputs(paint_model, cache):
    detects = _open(paint_model(segmentation=False), cache).run(_images())
    assert detects.label_map is None and detects.boxes is not None
    segments = _open(paint_model(detection=False), cache).run(_images())
    assert segments.boxes is None and segments.label_map is not None


def test_outputs_are_not_copied(paint_model, cache):
    runtime = _open(paint_model(), cache)
    first = runtime.run(_images(1))
    assert runtime.run(255 - _images(1)).label_map.ctypes.data == first.label_map.ctypes.data


def test_single_task_uses_separate_graph(paint_model, cache):
    lines = []
    runtime = _open(paint_model(), cache, lines.append, precision='fp32')
    both = {name: values.copy() for name, values in vars(runtime.run(_images(1))).items()}
    for task, names in (('detection', ('boxes', 'scores', 'classes')),
                        ('segmentation', ('label_map',))):
        for _ in range(2):  # by the whole graph, and by its own
            outputs = vars(runtime.run(_images(1), [task]))
            assert [name for name, values in outputs.items() if values is not None] == [*names]
            # The order of classes without a score is undefined.
            assert all(np.array_equal(outputs[name], both[name])
                       for name in names if name != 'classes')
            runtime._graphs.wait()
    assert not lines


@pytest.mark.slow
def test_cache_does_not_change_precision(paint_model, cache):
    precisions = OpenVinoRuntime.facts().precisions
    assert _open(paint_model(), cache).precision == precisions[0]
    assert _open(paint_model(), cache, precision='fp32').precision == 'fp32'
    if 'bf16' not in precisions:
        with pytest.raises(StartError, match='does not compute in bf16; select precision fp32'):
            _open(paint_model(), cache, precision='bf16')
        pytest.skip('this CPU does not compute in BF16')
    image = SyntheticFlight(0, 640, 640, 1, 1.0)[0].image[None]
    expected = open_runtime(model_path(), RuntimeOptions('onnxruntime')).run(image).scores
    for precision, least, most in (('fp32', 0, 1e-5), ('bf16', 1e-4, 0.02), ('fp32', 0, 1e-5)):
        scores = _open(model_path(), cache, precision=precision).run(image).scores
        assert least <= np.abs(scores - expected).max() <= most


def test_cache_is_reused_and_broken_file_ignored(paint_model, cache):
    expected = _open(paint_model(), cache).run(_images()).boxes
    (blob,) = (cache / 'openvino').iterdir()
    whole = blob.read_bytes()
    for content in (whole, whole[:len(whole) // 2], b'', b'rubbish'):
        blob.chmod(0o600)
        blob.write_bytes(content)
        assert np.array_equal(_open(paint_model(), cache).run(_images()).boxes, expected)


def test_unwritable_cache_folder_is_reported_and_skipped(paint_model, cache):
    cache.write_text('no folder')
    lines = []
    assert _open(paint_model(), cache, lines.append).run(_images()).boxes is not None
    assert len(lines) == 1 and str(cache) in lines[0] and 'are not cached' in lines[0]


def test_invalid_graph_gives_one_line_error(paint_proto, tmp_path, cache, capfd):
    operator, version = paint_proto(), paint_proto()
    operator.graph.node[3].op_type = 'NoSuchOperator'
    version.opset_import[0].version = 99
    for name, model in (('operator', operator), ('version', version)):
        path = tmp_path / f'{name}.onnx'
        onnx.save(model, path)
        with pytest.raises(StartError, match='OpenVINO cannot load it') as caught:
            _open(path, cache)
        assert '\n' not in str(caught.value)
    assert capfd.readouterr() == ('', '')


def test_runtime_prints_nothing(paint_model, cache):
    code = ('import sys, numpy; from pathlib import Path; '
            'from mtl_perception.inference.registry import open_runtime, RuntimeOptions; '
            'options = RuntimeOptions("openvino", cache=Path(sys.argv[2])); '
            'open_runtime(sys.argv[1], options).run(numpy.zeros((1, 64, 96, 3), numpy.uint8))')
    done = subprocess.run(
        [sys.executable, '-c', code, str(paint_model()), str(cache)], capture_output=True,
        check=True, text=True)
    assert (done.stdout, done.stderr) == ('', '')


@pytest.mark.slow
def test_signals_are_delivered_after_models_are_deleted(paint_model, cache):
    # Python handles them on the thread's alternate stack, which OpenVINO replaces.
    code = """
import faulthandler, gc, os, signal, sys
from mtl_perception.inference.registry import open_runtime, RuntimeOptions
from pathlib import Path
faulthandler.enable()
signal.signal(signal.SIGUSR1, lambda *_: print('alive', flush=True))
options = RuntimeOptions('openvino', cache=Path(sys.argv[2]))
first, second = open_runtime(sys.argv[1], options), open_runtime(sys.argv[1], options)
for number in range(3):
    os.kill(os.getpid(), signal.SIGUSR1)
    if number == 0:
        del first
    if number == 1:
        del second
    gc.collect()
"""
    done = subprocess.run(
        [sys.executable, '-c', code, str(paint_model()), str(cache)], capture_output=True,
        text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, 'alive\n' * 3)
