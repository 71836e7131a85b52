"""A node's process ends with the launch that started it, and only with that."""

import os
import signal
import subprocess
import sys
import time

import pytest

from mtl_perception.nodes.launched import LAUNCH_PID

pytestmark = pytest.mark.slow

NODE = """
import os, sys, types
from mtl_perception.nodes import process

def make(stop):
    print(os.getpid(), 'MTL_LAUNCH_PID' in os.environ, flush=True)
    stop.wait(30)

process._spin = lambda make, stop, args: make(stop)
sys.exit(process.run_node(make))
"""
LAUNCH = f"""
import os, subprocess, sys, time
environment = dict(os.environ)
if '--launch' in sys.argv:
    environment['{LAUNCH_PID}'] = str(os.getpid())
command = [sys.executable, '-c', os.environ['NODE']]
if '--prefix' in sys.argv:
    command = ['sh', '-c', '"$@"; exit $?', 'sh', *command]
subprocess.Popen(command, env=environment)
time.sleep(60)
"""


def start(*options: str) -> tuple[subprocess.Popen, int, str]:
    """Return a process like launch, the process id of its node, and the node's view of it."""
    launch = subprocess.Popen(
        [sys.executable, '-c', LAUNCH, *options], stdout=subprocess.PIPE, text=True,
        env={**os.environ, 'NODE': NODE})
    pid, known = launch.stdout.readline().split()
    return launch, int(pid), known


def ends(pid: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGTERM])
def test_node_ends_with_its_launch(number):
    launch, pid, known = start('--launch')
    # Processes started by the node itself are not launched.
    assert known == 'False'
    launch.send_signal(number)
    launch.wait()
    assert ends(pid, 5)


def test_manually_started_node_outlives_its_shell():
    launch, pid, _ = start()
    try:
        launch.kill()
        launch.wait()
        assert not ends(pid, 1)
    finally:
        os.kill(pid, signal.SIGTERM)
    assert ends(pid, 5)


def test_prefix_command_does_not_detach_node_from_launch():
    launch, pid, _ = start('--launch', '--prefix')
    assert not ends(pid, 0.3)
    os.kill(pid, signal.SIGTERM)
    launch.kill()
    launch.wait()
    assert ends(pid, 5)


def test_node_does_not_start_if_launch_has_ended():
    gone = subprocess.Popen(['true'])
    gone.wait()
    done = subprocess.run(
        [sys.executable, '-c', NODE], env={**os.environ, LAUNCH_PID: str(gone.pid)}, timeout=20,
        capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (1, '', '')
