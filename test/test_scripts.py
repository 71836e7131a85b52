"""The installed commands: Ctrl-C is answered in good order from the first moment."""

import importlib.util
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import pytest

ROOT = Path(__file__).parents[1]
DELAYS = (0.005, 0.01, 0.02, 0.03, 0.06, 0.1, 0.2, 0.4)


@pytest.fixture(scope='module')
def built_scripts(tmp_path_factory) -> Path:
    """Return the folder of the scripts as the build leaves them."""
    folder = tmp_path_factory.mktemp('scripts')
    subprocess.run(
        [sys.executable, 'setup.py', '-q', 'build_scripts', '--build-dir', str(folder)], cwd=ROOT,
        check=True, capture_output=True)
    return folder


@pytest.fixture(params=['mtl', 'perception_node', 'camera_node', 'recorder_node'])
def command(request, built_scripts) -> list[str]:
    """Return the command line of a script as the build installs it."""
    if request.param != 'mtl' and importlib.util.find_spec('rclpy') is None:
        pytest.skip('needs ROS 2')
    arguments = ['predict', '--help'] if request.param == 'mtl' else []
    return [str(built_scripts / request.param), *arguments]


def test_an_early_interrupt_leaves_no_traceback(command, tmp_path):
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'ROS_LOG_DIR': str(tmp_path)}
    for delay in DELAYS:
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, start_new_session=True)
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
        assert 'Traceback' not in error, f'after {delay} s: {error}'
        # The recorder needs parameters: where it comes as far as that, it says so.
        assert process.returncode in (0, -signal.SIGINT, 130) or (
            'recorder_node' in command[0] and error.startswith('error: parameter')), error


def test_python_runs_a_command_as_well(command):
    if command[0].endswith('mtl'):
        done = subprocess.run(
            [sys.executable, *command], env={**os.environ, 'PYTHONPATH': str(ROOT)}, timeout=60,
            capture_output=True, text=True)
        assert done.returncode == 0 and done.stdout.startswith('usage: mtl predict')
