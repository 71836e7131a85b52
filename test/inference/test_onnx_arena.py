import subprocess
import sys

import numpy as np
from onnx import helper, TensorProto
import onnxruntime
import pytest

from mtl_perception.inference.onnx_arena import bind_outputs

# Prints the growth of the process in MB between loading a session and running it.
PROGRAM = """
import ctypes, sys
import numpy as np
import onnxruntime
from mtl_perception.inference.onnx_arena import bind_outputs, first_run, take_what_is_needed
from mtl_perception.memory import give_back_freed_memory
def resident():
    give_back_freed_memory()
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * 4096 / 1e6
settings = onnxruntime.SessionOptions()
settings.intra_op_num_threads = 1
ours = sys.argv[2] == 'ours'
if ours:
    take_what_is_needed(settings)
    take_what_is_needed(settings)  # of a second session
session = onnxruntime.InferenceSession(
    sys.argv[1], settings, providers=['CPUExecutionProvider'])
images = np.zeros((1, 480, 640, 3), np.uint8)
binding = session.io_binding()
before = resident()
for run in range(4):
    binding.bind_cpu_input('images', images)
    if run or not ours:
        for tensor in session.get_outputs():
            binding.bind_output(tensor.name)
    else:
        kept = bind_outputs(session, binding, 1)
    session.run_with_iobinding(binding, first_run() if ours and not run else None)
print(resident() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='reads /proc')
def test_memory_of_first_run_is_freed(paint_model):
    def growth(setting):
        done = subprocess.run(
            [sys.executable, '-c', PROGRAM, str(paint_model(size=(640, 480))), setting],
            capture_output=True, check=True, text=True)
        return float(done.stdout)

    default, ours = growth('default'), growth('ours')
    # 480x640x3 floats are 3.7 MB.
    assert ours < default - 3, (ours, default)


def test_outputs_of_known_shape_are_bound(paint_model):
    session = onnxruntime.InferenceSession(
        str(paint_model()), providers=['CPUExecutionProvider'])
    binding = session.io_binding()
    bound = bind_outputs(session, binding, 2)
    images = np.zeros((2, 64, 96, 3), np.uint8)
    images[1, 8:16, 8:16] = (250, 10, 10)
    binding.bind_cpu_input('images', images)
    session.run_with_iobinding(binding)
    names = [tensor.name for tensor in session.get_outputs()]
    expected = dict(zip(names, session.run(names, {'images': images}), strict=True))
    assert set(bound) == set(names)
    for name, value in bound.items():
        assert value.dtype == expected[name].dtype
        np.testing.assert_array_equal(value, expected[name])


def test_outputs_of_unknown_shape_are_not_bound():
    value, same = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ['batch', 'boxes'])
                   for name in ('value', 'same'))
    model = helper.make_model(
        helper.make_graph([helper.make_node('Identity', ['value'], ['same'])], 'open', [value],
                          [same]),
        opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=['CPUExecutionProvider'])
    assert bind_outputs(session, session.io_binding(), 1) is None
