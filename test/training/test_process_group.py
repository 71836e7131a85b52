"""Real processes, started by torchrun, that communicate over gloo."""

from importlib.util import module_from_spec, spec_from_file_location
import os
from pathlib import Path
import subprocess
import sys

import pytest

torch = pytest.importorskip('torch')

from mtl_perception.training.engine import launched  # noqa: E402
from mtl_perception.training.process_group import ALONE, ProcessGroup  # noqa: E402

SCRIPT = Path(__file__).with_name('two_processes.py')


@pytest.fixture(scope='module')
def two_processes(manifest_path, tmp_path_factory):
    """Return a function that reads what a process of two computed in a scenario."""
    folder = tmp_path_factory.mktemp('two')
    done = subprocess.run(
        [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2',
         str(SCRIPT), str(manifest_path), str(folder)], capture_output=True, text=True,
        timeout=240, env={**os.environ, 'GLOO_SOCKET_IFNAME': 'lo', 'OMP_NUM_THREADS': '1'})

    # The engine's banner.
    assert 'distributed_backend' not in done.stdout + done.stderr

    def read(scenario: str, rank: int = 0) -> dict:
        path = folder / f'{scenario}{rank}.pt'
        assert path.is_file(), done.stderr[-3000:]
        return torch.load(path, weights_only=True)

    return read


@pytest.fixture(scope='module')
def script():
    """Return the script as a module."""
    spec = spec_from_file_location('two_processes', SCRIPT)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_two_processes_with_half_the_images_have_the_gradients_of_one(
        two_processes, script, manifest_path, tmp_path):
    with launched('cpu', 'fp32') as fabric:
        one = script.gradients(fabric, str(manifest_path), tmp_path)
    two = two_processes('gradients')
    assert one['images'] == 7 and two['images'] == 4
    assert two['losses'] == pytest.approx(one['losses'], rel=1e-4)
    compared = 0
    for name, gradient in one['gradients'].items():
        if gradient is not None:
            scale = float(gradient.abs().max())
            assert torch.allclose(two['gradients'][name], gradient, rtol=1e-3,
                                  atol=1e-4 * scale + 1e-7), name
            compared += scale > 0
    assert compared > 100


@pytest.mark.slow
@pytest.mark.timeout(500)
@pytest.mark.parametrize('rank', [0, 1])
def test_unequal_shares_are_accumulated(two_processes, rank):
    assert two_processes('unequal_shares', rank) == {'steps': 2}


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_validation_may_take_longer_than_the_time_out(two_processes):
    assert two_processes('long_validation', 0) == {'steps': 1, 'best': 0.25}
    assert two_processes('long_validation', 1)['steps'] == 1


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_processes_agree_on_broken_entries(two_processes):
    first, second = (two_processes('skipped_entries', rank) for rank in (0, 1))
    assert first == {'indices': [[0, 1, 2]], 'lines': []}
    assert second['indices'] == first['indices'] and len(second['lines']) == 1


def test_images_are_divided_without_loss():
    shares = [ProcessGroup(rank, 3).share(list(range(8))) for rank in range(3)]
    assert shares == [[0, 3, 6], [1, 4, 7], [2, 5]]
    assert ProcessGroup(0, 3).smallest_share(8) == min(map(len, shares))


def test_a_single_process_has_nothing_to_add_up():
    value = torch.tensor(3.0, requires_grad=True)
    assert ALONE.sum(value).item() == 3 and not ALONE.sum(value).requires_grad
    assert ALONE.any(True, torch.device('cpu')) and not ALONE.any(False, torch.device('cpu'))
