"""Missing packages are reported in one line with the remedy, by commands and nodes."""

import ast
import os
from pathlib import Path
import subprocess
import sys

import pytest

import mtl_perception
from mtl_perception import extras
from mtl_perception.extras import missing_package, remedy
from mtl_perception.main import main

PACKAGE = Path(mtl_perception.__file__).parent

# Runs `what` as if the modules named first were not installed.
WITHOUT = """
import sys
from importlib.abc import MetaPathFinder

class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in sys.argv[1].split(','):
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)

sys.meta_path.insert(0, Missing())
"""


def run_without(missing, what, *arguments):
    return subprocess.run(
        [sys.executable, '-c', WITHOUT + what, missing, *arguments], capture_output=True,
        text=True, timeout=60, env={**os.environ, 'PYTHONPATH': str(PACKAGE.parent)})


@pytest.fixture
def installed(monkeypatch):
    """Simulate an installed package on a machine without sourced ROS."""
    monkeypatch.setattr(extras, '_in_source_tree', lambda: False)
    monkeypatch.setattr(extras.platform, 'machine', lambda: 'x86_64')
    monkeypatch.delenv('ROS_DISTRO', raising=False)


@pytest.mark.parametrize(('module', 'extra'), [
    ('numpy', 'run'), ('cv2', 'run'), ('torch.nn', 'train'), ('openvino', 'openvino'),
    ('cuda.bindings.runtime', 'tensorrt'), ('tensorrt_rtx', 'tensorrt')])
def test_remedy_names_extra(module, extra, installed):
    assert remedy(module) == f"pip install 'mtl_perception[{extra}]'"


def test_remedy_in_source_tree_names_makefile_target():
    makefile = (PACKAGE.parent / 'Makefile').read_text(encoding='utf-8')
    for modules in extras._EXTRAS.values():
        target = remedy(modules[0]).removeprefix('make ').partition(',')[0]
        assert f'\n{target}: ' in makefile


def test_remedy_on_jetson_uses_system_tensorrt(installed, monkeypatch):
    monkeypatch.setattr(extras.platform, 'machine', lambda: 'aarch64')
    assert 'JetPack' in remedy('tensorrt') and '[tensorrt]' in remedy('cuda.bindings')


def test_remedy_for_ros_packages(installed, monkeypatch):
    assert remedy('rclpy.node') == 'source a ROS 2 and use its Python'
    monkeypatch.setenv('ROS_DISTRO', 'humble')
    assert remedy('rclpy') == 'source a ROS 2 and use its Python'
    assert remedy('vision_msgs.msg') == 'apt-get install ros-humble-vision-msgs'


def test_other_modules_have_no_remedy():
    for name in ('mtl_perception.nothing', 'torchaudio', 'cuda_python', ''):
        assert remedy(name) is None
    assert missing_package(ImportError('cannot import name x from y', name='numpy')) is None
    assert missing_package(ModuleNotFoundError('by hand')) is None


def test_missing_submodule_of_installed_package_is_a_defect(tmp_path, monkeypatch):
    for folder in ('cuda/core', 'openvino'):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / 'openvino' / '__init__.py').touch()
    monkeypatch.setattr(sys, 'path', [str(tmp_path)])
    assert missing_package(ModuleNotFoundError(name='openvino.nothing')) is None
    assert missing_package(ModuleNotFoundError(name='cuda.bindings')) == (
        f'this needs the package cuda.bindings: {remedy("cuda")}')


def test_all_imports_have_a_remedy():
    imported = set()
    for path in PACKAGE.rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Import):
                imported.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(node.module)
    others = {name for name in imported
              if name.partition('.')[0] not in {*sys.stdlib_module_names, 'mtl_perception'}}
    assert {'numpy', 'torch'} < others
    assert not {name for name in others if remedy(name) is None}


def test_base_package_imports_no_extra():
    everything = ','.join(name for names in extras._EXTRAS.values() for name in names)
    done = run_without(everything, 'import mtl_perception, mtl_perception.main')
    assert (done.returncode, done.stderr) == (0, '')


@pytest.mark.parametrize('module', [
    'commands.predict', 'commands.demo', 'demo.run', 'nodes.camera_node', 'nodes.perception_node',
    'nodes.recorder_node'])
def test_robot_requires_no_data_set_package(module):
    """ROS has no key for pydantic 2, and nothing on a robot reads annotations."""
    if module.startswith('nodes'):
        pytest.importorskip('rclpy')
    done = run_without('pydantic,pydantic_core,lxml', f'import mtl_perception.{module}')
    assert (done.returncode, done.stderr) == (0, '')


@pytest.mark.parametrize(('missing', 'command'), [
    ('numpy', 'predict'), ('cv2', 'demo'), ('yaml', 'evaluate'), ('torch', 'train')])
def test_command_reports_missing_package_in_one_line(missing, command):
    done = run_without(
        missing, 'from mtl_perception.main import main\nsys.exit(main(sys.argv[2:]))', command)
    assert done.returncode == 1
    assert done.stderr == f'mtl: error: this needs the package {missing}: {remedy(missing)}\n'


@pytest.mark.parametrize('missing', ['rclpy', 'numpy'])
@pytest.mark.parametrize('node', ['camera_node', 'perception_node', 'recorder_node'])
def test_node_reports_missing_package_in_one_line(node, missing):
    if missing == 'numpy':
        pytest.importorskip('rclpy')
    done = run_without(
        missing, f'from mtl_perception.nodes.{node} import main\nsys.exit(main([]))')
    assert done.returncode == 1
    assert done.stderr == f'error: this needs the package {missing}: {remedy(missing)}\n'


def test_missing_other_module_is_a_defect(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv('XDG_STATE_HOME', str(tmp_path))
    monkeypatch.setitem(sys.modules, 'mtl_perception.commands.info', None)
    assert main(['info']) == 70
    assert 'mtl: internal error: ModuleNotFoundError: ' in capsys.readouterr().err
