from itertools import pairwise
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


def test_an_engine_is_built_without_a_gpu_and_quietly(build, rtx, capfd):
    lines = []
    engine = build(say=lines.append)
    assert engine.nbytes > 100_000
    assert lines[0].endswith(f'TensorRT {rtx.FLAVOUR} builds its engine for GPUs of compute '
                             f'capability 8.6; this takes a while, once')
    assert lines[-1].startswith('engine built in ')
    assert capfd.readouterr() == ('', '')


def test_each_known_capability_is_built_for(build, building):
    known = building.capabilities()
    assert {(7, 5), (8, 6), (8, 9), (12, 0)} <= set(known)
    assert (8, 7) not in known and (9, 0) not in known
    assert bytes(build((7, 5))) != bytes(build((12, 0)))


def test_rtx_is_told_the_gpu_and_that_its_runs_will_be_captured(building, rtx):
    config = rtx.new_builder().create_builder_config()
    building._target(config, (8, 9))
    assert config.num_compute_capabilities == 1
    assert config.get_compute_capability(0) == rtx.trt.ComputeCapability.SM89
    assert config.get_flag(rtx.trt.BuilderFlag.REQUIRE_USER_ALLOCATION)


def test_a_gpu_that_rtx_does_not_know_needs_tensorrt_itself(build):
    for capability, text in (((8, 7), '8.7'), ((9, 0), '9.0')):
        with pytest.raises(StartError, match=f'does not know GPUs of compute capability {text}, '
                                             f'only 7.5, .*; install TensorRT itself'):
            build(capability)


def test_how_far_it_is_rises_and_is_told_now_and_then(build, building, monkeypatch):
    monkeypatch.setattr(building, '_SECONDS', 0.0)
    lines = []
    build(say=lines.append)
    told = [int(line.split()[3]) for line in lines if line.startswith('building the engine: ')]
    assert 2 <= len(told) <= 10
    assert all(later - earlier >= 10 for earlier, later in pairwise(told))
    assert told[-1] <= 100


def test_progress_counts_phases_inside_of_phases(building, monkeypatch):
    monkeypatch.setattr(building, '_SECONDS', 0.0)
    lines = []
    progress = building.Progress(lines.append)
    progress.phase_start('all', None, 4)
    progress.step_complete('all', 0)
    progress.phase_start('part', 'all', 2)
    progress.step_complete('part', 0)
    progress.phase_finish('part')
    progress.step_complete('all', 1)
    progress.step_complete('unheard of', 1)
    assert [line.split(' %')[0] for line in lines] == [
        'building the engine: 25', 'building the engine: 38', 'building the engine: 50']


def test_progress_is_not_told_every_moment_but_a_word_comes_when_it_lasts(building, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(building.time, 'monotonic', lambda: now[0])
    lines = []
    progress = building.Progress(lines.append)
    progress.phase_start('all', None, 1000)
    for step in range(1000):
        now[0] += 0.3
        progress.step_complete('all', step)
    assert len(lines) == 10  # 300 s in steps of 10 %
    progress = building.Progress(lines.append)
    progress.phase_start('all', None, 1000)
    for step in range(10):
        now[0] += 10
        progress.step_complete('all', step)
    assert lines[10:] == ['building the engine: 0 % after 30 s', 'building the engine: 1 % after '
                         '60 s', 'building the engine: 1 % after 90 s']


def test_ctrl_c_ends_a_build(build, building, monkeypatch):
    monkeypatch.setattr(building, '_SECONDS', 0.0)
    told_by = []

    def interrupt(line):
        if line.startswith('building the engine'):
            told_by.append(threading.current_thread())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(say=interrupt)
    assert len(told_by) == 1
    assert build().nbytes  # TensorRT goes on
