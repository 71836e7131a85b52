from itertools import pairwise
import signal
import subprocess
import sys
import threading

import pytest

from mtl_perception.errors import StartError
from mtl_perception.inference.onnx_file import read_onnx_header
from mtl_perception.inference.runtime import silent


@pytest.fixture
def building(library):
    from mtl_perception.inference.trt import building
    return building


@pytest.fixture
def build(building, rtx, paint_model):
    """Return a function that builds the engine of the painted model."""
    path = paint_model()
    spec = read_onnx_header(path).spec

    def build(capability=(8, 6), say=silent, batch=4):
        return building.build(path.read_bytes(), spec, path, capability, batch, say)

    return build


def test_engine_is_built_without_gpu_and_output(build, rtx, capfd):
    lines = []
    engine = build(say=lines.append)
    assert engine.nbytes > 100_000
    assert lines[0].endswith(f'TensorRT {rtx.FLAVOUR} builds its engine for GPUs of compute '
                             f'capability 8.6; this takes a while, once')
    assert lines[-1].startswith('engine built in ')
    assert capfd.readouterr() == ('', '')


def test_engine_is_built_for_each_capability(build, building):
    known = building.capabilities()
    assert {(7, 5), (8, 6), (8, 9), (12, 0)} <= set(known)
    assert (8, 7) not in known and (9, 0) not in known
    assert bytes(build((7, 5))) != bytes(build((12, 0)))


def test_rtx_configuration_has_gpu_and_capture(building, rtx):
    config = rtx.new_builder().create_builder_config()
    building._target(config, (8, 9))
    assert config.num_compute_capabilities == 1
    assert config.get_compute_capability(0) == rtx.trt.ComputeCapability.SM89
    assert config.get_flag(rtx.trt.BuilderFlag.REQUIRE_USER_ALLOCATION)


def test_gpu_unsupported_by_rtx_requires_tensorrt(build):
    for capability, text in (((8, 7), '8.7'), ((9, 0), '9.0')):
        with pytest.raises(StartError, match=f'does not support compute capability {text}, '
                                             f'only 7.5, .*; install TensorRT itself'):
            build(capability)


def test_progress_increases_and_is_reported(build, building, monkeypatch):
    monkeypatch.setattr(building, '_SECONDS', 0.0)
    monkeypatch.setattr(building, '_LOOK', 0.001)
    lines = []
    build(say=lines.append)
    told = [int(line.split()[3]) for line in lines if line.startswith('building the engine: ')]
    assert 1 <= len(told) <= 10
    assert all(later - earlier >= 10 for earlier, later in pairwise(told))
    assert told[-1] <= 100


def test_progress_counts_nested_phases(building, monkeypatch):
    monkeypatch.setattr(building, '_SECONDS', 0.0)
    lines = []
    progress = building.Progress(lines.append)
    progress.phase_start('all', None, 4)
    progress.step_complete('all', 0)
    progress.tell()
    progress.phase_start('part', 'all', 2)
    progress.step_complete('part', 0)
    progress.tell()
    progress.phase_finish('part')
    progress.step_complete('all', 1)
    progress.step_complete('unheard of', 1)
    progress.tell()
    assert [line.split(' %')[0] for line in lines] == [
        'building the engine: 25', 'building the engine: 38', 'building the engine: 50']


def test_progress_is_rate_limited(building, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(building.time, 'monotonic', lambda: now[0])
    lines = []

    def steps(count, seconds):
        progress = building.Progress(lines.append)
        progress.phase_start('all', None, 1000)
        for step in range(count):
            now[0] += seconds
            progress.step_complete('all', step)
            progress.tell()

    steps(1000, 0.3)
    assert len(lines) == 10  # 300 s in steps of 10 %
    steps(10, 10)
    assert lines[10:] == ['building the engine: 0 % after 30 s', 'building the engine: 1 % after '
                          '60 s', 'building the engine: 1 % after 90 s']


def test_exception_in_progress_ends_build(build, building, monkeypatch):
    monkeypatch.setattr(building, '_SECONDS', 0.0)
    monkeypatch.setattr(building, '_LOOK', 0.001)
    cancelled = []
    cancel = building.Progress.cancel
    monkeypatch.setattr(building.Progress, 'cancel',
                        lambda self: (cancelled.append(self), cancel(self)))

    def fail(line):
        if line.startswith('building the engine'):
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        build(say=fail)
    assert len(cancelled) == 1
    assert not any(thread.name.startswith(building._THREAD) for thread in threading.enumerate())
    assert build().nbytes  # TensorRT goes on


CTRL_C = """
import signal
import sys
import time
from mtl_perception.inference.trt import building
from mtl_perception.main import main

# A test run in the background has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
building.Progress.step_complete = lambda self, name, step: (
    print('step', flush=True), time.sleep(0.05), not self._is_cancelled)[-1]
sys.exit(main(['build-engine', *sys.argv[1:], '--compute-capability', '8.6']))
"""


def test_ctrl_c_ends_command_without_traceback(paint_model, rtx, tmp_path):
    process = subprocess.Popen(
        [sys.executable, '-c', CTRL_C, paint_model(), '-o', tmp_path], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == 'step\n'
    process.send_signal(signal.SIGINT)
    output, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error.splitlines()[1:] == ['mtl: interrupted'] and 'builds its engine' in error
    # A whole build has more than 200 steps.
    assert output.count('step') < 50
    assert [path.name for path in (tmp_path / 'tensorrt').iterdir()] == ['lock']
