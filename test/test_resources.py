from pathlib import Path
import shutil
import subprocess
import sys

import pytest

from mtl_perception.errors import ConfigError, ModelError
from mtl_perception.resources import config_path, model_path

ROOT = Path(__file__).parents[1]
PACKAGE = 'mtl_perception'


def in_source_tree():
    return Path(sys.modules[PACKAGE].__file__).resolve().parents[1] == ROOT


@pytest.mark.skipif('not in_source_tree()', reason='the package was imported from elsewhere')
def test_configuration_in_source_tree():
    assert config_path('aerial.yaml') == ROOT / 'config' / 'aerial.yaml'


def test_default_model_is_shipped():
    assert model_path().suffix == '.onnx'
    assert model_path().stat().st_size > 100_000


@pytest.mark.parametrize('name', ['nothing.onnx', '', '..', '../../package.xml', '/etc/hostname'])
def test_unknown_model_is_rejected(name):
    with pytest.raises(ModelError, match=f'^{name}: no model of that name'):
        model_path(name)


def test_unknown_configuration_is_rejected():
    with pytest.raises(ConfigError, match=r'nothing\.yaml'):
        config_path('nothing.yaml')


def install(prefix, modules):
    """Create an installation of the leaves of the package, with a model and a config."""
    package = modules / PACKAGE
    package.mkdir(parents=True)
    for name in ('__init__.py', 'credentials.py', 'errors.py', 'resources.py'):
        shutil.copy(ROOT / PACKAGE / name, package)
    share = prefix / 'share' / PACKAGE
    for folder, name in (('models', 'some.onnx'), ('config', 'some.yaml')):
        (share / folder).mkdir(parents=True)
        (share / folder / name).touch()
    (share / 'package.xml').touch()
    return share


def found(modules, ament_prefix_path=''):
    code = ('from mtl_perception.resources import config_path, model_path\n'
            'print(model_path("some.onnx"), config_path("some.yaml"), sep="\\n")')
    done = subprocess.run(
        [sys.executable, '-S', '-c', code], check=True, capture_output=True, text=True,
        cwd=modules, env={'AMENT_PREFIX_PATH': ament_prefix_path})
    return [Path(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize('modules', [
    'lib/python3.11/site-packages', 'local/lib/python3.10/dist-packages'])
def test_installation_finds_files_in_own_prefix(tmp_path, modules):
    share = install(tmp_path, tmp_path / modules)
    assert found(tmp_path / modules) == [share / 'models/some.onnx', share / 'config/some.yaml']


def test_isolated_installation_is_found_by_ament_prefix_path(tmp_path):
    share = install(tmp_path / 'prefix', tmp_path / 'elsewhere')
    assert found(tmp_path / 'elsewhere', f'/nowhere:{tmp_path}/prefix') == [
        share / 'models/some.onnx', share / 'config/some.yaml']
