"""Real processes, started by torchrun, that talk over gloo."""

import os
from pathlib import Path
import subprocess
import sys

import pytest

from mtl_perception.errors import ConfigError

torch = pytest.importorskip('torch')

from mtl_perception.training.distributed import joined_world, World  # noqa: E402

SCRIPT = Path(__file__).with_name('two_processes.py')


def gradients(manifest_path: Path, output: Path, launcher: list[str]) -> dict:
    done = subprocess.run(
        [sys.executable, *launcher, str(SCRIPT), str(manifest_path), str(output)],
        capture_output=True, text=True, timeout=240,
        env={**os.environ, 'GLOO_SOCKET_IFNAME': 'lo', 'OMP_NUM_THREADS': '1'})
    assert done.returncode == 0, done.stderr[-3000:]
    return torch.load(output, weights_only=True)


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_two_processes_with_half_the_pictures_have_the_gradients_of_one(manifest_path, tmp_path):
    one = gradients(manifest_path, tmp_path / 'one.pt', [])
    two = gradients(manifest_path, tmp_path / 'two.pt', [
        '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2'])
    assert one['pictures'] == 7 and two['pictures'] == 4
    assert two['losses'] == pytest.approx(one['losses'], rel=1e-4)
    compared = 0
    for name, gradient in one['gradients'].items():
        if gradient is not None:
            scale = float(gradient.abs().max())
            assert torch.allclose(two['gradients'][name], gradient, rtol=1e-3,
                                  atol=1e-4 * scale + 1e-7), name
            compared += scale > 0
    assert compared > 100


def test_pictures_are_dealt_out_without_loss():
    dealt = [World(rank, 3).share(list(range(8))) for rank in range(3)]
    assert dealt == [[0, 3, 6], [1, 4, 7], [2, 5]]


def test_alone_there_is_nothing_to_add_up():
    world = World()
    value = torch.tensor(3.0, requires_grad=True)
    assert world.sum(value).item() == 3 and not world.sum(value).requires_grad
    assert world.any(True, torch.device('cpu')) and not world.any(False, torch.device('cpu'))


def test_half_an_environment_of_torchrun_is_named(monkeypatch):
    monkeypatch.setenv('WORLD_SIZE', '2')
    monkeypatch.delenv('RANK', raising=False)
    with pytest.raises(ConfigError, match='torchrun'), joined_world(cuda=False):
        pass
