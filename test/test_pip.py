"""Installation by pip without ROS, from a wheel and from an sdist, into a new environment."""

from importlib.metadata import Distribution
import json
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace
import zipfile

import cv2
from packaging.requirements import Requirement
import pytest

from mtl_perception.data.synthetic import SyntheticFlight

for needed in ('setuptools', 'wheel'):
    pytest.importorskip(needed)

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
EXTRAS = {'run': [''], 'train': ['', '-train'], 'openvino': ['', '-openvino'],
          'tensorrt': ['', '-tensorrt']}
"""Extra -> suffix of its requirements files."""


def run(*command, **options):
    """Run a command without the Python and ROS variables of the tests' environment."""
    kept = {name: os.environ[name] for name in ('PATH', 'HOME', 'LANG', 'XDG_CACHE_HOME')
            if name in os.environ}
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300,
                          env=kept, **options)


def build(*command, cwd):
    # With the tests' Python, whose environment may contain the build requirements.
    subprocess.run([sys.executable, *map(str, command)], cwd=cwd, check=True, capture_output=True,
                   timeout=300)


def build_wheel(source, folder):
    build('-m', 'pip', 'wheel', '--no-build-isolation', '--no-deps', '--no-index',
          '--no-cache-dir', '-w', folder, source, cwd=folder.parent)
    wheel, = folder.glob('*.whl')
    return wheel


@pytest.fixture(scope='module')
def wheels(tmp_path_factory):
    """Return the wheels built from the source tree and from its sdist."""
    folder = tmp_path_factory.mktemp('dist')
    tree = folder / 'tree'
    shutil.copytree(ROOT, tree, symlinks=True, ignore=lambda folder, names: [
        name for name in names if name.startswith('.') or name in
        ('build', 'install', 'log', 'out', 'runs', 'shared', '__pycache__')
        or name.endswith('.egg-info')])
    build('setup.py', '-q', 'sdist', '-d', folder, cwd=tree)
    sdist, = folder.glob('*.tar.gz')
    return {'wheel': build_wheel(tree, folder / 'of_tree'),
            'sdist': build_wheel(sdist, folder / 'of_sdist')}


@pytest.fixture(scope='module', params=['wheel', 'sdist'])
def installed(request, wheels, tmp_path_factory):
    """Return the prefix and `bin` of a Python in which only this package is installed."""
    prefix = tmp_path_factory.mktemp('python') / request.param
    assert run(sys.executable, '-m', 'venv', prefix).returncode == 0
    place = SimpleNamespace(prefix=prefix, bin=prefix / 'bin')
    done = run(place.bin / 'python', '-m', 'pip', 'install', '--no-index', '--no-deps',
               '--no-cache-dir', wheels[request.param])
    assert done.returncode == 0, done.stderr
    return place


@pytest.fixture
def with_run_extra(installed):
    """Return an installation with the packages of the extra `run` of the tests' Python."""
    packages, = installed.prefix.glob('lib/python*/site-packages')
    others = packages / 'others.pth'
    others.write_text('\n'.join(
        path for path in sys.path if path.endswith(('site-packages', 'dist-packages'))),
        encoding='utf-8')
    yield installed
    others.unlink()


def test_sdist_contains_build_files(wheels):
    contents = [sorted((file.filename, file.CRC) for file in zipfile.ZipFile(wheel).infolist()
                       if not file.filename.endswith('/RECORD')) for wheel in wheels.values()]
    assert contents[0] == contents[1]
    names = {name for name, _ in contents[0]}
    data = 'mtl_perception-0.1.0.data/data/share/mtl_perception'
    assert {'mtl_perception/main.py', 'mtl_perception/evaluation/templates/report.html.j2',
            f'{data}/models/aerial_mobilenet_v2.onnx', f'{data}/config/aerial.yaml'} < names
    assert any(name.endswith('LICENSE') for name in names)
    # It would be found by any `import test`.
    assert not any(name.startswith('test') for name in names)


@pytest.mark.parametrize(('machine', 'python'), [
    ('x86_64', '3.10'), ('x86_64', '3.12'), ('aarch64', '3.10'), ('aarch64', '3.12')])
def test_extras_equal_requirements_files(machine, python, installed):
    metadata, = installed.prefix.glob('lib/python*/site-packages/mtl_perception-*.dist-info')
    requires = [Requirement(line) for line in Distribution.at(metadata).requires]
    environment = {'platform_machine': machine, 'python_version': python, 'sys_platform': 'linux'}

    def asked(requirements, extra):
        return sorted(
            f'{item.name} {item.specifier}' for item in requirements
            if item.marker is None or item.marker.evaluate({**environment, 'extra': extra}))

    for extra, files in EXTRAS.items():
        lines = [line for name in files
                 for line in (ROOT / f'requirements{name}.txt').read_text().splitlines()]
        expected = [Requirement(line) for line in lines if line and not line.startswith('#')]
        assert asked(requires, extra) == sorted([*asked(expected, extra), *asked(requires, '')])
        assert len(asked(expected, extra)) > len(EXTRAS[extra])
    # Humble's entry points require all packages that are listed without an extra.
    assert asked(requires, '') == ['setuptools ']
    given = {item.split()[0] for item in asked(requires, 'tensorrt')}
    assert ('tensorrt-rtx-cu13' in given, 'cuda-bindings' in given) == (machine == 'x86_64', True)


def test_missing_extras_are_reported(installed, tmp_path):
    mtl = installed.bin / 'mtl'
    assert run(mtl, '--version', cwd=tmp_path).stdout == 'mtl_perception 0.1.0\n'
    done = run(mtl, '--help', cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout.startswith('usage: mtl ')
    for command, extra in (
            ('predict', 'run'), ('info', 'run'), ('demo', 'run'), ('train', 'train')):
        done = run(mtl, command, '--input', 'images', '--output', 'out', cwd=tmp_path)
        assert (done.returncode, done.stdout) == (1, '')
        assert re.fullmatch(
            r'mtl: error: this needs the package \w+: '
            rf"pip install 'mtl_perception\[{extra}\]'\n", done.stderr)
    done = run(installed.bin / 'perception_node', cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        1, 'error: this needs the package rclpy: source a ROS 2 and use its Python\n')
    assert not list(tmp_path.iterdir())


def test_shipped_model_runs_with_extra(with_run_extra, tmp_path):
    frame = next(iter(SyntheticFlight(seed=8)))
    cv2.imwrite(str(tmp_path / 'town.png'), frame.image)
    mtl = with_run_extra.bin / 'mtl'
    done = run(mtl, 'predict', '--input', 'town.png', '--output', 'out', cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    predictions = json.loads((tmp_path / 'out' / 'predictions.json').read_text(encoding='utf-8'))
    assert predictions['annotations']
    assert [path.name for path in (tmp_path / 'out' / 'masks').iterdir()] == ['town.png']

    done = run(mtl, 'info', cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, '')
    assert 'mobilenet_v2' in done.stdout

    done = run(with_run_extra.bin / 'python', '-c',
               'from mtl_perception.resources import model_path\nprint(model_path())',
               cwd=tmp_path)
    assert Path(done.stdout.strip()).is_relative_to(with_run_extra.prefix)
