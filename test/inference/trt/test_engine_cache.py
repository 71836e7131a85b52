import errno
import fcntl
import os
from pathlib import Path
import shutil
import subprocess
import sys
import threading
import time

import pytest

from mtl_perception.errors import StartError
from mtl_perception.inference.trt.engine_cache import (
    engine_name,
    EngineFolder,
    LoadError,
    open_engine,
)
from mtl_perception.inference.trt.flavour import Flavour

RTX = Flavour('tensorrt_rtx', '1.7.1.116')
JETPACK = Flavour('tensorrt', '10.3.0')
NAME = engine_name(b'model', RTX, (8, 6), None, 4)
ENGINE = bytes(range(256)) * 100


class Case:
    """A folder, the reported lines, and an engine that can be built and loaded."""

    def __init__(self, path):
        self.lines = []
        self.folder = EngineFolder(path, self.lines.append)
        self.built = 0
        self.refused = set()

    def open(self):
        return open_engine(self.folder, NAME, self.build, self.load, self.lines.append)

    def build(self):
        self.built += 1
        return memoryview(ENGINE)

    def load(self, data):
        if bytes(data) in self.refused:
            self.refused.remove(bytes(data))
            raise LoadError('it is of another driver')
        return bytes(data)


@pytest.fixture
def case(tmp_path):
    return Case(tmp_path / 'cache' / 'tensorrt')


def test_engine_is_built_once_and_reused(case):
    assert case.open() == case.open() == ENGINE
    assert case.built == 1 and case.lines == []
    assert {path.name for path in case.folder.path.iterdir()} == {NAME, 'lock'}


def test_folder_and_files_are_accessible_by_owner_only(case):
    case.open()
    assert case.folder.path.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in case.folder.path.iterdir()} == {0o600}


def test_file_name_contains_all_dependencies():
    rtx = engine_name(b'model', RTX, (8, 6), 'NVIDIA GeForce RTX 3090', 4)
    assert rtx == NAME and rtx.startswith('rtx-1.7.1.116-sm86-b4-') and rtx.endswith('.engine')
    orin = engine_name(b'model', JETPACK, (8, 7), 'Orin (nvgpu)', 4)
    assert orin.startswith('trt-10.3.0-sm87-orin-nvgpu-b4-')
    names = {rtx, orin,
             engine_name(b'other', RTX, (8, 6), None, 4),
             engine_name(b'model', RTX, (8, 9), None, 4),
             engine_name(b'model', RTX, (8, 6), None, 8),
             engine_name(b'model', Flavour('tensorrt_rtx', '1.7.2.1'), (8, 6), None, 4),
             engine_name(b'model', JETPACK, (8, 7), 'Orin NX', 4)}
    assert len(names) == 7


@pytest.mark.parametrize('spoil', [
    lambda data: data[:len(data) // 2],
    lambda data: data[:-1],
    lambda data: data[:10],
    lambda data: b'',
    lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    lambda data: data[57:],
])
def test_truncated_or_damaged_file_is_replaced(case, spoil):
    case.open()
    path = case.folder.path / NAME
    whole = path.read_bytes()
    path.write_bytes(spoil(whole))
    assert case.open() == ENGINE
    assert case.lines == [f'{path}: not loaded (it is truncated, or of another version)']
    assert path.read_bytes() == whole and case.built == 2


def test_renamed_file_of_other_version_is_replaced(case):
    case.open()
    other = engine_name(b'model', Flavour('tensorrt_rtx', '1.6.0.1'), (8, 6), None, 4)
    case.folder.write(other, b'of another version')
    (case.folder.path / other).replace(case.folder.path / NAME)
    assert case.open() == ENGINE
    assert 'of another version' in case.lines[0] and case.built == 2


def test_engine_rejected_by_tensorrt_is_replaced_once(case):
    case.folder.write(NAME, b'of another driver')
    case.refused = {b'of another driver'}
    assert case.open() == case.open() == ENGINE
    assert case.built == 1
    assert case.lines == [f'{case.folder.path / NAME}: TensorRT does not load it (it is of '
                          f'another driver); it is built again']


def test_new_engine_that_does_not_load_is_an_error(case):
    case.refused = {ENGINE}
    with pytest.raises(StartError, match=r'just built \(it is of another driver\); update the'):
        case.open()
    assert case.built == 1


def test_engine_of_other_user_is_not_loaded(case, monkeypatch):
    case.open()
    path = case.folder.path / NAME
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
    else:
        monkeypatch.setattr(os, 'geteuid', lambda: 12345)
    owner = path.stat().st_uid
    assert case.open() == ENGINE
    assert case.lines == [f'{path}: not loaded (it belongs to another user, with id {owner}; '
                          f'remove it, or chown it)']
    assert case.built == 2
    assert path.stat().st_uid != 12345


def test_engine_writable_by_others_is_not_loaded(case):
    case.open()
    path = case.folder.path / NAME
    for mode in (0o602, 0o660):
        path.chmod(mode)
        assert case.open() == ENGINE
        assert case.lines.pop().endswith('(other users may write to it; chmod go-w it)')
        assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize('where', ['file', 'inside a file', '/proc', 'nowhere'])
def test_unwritable_cache_is_reported_and_skipped(tmp_path, where):
    blocked = tmp_path / 'blocked'
    blocked.write_text('')
    case = Case({'file': blocked, 'inside a file': blocked / 'tensorrt',
                 '/proc': Path('/proc/tensorrt'), 'nowhere': None}[where])
    assert case.open() == ENGINE
    assert case.built == 1 and len(case.lines) == 1
    assert f'{case.folder.path}: the engine is not cached there (' in case.lines[0]


def test_engine_in_read_only_folder_is_used(case, tmp_path):
    case.open()
    mounted = tmp_path / 'mounted'
    shutil.copytree(case.folder.path, mounted)
    (mounted / 'lock').unlink()
    mounted.chmod(0o500)
    other = Case(mounted)
    assert other.open() == ENGINE
    assert other.built == 0 and other.lines == []
    assert not (mounted / 'lock').exists()
    mounted.chmod(0o700)


def full(case):
    """Check that a full disk is not fatal and that no file remains."""
    assert case.open() == ENGINE
    assert case.lines == [f'{case.folder.path}: the engine is not cached there (No space left on '
                          f'device)']
    assert {path.name for path in case.folder.path.iterdir()} == {'lock'}


def test_full_disk_is_reported_and_skipped(case, monkeypatch):
    def fail(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, 'fsync', fail)
    full(case)


def test_really_full_disk_is_reported_and_skipped(tmp_path):
    mount = shutil.which('mount')
    if mount is None or os.geteuid() != 0 or subprocess.run(
            [mount, '-t', 'tmpfs', '-o', 'size=16k', 'tmpfs', tmp_path],
            capture_output=True).returncode:
        pytest.skip('no file system can be mounted here')
    try:
        full(Case(tmp_path / 'tensorrt'))
    finally:
        subprocess.run(['umount', tmp_path], check=True)


def test_failed_build_leaves_no_file_and_releases_lock(case, monkeypatch):
    def fail():
        raise StartError('out of memory')

    with pytest.raises(StartError, match='out of memory'):
        open_engine(case.folder, NAME, fail, case.load, case.lines.append)
    assert {path.name for path in case.folder.path.iterdir()} == {'lock'}
    assert case.open() == ENGINE and case.lines == []


def test_files_of_killed_process_are_removed(case):
    case.open()
    old, new = (case.folder.path / name for name in ('old.part', 'new.part'))
    for path in (old, new):
        path.write_bytes(b'half')
    os.utime(old, (time.time() - 3600,) * 2)
    case.folder.lock().close()
    assert not old.exists() and new.exists()


def test_waiting_process_reports_it_and_uses_engine_of_other(case):
    other = Case(case.folder.path)
    lock = other.folder.lock()
    thread = threading.Thread(target=case.open)
    thread.start()
    deadline = time.monotonic() + 20
    while not case.lines and time.monotonic() < deadline:
        time.sleep(0.005)
    assert case.lines == [f'{case.folder.path}: another process is building an engine there; '
                          f'waiting for it']
    other.folder.write(NAME, ENGINE)
    lock.close()
    thread.join(20)
    assert not thread.is_alive() and case.built == 0


def test_lock_is_flock(case):
    with case.folder.lock(), (case.folder.path / 'lock').open('rb') as file, \
            pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


TWO = """
import sys
from pathlib import Path
from mtl_perception.inference.onnx_file import read_onnx_header
from mtl_perception.inference.trt import building
from mtl_perception.inference.trt.engine_cache import engine_name, EngineFolder, open_engine
from mtl_perception.inference.trt.library import FLAVOUR

path, folder = map(Path, sys.argv[1:])
spec, model = read_onnx_header(path).spec, path.read_bytes()
say = lambda line: print(line, flush=True)
print('ready', flush=True)
sys.stdin.readline()
engine = open_engine(
    EngineFolder(folder, say), engine_name(model, FLAVOUR, (8, 6), None, 4),
    lambda: building.build(model, spec, path, (8, 6), 4, say), bytes, say)
print(len(engine))
"""


@pytest.mark.slow
def test_concurrent_processes_build_once(paint_model, rtx, tmp_path):
    processes = [
        subprocess.Popen([sys.executable, '-c', TWO, paint_model(), tmp_path / 'tensorrt'],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == 'ready\n'
    for process in processes:
        process.stdin.write('go\n')
        process.stdin.flush()
    outputs = [process.communicate(timeout=60)[0].splitlines() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sum('builds its engine' in line for lines in outputs for line in lines) == 1
    assert outputs[0][-1] == outputs[1][-1]
    assert sorted(len(lines) for lines in outputs)[1] == 3
    assert len(list((tmp_path / 'tensorrt').iterdir())) == 2
