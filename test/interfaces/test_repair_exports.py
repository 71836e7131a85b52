import importlib.util
from pathlib import Path
import subprocess
import sys

import pytest

SCRIPT = Path(__file__).parents[2] / 'interfaces' / 'repair_exports.py'

# Output of CMake, with the include directories of another machine.
EXPORT = """\
# Create imported target some_msgs::some_msgs__rosidl_generator_py
add_library(some_msgs::some_msgs__rosidl_generator_py SHARED IMPORTED)

set_target_properties(some_msgs::some_msgs__rosidl_generator_py PROPERTIES
  INTERFACE_INCLUDE_DIRECTORIES "{include}"
  INTERFACE_LINK_LIBRARIES "some_msgs::some_msgs__rosidl_typesupport_c"
)
"""
BUILDER = '/nowhere/python/cp311-cp311'
FOREIGN = (f'{BUILDER}/include/python3.11;'
           f'{BUILDER}/lib/python3.11/site-packages/numpy/_core/include')


@pytest.fixture(scope='module')
def repair():
    spec = importlib.util.spec_from_file_location('repair_exports', SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_only_missing_directories_are_replaced(repair):
    repaired = repair.repair_text(EXPORT.format(include=FOREIGN), '/here/python', '/here/numpy')
    assert repaired == EXPORT.format(include='/here/python;/here/numpy')


@pytest.mark.parametrize('include', [
    f'{BUILDER}/lib/python3.10/site-packages/numpy/core/include',
    '${_IMPORT_PREFIX}/include/some_msgs;'
    f'{BUILDER}/lib/python3.10/site-packages/numpy/core/include',
])
def test_old_numpy_path_is_replaced(repair, include):
    repaired = repair.repair_text(EXPORT.format(include=include), '/here/python', '/here/numpy')
    assert repaired == EXPORT.format(include=include.replace(
        f'{BUILDER}/lib/python3.10/site-packages/numpy/core/include', '/here/numpy'))


@pytest.mark.parametrize('include', [
    '${_IMPORT_PREFIX}/include/some_msgs',
    '/nowhere/include/python3.11/some_msgs',
    '/nowhere/include/some_msgs',
])
def test_other_directories_are_kept(repair, include):
    text = EXPORT.format(include=include)
    assert repair.repair_text(text, '/here/python', '/here/numpy') == text


def test_existing_directories_are_kept(repair, tmp_path):
    folder = tmp_path / 'include' / 'python3.11'
    folder.mkdir(parents=True)
    text = EXPORT.format(include=folder)
    assert repair.repair_text(text, '/here/python', '/here/numpy') == text


def test_script_repairs_prefix_once(tmp_path):
    np = pytest.importorskip('numpy')
    folder = tmp_path / 'share' / 'some_msgs' / 'cmake'
    folder.mkdir(parents=True)
    export = folder / 'export_some_msgs__rosidl_generator_pyExport.cmake'
    export.write_text(EXPORT.format(include=FOREIGN), encoding='utf-8')
    other = folder / 'some_msgsConfig.cmake'
    other.write_text(FOREIGN, encoding='utf-8')

    def run():
        return subprocess.run([sys.executable, str(SCRIPT), str(tmp_path)], check=True,
                              capture_output=True, text=True).stdout

    assert run().startswith('1 export files repaired')
    text = export.read_text(encoding='utf-8')
    assert np.get_include() in text
    assert BUILDER not in text
    assert other.read_text(encoding='utf-8') == FOREIGN
    assert run().startswith('0 export files repaired')


def test_invalid_prefix_gives_one_line_error(tmp_path):
    done = subprocess.run([sys.executable, str(SCRIPT), str(tmp_path)], check=False,
                          capture_output=True, text=True)
    assert done.returncode == 2
    assert f'{tmp_path} is not an ament prefix' in done.stderr.splitlines()[-1]
