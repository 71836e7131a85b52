"""Behaviour of the command `mtl` common to all subcommands."""

import os
from pathlib import Path
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from mtl_perception import main as command
from mtl_perception.crash_report import KEPT, write_crash_report

MTL = [sys.executable, '-m', 'mtl_perception.main']


def defect(monkeypatch, error):
    """Let `mtl info` raise `error`."""
    def run(args):
        raise error

    module = SimpleNamespace(add_arguments=lambda parser: parser.add_argument('x'), run=run)
    monkeypatch.setattr(command, 'import_module', lambda name: module)


@pytest.mark.parametrize(('arguments', 'expected'), [
    (['info'], (141, '')),  # as for a C program ended by SIGPIPE
    (['info', '--help'], (141, '')),
    (['info', 'gone.pt'], (1, 'mtl: error: gone.pt: no such model file; give the path of an '
                              '.onnx or .pt model file\n'))])
def test_closed_pipe_exits_without_another_message(arguments, expected, monkeypatch):
    monkeypatch.delenv('PYTHONUNBUFFERED', raising=False)
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*MTL, *arguments], stdout=writer, stderr=subprocess.PIPE, text=True,
                          timeout=60)
    os.close(writer)
    assert (done.returncode, done.stderr) == expected


def test_full_disk_behind_output_is_one_line():
    with Path('/dev/full').open('w') as full:
        done = subprocess.run([*MTL, 'info'], stdout=full, stderr=subprocess.PIPE, text=True,
                              timeout=60)
    assert (done.returncode, done.stderr) == (
        1, 'mtl: error: output: No space left on device\n')


def test_defect_is_one_line_with_a_log_file(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv('XDG_STATE_HOME', str(tmp_path))
    defect(monkeypatch, ValueError('two\nlines of rtsp://me:pw@host/x'))
    assert command.main(['info', 'rtsp://me:pw@host']) == 70
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    found = re.fullmatch(r'mtl: internal error: ValueError: two lines of rtsp://\*\*\*@host/x; '
                         r'the traceback is in (.+\.log)', lines[0])
    path = Path(found[1])
    text = path.read_text()
    assert path.parent == tmp_path / 'mtl_perception' and path.stat().st_mode & 0o777 == 0o600
    assert '\nmtl info rtsp://***@host\n' in text and 'in run' in text and 'pw' not in text
    assert text.splitlines()[2] == 'Traceback (most recent call last):'


def test_crash_reports_without_a_home_go_to_temporary_files(monkeypatch, tmp_path):
    (tmp_path / 'file').touch()
    monkeypatch.setenv('XDG_STATE_HOME', str(tmp_path / 'file'))
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    for _ in range(KEPT + 2):
        path = write_crash_report(ValueError('x'), ['info'])
    assert path.parent == tmp_path and len(list(tmp_path.glob('mtl-*.log'))) == KEPT
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path / 'gone'))
    monkeypatch.setattr(Path, 'mkdir', lambda *_, **__: None)
    assert write_crash_report(ValueError('x'), ['info']) is None


@pytest.mark.parametrize(('error', 'text'), [
    (PermissionError(13, 'Permission denied', '/a/b'), '/a/b: Permission denied'),
    (OSError(36, 'File name too long', b'a\xff'), 'a\\xff: File name too long'),
    (OSError(28, 'No space left on device'), 'output: No space left on device'),
    (MemoryError('3 GiB'), 'out of memory: 3 GiB')])
def test_errors_of_the_machine_are_one_line(error, text, monkeypatch, capsys):
    defect(monkeypatch, error)
    assert command.main(['info', 'x']) == 1
    assert capsys.readouterr().err == f'mtl: error: {text}\n'


def test_invalid_arguments_are_printed_without_credentials(capsys):
    with pytest.raises(SystemExit, match='2'):
        command.main(['info', 'a.pt', 'rtsp://me:pw@host/x'])
    assert capsys.readouterr().err.endswith(
        'mtl: error: unrecognized arguments: rtsp://***@host/x\n')
