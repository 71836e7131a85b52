"""
Execution of an engine on a fake CUDA in this process's memory.

It tests the order of calls, the ownership of memory and the handling of error codes; results of a
real GPU are tested in test_tensorrt_runtime.py.
"""

import gc
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

from mtl_perception.errors import StartError
from mtl_perception.inference.onnx_file import read_onnx_header

real = pytest.importorskip('cuda.bindings.runtime')

_found = spec_from_file_location('fake_cuda', Path(__file__).with_name('fake_cuda.py'))
fake_cuda = module_from_spec(_found)
_found.loader.exec_module(fake_cuda)

FAILED = real.cudaError_t.cudaErrorIllegalAddress


@pytest.fixture
def runtime(monkeypatch):
    from mtl_perception.inference.trt import cuda
    fake = fake_cuda.FakeRuntime(real)
    monkeypatch.setattr(cuda, 'runtime', fake)
    return fake


@pytest.fixture
def start(runtime, paint_model):
    """Return a function that starts an executor and returns it with its contexts and lines."""
    def start(**arguments):
        from mtl_perception.inference.trt.execution import Executor
        spec = read_onnx_header(paint_model(**arguments)).spec
        width, height = spec.input_size
        contexts = fake_cuda.FakeContexts(fake_cuda.FakeEngine(runtime, height, width, 4))
        lines = []
        return Executor(contexts.engine, contexts, spec, lines.append), contexts, lines

    return start


def batch(count, offset=0):
    """Return images with their number in the first pixel."""
    images = np.zeros((count, 64, 96, 3), np.uint8)
    images[:, 0, 0] = np.arange(count)[:, None] + np.array([offset + 1, offset + 2, offset + 3])
    return images


def check(raw, count, offset=0):
    outputs = vars(raw)
    numbers = np.arange(count) + offset
    assert {name: (values.dtype.name, values.shape) for name, values in outputs.items()} == {
        'boxes': ('float32', (count, 6, 4)), 'scores': ('float32', (count, 6)),
        'classes': ('int32', (count, 6)), 'label_map': ('uint8', (count, 16, 24))}
    assert (outputs['boxes'] == (numbers + 1)[:, None, None]).all()
    assert (outputs['scores'] == (numbers + 2)[:, None]).all()
    assert (outputs['classes'] == (numbers + 3)[:, None]).all()
    assert (outputs['label_map'] == (numbers + 1)[:, None, None]).all()


def test_outputs_match_images_for_each_batch_size(start):
    executor, _, lines = start()
    for count in (1, 3, 1, 4, 2, 3):
        check(executor.run(batch(count, count)), count, count)
    assert lines == []


def test_batch_size_is_captured_once_after_warm_up(start, runtime):
    executor, contexts, _ = start()
    for count in (1, 1, 1, 3, 1, 3):
        executor.run(batch(count))
    assert runtime.calls['cudaStreamBeginCapture'] == 2
    assert runtime.calls['cudaGraphLaunch'] == 6
    used = [context for context in contexts.contexts if context.runs]
    assert [(context.count, context.runs) for context in used] == [(1, 2), (3, 2)]
    assert contexts.kept == 2
    # All share one memory for inner results.
    assert len({context.inner for context in contexts.contexts}) == 1


def test_larger_batches_are_split(start, runtime):
    executor, contexts, _ = start()
    check(executor.run(batch(9)), 9)
    assert sorted(context.count for context in contexts.contexts if context.runs) == [1, 4]
    assert runtime.calls['cudaGraphLaunch'] == 3


def test_images_are_not_modified_and_outputs_valid_until_next_run(start):
    executor, _, _ = start()
    images = batch(2)
    images.setflags(write=False)
    outputs = executor.run(images)
    check(outputs, 2)
    assert executor.run(batch(2, 50)).boxes.ctypes.data == outputs.boxes.ctypes.data
    check(executor.run(images), 2)


def test_single_task_model_has_its_outputs_only(start):
    executor, _, _ = start(detection=False)
    found = vars(executor.run(batch(1)))
    assert [name for name, values in found.items() if values is not None] == ['label_map']


@pytest.mark.slow
@pytest.mark.parametrize('name', ['cudaStreamBeginCapture', 'cudaStreamEndCapture',
                                  'cudaGraphInstantiate', 'execute_async_v3'])
def test_failed_capture_is_reported_once_and_runs_without_graph(start, runtime, monkeypatch, name):
    executor, _, lines = start()
    if name == 'execute_async_v3':
        run = fake_cuda.FakeContext.execute_async_v3
        monkeypatch.setattr(fake_cuda.FakeContext, name,
                            lambda self, stream: runtime.captured is None and run(self, stream))
    else:
        runtime.fails[name] = real.cudaError_t.cudaErrorStreamCaptureUnsupported
    for offset in (0, 5):
        check(executor.run(batch(2, offset)), 2, offset)
    assert runtime.captured is None
    assert runtime.calls['cudaGraphLaunch'] == 0
    assert len(lines) == 1
    assert lines[0].startswith('batches of 2 run without a CUDA graph (')
    assert name in lines[0] or name == 'execute_async_v3'
    # The code must not turn up at a later call that has nothing to do with it.
    assert runtime.last_error == real.cudaError_t.cudaSuccess
    del executor
    gc.collect()
    assert runtime.live == set()


def test_unsupported_capture_is_not_attempted(start, runtime, monkeypatch):
    monkeypatch.setattr(fake_cuda.FakeContext, 'is_stream_capturable',
                        lambda self, stream: False, raising=False)
    executor, _, lines = start()
    check(executor.run(batch(2)), 2)
    assert runtime.calls['cudaStreamBeginCapture'] == 0 and len(lines) == 1


@pytest.mark.slow
@pytest.mark.parametrize('name', ['cudaStreamCreateWithFlags', 'cudaMalloc', 'cudaHostAlloc'])
def test_start_failure_names_call_and_code_and_frees_memory(start, runtime, name):
    runtime.fails[name] = real.cudaError_t.cudaErrorMemoryAllocation
    with pytest.raises(StartError) as caught:
        start()
    assert str(caught.value).startswith(f'{name}: cudaErrorMemoryAllocation (out of memory); ')
    del caught
    gc.collect()
    assert runtime.live == set()


@pytest.mark.parametrize('name', ['cudaMemcpyAsync', 'cudaStreamSynchronize', 'cudaGraphLaunch'])
def test_run_failure_names_call_and_code(start, runtime, name):
    executor, _, _ = start()
    executor.run(batch(1))
    runtime.fails[name] = FAILED
    with pytest.raises(StartError, match=f'{name}: cudaErrorIllegalAddress .*dmesg'):
        executor.run(batch(2 if name == 'cudaMemcpyAsync' else 1))


def test_engine_failure_gives_one_line_error(start, monkeypatch):
    executor, _, _ = start()
    monkeypatch.setattr(fake_cuda.FakeContext, 'execute_async_v3', lambda self, stream: False)
    with pytest.raises(StartError, match=r'TensorRT does not run the engine \(it is tired\); '):
        executor.run(batch(1))


@pytest.mark.slow
def test_executor_frees_everything(start, runtime):
    executor, _, _ = start()
    for count in (1, 4):
        executor.run(batch(count))
    # A stream, five buffers on both sides, memory for inner results and two graphs.
    assert len(runtime.live) == 1 + 2 * 5 + 1 + 2
    del executor
    gc.collect()
    assert runtime.live == set()
