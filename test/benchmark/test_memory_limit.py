import json

import pytest

from mtl_perception.benchmark import memory_limit
from mtl_perception.benchmark.memory_limit import memory_limits, RLIMIT_DATA, smallest, Trials
from mtl_perception.benchmark.subjects import (
    MULTITASK,
    Network,
    PARALLEL,
    SEQUENTIAL,
    Subject,
)


@pytest.mark.parametrize('needed', [1, 5, 99, 100, 101, 400, 1500])
@pytest.mark.parametrize('start', [60, 500])
def test_smallest_limit_is_found_within_tolerance(needed, start):
    asked = []

    def runs(limit):
        asked.append(limit)
        return limit >= needed

    found = smallest(runs, start)
    assert needed <= found <= needed + max(4, 0.02 * found)
    assert asked.count(found) >= 2
    assert len(asked) < 20


def test_target_that_never_runs_has_no_limit():
    assert smallest(lambda limit: False, 10) is None


def test_limit_that_passed_by_chance_is_raised():
    lucky = iter([True])

    def runs(limit):
        return limit >= 104 or (limit >= 100 and next(lucky, False))

    assert smallest(runs, 100) >= 104


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_worker_runs_above_limit_only(paint_model, frames, monkeypatch):
    monkeypatch.setattr(memory_limit, 'parent_group', lambda: None)

    def network(path):
        return Network(path=str(path), runtime='onnxruntime', device='cpu', precision='fp32',
                       threads=1)

    one = (network(paint_model()),)
    two = (network(paint_model(segmentation=False)), network(paint_model(detection=False)))
    said = []
    found = memory_limits({'onnxruntime fp32': [
        Subject('one', MULTITASK, one), Subject('two', SEQUENTIAL, two),
        Subject('both', PARALLEL, two, parallel=True)]}, frames, said.append)
    assert json.loads(json.dumps(found)) == found
    assert found['kind'] == RLIMIT_DATA
    values = found['runtimes']['onnxruntime fp32']
    assert len(said) == 3 and f'{values["multitask_mib"]} MiB' in said[0]
    # Two processes have the libraries' data twice.
    assert values['two_processes_mib'] > 1.5 * values['multitask_mib']
    trials = Trials(frames, None)
    trials.peak_mib((one,))
    assert not trials.runs((one,), [values['multitask_mib'] // 2])
    if values['shown']:
        assert values['multitask_mib'] < values['shown']['limit_mib']


def test_target_that_does_not_run_has_error(frames):
    missing = Subject('one', MULTITASK, (Network(path='missing.onnx'),))
    found = memory_limits({'auto': [missing]}, frames, lambda line: None)
    assert 'missing.onnx' in found['runtimes']['auto']['error']
