from pathlib import Path
import subprocess
import sys
import time

import numpy as np
import pytest

from mtl_perception.benchmark.subjects import BARE, Network
from mtl_perception.benchmark.worker_process import WorkerProcess
from mtl_perception.errors import DataError, ModelError, MtlError, StartError


def network(path, **changes) -> Network:
    return Network(path=str(path), **{
        'runtime': 'onnxruntime', 'device': 'cpu', 'precision': 'fp32', 'threads': 1, **changes})


def ticks(pid: int) -> int:
    return sum(map(int, Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[11:13]))


def test_worker_processes_frames_and_reports_runtime(paint_model, frames) -> None:
    with WorkerProcess() as worker:
        facts = worker.load([network(paint_model())], frames)
        turn = worker.run(5, warm_up=2)
        again = worker.run(2)
    assert facts.networks[0]['runtime'] == 'onnxruntime'
    assert facts.networks[0]['precision'] == 'fp32'
    assert facts.networks[0]['input_size'] == [96, 64]
    assert facts.start_seconds > 0
    assert len(turn.seconds) == 5 and len(again.seconds) == 2
    assert (turn.seconds > 0).all() and (turn.begins[1:] >= turn.ends[:-1]).all()
    assert again.begins[0] >= turn.ends[-1]
    stages = sum(turn.stages.values())
    assert set(turn.stages) == {'preprocess', 'network', 'postprocess'}
    assert (stages <= turn.seconds).all() and (stages > 0.5 * turn.seconds).all()
    assert 20e6 < facts.peak_bytes <= turn.peak_bytes <= again.peak_bytes < 1e9


def test_times_use_clock_of_parent_process(paint_model, frames) -> None:
    with WorkerProcess() as worker:
        worker.load([network(paint_model())], frames)
        begun = time.monotonic()
        turn = worker.run(1)
        assert begun < turn.begins[0] < turn.ends[0] < time.monotonic()


@pytest.mark.slow
def test_two_networks_in_one_process_take_sum_of_times(paint_model, frames) -> None:
    pair = [network(paint_model(segmentation=False)), network(paint_model(detection=False))]
    with WorkerProcess() as both, WorkerProcess() as first, WorkerProcess() as second:
        assert len(both.load(pair, frames).networks) == 2
        first.load(pair[:1], frames)
        second.load(pair[1:], frames)
        for worker in (both, first, second):
            worker.run(20)
        # The least of several, since other work on the machine only adds time.
        least = [min(np.median(worker.run(20).seconds) for _ in range(5))
                 for worker in (both, first, second)]
    assert least[0] > 1.1 * max(least[1:])


def test_bare_loop_processes_frames(paint_model, frames) -> None:
    with WorkerProcess() as worker:
        facts = worker.load([network(paint_model(), kind=BARE)], frames)
        turn = worker.run(3)
    assert facts.networks[0]['runtime'] == 'onnxruntime'
    assert (turn.stages['network'] > 0).all() and not turn.stages['postprocess'].any()


@pytest.mark.slow
def test_idle_worker_uses_no_cpu(paint_model, frames) -> None:
    with WorkerProcess() as worker:
        worker.load([network(paint_model(), threads=2)], frames)
        worker.run(5)
        before = ticks(worker.pid)
        time.sleep(1)
        assert ticks(worker.pid) - before <= 5  # of 100 a second


@pytest.mark.parametrize(('change', 'kind'), [
    ({'path': '/nowhere.onnx'}, ModelError), ({'precision': 'bf16'}, StartError)])
def test_network_that_does_not_open_is_reported(paint_model, frames, change, kind) -> None:
    with WorkerProcess() as worker, pytest.raises(kind):
        worker.load([network(**{'path': paint_model(), **change})], frames)


def test_invalid_frames_are_rejected(paint_model, tmp_path) -> None:
    grey = tmp_path / 'grey.npy'
    np.save(grey, np.zeros((2, 8, 8), np.uint8))
    with WorkerProcess() as worker, pytest.raises(DataError, match=r'grey\.npy'):
        worker.load([network(paint_model())], grey)


def test_memory_limit_ends_in_error(paint_model, frames) -> None:
    with WorkerProcess() as worker, pytest.raises(MtlError):
        worker.load([network(paint_model())], frames, limit_bytes=10_000_000)


def test_killed_worker_is_detected(paint_model, frames) -> None:
    with WorkerProcess() as worker:
        worker.load([network(paint_model())], frames)
        subprocess.run(['kill', '-9', str(worker.pid)], check=True)
        with pytest.raises(MtlError, match='SIGKILL'):
            worker.run(1)


def test_unresponsive_worker_is_terminated(paint_model, frames) -> None:
    with WorkerProcess() as worker:
        worker.load([network(paint_model())], frames)
        with pytest.raises(MtlError, match='did not answer within'):
            worker.run(1_000_000, within=0.2)
        assert not Path(f'/proc/{worker.pid}').exists()


def test_worker_ends_with_its_parent(paint_model, frames) -> None:
    script = (
        'import sys, os\n'
        'from pathlib import Path\n'
        'from mtl_perception.benchmark.worker_process import WorkerProcess\n'
        'from mtl_perception.benchmark.subjects import Network\n'
        'worker = WorkerProcess()\n'
        'worker.load([Network(path=sys.argv[1], runtime="onnxruntime", device="cpu")], '
        'Path(sys.argv[2]))\n'
        'worker.ask(1_000_000)\n'
        'print(worker.pid, flush=True)\n'
        'os.kill(os.getpid(), 9)\n')
    done = subprocess.run([sys.executable, '-c', script, str(paint_model()), str(frames)],
                          stdout=subprocess.PIPE, text=True, timeout=60)
    pid = int(done.stdout)
    deadline = time.monotonic() + 10
    while _runs(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        state = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0]
    except OSError:
        return False
    return state != 'Z'
