"""The installed commands: Ctrl-C is handled from the start."""

import importlib.util
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import pytest

from mtl_perception import __version__

ROOT = Path(__file__).parents[1]
DELAYS = (0.005, 0.01, 0.02, 0.03, 0.06, 0.1, 0.2, 0.4)


def build_scripts(folder: Path, *options: str) -> None:
    subprocess.run(
        [sys.executable, 'setup.py', '-q', 'build_scripts', '--build-dir', str(folder), *options],
        cwd=ROOT, check=True, capture_output=True)


def install_wheels_scripts(folder: Path) -> None:
    """Create scripts as in a wheel's build, and install them as pip does."""
    build_scripts(folder, '--executable', 'python')
    for script in folder.iterdir():
        first, _, rest = script.read_text(encoding='utf-8').partition('\n')
        if first.startswith('#!python'):
            script.write_text(f'#!{sys.executable}\n{rest}', encoding='utf-8')


@pytest.fixture(scope='module', params=['here', 'wheel'])
def built_scripts(request, tmp_path_factory) -> Path:
    """Return the folder of the scripts, built or installed by pip from a wheel."""
    folder = tmp_path_factory.mktemp('scripts')
    if request.param == 'here':
        build_scripts(folder)
    else:
        install_wheels_scripts(folder)
    return folder


@pytest.fixture(params=['mtl', 'perception_node', 'camera_node', 'recorder_node'])
def command(request, built_scripts) -> list[str]:
    """Return the command line of a script installed by the build."""
    if request.param != 'mtl' and importlib.util.find_spec('rclpy') is None:
        pytest.skip('needs ROS 2')
    arguments = ['predict', '--help'] if request.param == 'mtl' else []
    return [str(built_scripts / request.param), *arguments]


@pytest.mark.slow
def test_early_interrupt_leaves_no_traceback(command, tmp_path):
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'ROS_LOG_DIR': str(tmp_path)}
    for delay in DELAYS:
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, start_new_session=True)
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
        assert 'Traceback' not in error, f'after {delay} s: {error}'
        # The recorder reports its missing parameters if it gets that far.
        assert process.returncode in (0, -signal.SIGINT, 130) or (
            'recorder_node' in command[0] and error.startswith('error: parameter')), error


def test_command_runs_with_python(command):
    if command[0].endswith('mtl'):
        done = subprocess.run(
            [sys.executable, *command], env={**os.environ, 'PYTHONPATH': str(ROOT)}, timeout=60,
            capture_output=True, text=True)
        assert done.returncode == 0 and done.stdout.startswith('usage: mtl predict')


def version(*command, **options):
    """Return a command's version text, with an empty environment."""
    done = subprocess.run(
        [*map(str, command), '--version'], capture_output=True, text=True, timeout=60,
        **{'env': {'PYTHONPATH': str(ROOT), 'PATH': os.environ['PATH']}, **options})
    assert done.stderr == ''
    return done.stdout


def test_wheel_command_finds_its_python_from_any_folder(tmp_path):
    # The first line of a script has a limited length and no spaces in the path.
    folder = tmp_path / 'with a space' / ('long' * 60)
    folder.mkdir(parents=True)
    install_wheels_scripts(folder)
    python = folder / 'python'
    python.symlink_to(sys.executable)
    script = folder / 'mtl_perception-python'
    text = script.read_text(encoding='utf-8').partition('\n')[2]
    script.write_text(f'#!{python}\n{text}', encoding='utf-8')
    link = tmp_path / 'another_name'
    link.symlink_to(folder / 'mtl')
    said = f'mtl_perception {__version__}\n'
    assert version(folder / 'mtl') == version('./mtl', cwd=folder) == said
    assert version('sh', 'mtl', cwd=folder) == version(link) == said
    path = os.pathsep.join([str(folder), os.environ['PATH']])
    assert version('/usr/bin/env', 'mtl', env={'PATH': path, 'PYTHONPATH': str(ROOT)}) == said


def test_wheel_command_starts_if_env_cannot_block_signals(tmp_path):
    scripts, old = tmp_path / 'scripts', tmp_path / 'old'
    scripts.mkdir()
    old.mkdir()
    install_wheels_scripts(scripts)
    # Like that of coreutils 8.30 and BusyBox.
    env = old / 'env'
    env.write_text('#!/bin/sh\necho "env: unrecognized option" >&2\nexit 125\n', encoding='utf-8')
    env.chmod(0o755)
    path = os.pathsep.join([str(old), os.environ['PATH']])
    assert version(scripts / 'mtl', env={'PATH': path, 'PYTHONPATH': str(ROOT)}).startswith('mtl')


def test_wheel_command_passes_arguments_and_exit_code(tmp_path):
    install_wheels_scripts(tmp_path)
    done = subprocess.run(
        [tmp_path / 'mtl', 'info', 'no such "file" $HOME.onnx', '--', '*'], capture_output=True,
        text=True, timeout=60, env={**os.environ, 'PYTHONPATH': str(ROOT)})
    assert done.returncode == 2
    assert done.stderr.endswith('mtl: error: unrecognized arguments: *\n')


def test_local_build_needs_no_shell(tmp_path):
    install_wheels_scripts(tmp_path)
    build_scripts(tmp_path, '--force')
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        'camera_node', 'mtl', 'perception_node', 'recorder_node']
    for path in tmp_path.iterdir():
        assert path.read_text(encoding='utf-8').partition('\n')[0].endswith(sys.executable)
