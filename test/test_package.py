"""Agreement of package.xml, setup.py, the Makefile's environment and the code."""

import ast
from importlib import import_module
from importlib.metadata import distribution
import os
from pathlib import Path
import runpy
import shutil
import subprocess
import sys
from xml.etree import ElementTree

import pytest

import mtl_perception
from mtl_perception import extras

ROOT = Path(__file__).parents[1]
PACKAGE = 'mtl_perception'
COMMANDS = ['camera_node', 'mtl', 'perception_node', 'recorder_node']

# Modules with a rosdep key in package.xml.
KEYS = {
    'cv2': 'python3-opencv',
    'numpy': 'python3-numpy',
    'onnxruntime': 'python3-onnxruntime-pip',
    'rosbags': 'python3-rosbags-pip',
    'tqdm': 'python3-tqdm',
    'yaml': 'python3-yaml',
}
# Imports of training, export, evaluation and optional runtimes are no dependencies of a robot.
OPTIONAL = {name for names in extras._EXTRAS.values() for name in names} - set(KEYS)


@pytest.fixture(scope='module')
def manifest():
    return ElementTree.parse(ROOT / 'package.xml').getroot()


def imports(path):
    """Return the top-level names of all modules imported by a file."""
    tree = ast.parse(path.read_text(encoding='utf-8'), str(path))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition('.')[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition('.')[0]


def test_versions_agree(manifest):
    assert manifest.findtext('version') == mtl_perception.__version__
    assert distribution(PACKAGE).version == mtl_perception.__version__


def test_licence_agrees_with_license_file(manifest):
    licence = manifest.find('license')
    assert licence.text == 'Apache-2.0'
    assert 'Apache License' in (ROOT / licence.get('file')).read_text(encoding='utf-8')


def test_package_xml_declares_imports(manifest):
    declared = {item.text for tag in ('depend', 'exec_depend') for item in manifest.findall(tag)}
    files = [*(ROOT / PACKAGE).rglob('*.py'), *(ROOT / 'launch').glob('*.py')]
    imported = {name for path in files for name in imports(path)}
    own = {PACKAGE, *sys.stdlib_module_names} | OPTIONAL
    assert {KEYS.get(name, name) for name in imported - own} <= declared


def test_optional_packages_are_not_required(manifest):
    for package, tag, condition in (
            ('cv_bridge', 'test_depend', None), ('rviz2', 'exec_depend', '$MTL_RVIZ == 1')):
        [found] = [item for item in manifest if item.text == package]
        assert (found.tag, found.get('condition')) == (tag, condition)


def test_all_commands_start():
    scripts = ROOT / 'scripts'
    assert sorted(path.name for path in scripts.iterdir()) == COMMANDS
    assert len({path.resolve() for path in scripts.iterdir()}) == 1
    # To Python, the shell's lines are text.
    modules = runpy.run_path(str(scripts / 'mtl'))['MODULES']
    assert sorted(modules) == COMMANDS
    for module in modules.values():
        assert callable(import_module(module).main)


def test_bundled_vision_msgs_is_ignored_by_colcon():
    assert (ROOT / 'interfaces' / 'vision_msgs' / 'COLCON_IGNORE').is_file()


def test_install_space_is_complete(tmp_path):
    pytest.importorskip('setuptools')
    source = tmp_path / 'source'
    shutil.copytree(ROOT, source, ignore=lambda folder, names: [
        name for name in names if name.startswith('.') or name in
        ('build', 'install', 'log', 'out', 'runs', 'shared', 'test', '__pycache__')
        or name.endswith('.egg-info')])
    prefix = tmp_path / 'prefix'
    # The steps of colcon for an ament_python package.
    subprocess.run(
        [sys.executable, 'setup.py', '-q', 'install', '--prefix', str(prefix),
         '--single-version-externally-managed', '--record', str(tmp_path / 'record')],
        cwd=source, check=True, capture_output=True, text=True)
    assert (prefix / 'share/ament_index/resource_index/packages' / PACKAGE).is_file()
    assert sorted(path.name for path in (prefix / 'lib' / PACKAGE).iterdir()) == COMMANDS
    share = prefix / 'share' / PACKAGE
    for folder, origin in (('.', ROOT), ('config', ROOT / 'config'), ('launch', ROOT / 'launch'),
                           ('models', ROOT / 'resource' / 'models')):
        expected = {path.name for path in origin.iterdir() if path.is_file()}
        installed = {path.name for path in (share / folder).iterdir() if path.is_file()}
        assert installed == ({'package.xml'} if folder == '.' else expected)
    modules, = prefix.glob('**/mtl_perception/__init__.py')
    assert (modules.parent / 'evaluation' / 'templates' / 'report.html.j2').is_file()
    done = subprocess.run(
        [sys.executable, '-c', 'from mtl_perception.resources import model_path as find\n'
                               'print(find())'],
        check=True, capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(modules.parents[1])})
    assert Path(done.stdout.strip()) == share / 'models' / 'aerial_mobilenet_v2.onnx'


def test_build_finds_requirements_through_symlink(tmp_path):
    pytest.importorskip('setuptools')
    # All files of `colcon build --symlink-install` in its build folder, except the data.
    for name in ('setup.py', 'setup.cfg', PACKAGE):
        (tmp_path / name).symlink_to(ROOT / name)
    subprocess.run([sys.executable, 'setup.py', '-q', 'egg_info'], cwd=tmp_path, check=True,
                   capture_output=True, text=True)
    requires = (tmp_path / f'{PACKAGE}.egg-info' / 'requires.txt').read_text(encoding='utf-8')
    assert '\n[run]\n' in requires and '\n[train]\n' in requires
