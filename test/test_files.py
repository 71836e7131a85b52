import os
from pathlib import Path
import subprocess
import sys

import pytest

from mtl_perception.errors import DataError
from mtl_perception.files import (
    absolute,
    expanded,
    is_file,
    is_folder,
    make_folder,
    read_bytes,
    read_text,
    readable,
    replacing,
    write_text,
)


def test_large_file_is_rejected_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / 'list.txt'
    path.write_text('12345')
    assert read_text(path, limit=5) == '12345'
    with pytest.raises(DataError, match=f'^{path}: has 5 bytes, above the limit of 4$'):
        read_text(path, limit=4)


def test_text_that_is_not_utf8_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / 'list.txt'
    path.write_bytes(b'a\n\xff\xd8')
    assert read_bytes(path, 9) == b'a\n\xff\xd8'
    with pytest.raises(DataError, match=f'^{path}: line 2: is not UTF-8 text; save it as UTF-8$'):
        read_text(path)


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16', 'utf-32'])
def test_byte_order_mark_names_the_encoding(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / 'list.txt'
    path.write_bytes('gr\u00fcn\r\n'.encode(encoding))
    assert read_text(path) == 'gr\u00fcn\r\n'


@pytest.mark.parametrize(('content', 'problem'), [
    (b'a\n\xb3\xb5\n', 'line 2: is not UTF-8 text'),
    (b'\xef\xbb\xbfa\xff', 'line 1: is not UTF-8'),
    (b'\xff\xfe\x00\xd8', 'line 1: is not UTF-16 text'),
    (b'\xff\xfea', 'line 1: is not UTF-16 text'),
    ('a\nb'.encode('utf-16-le'), 'line 1: has a zero byte, as UTF-16 without a byte order mark'),
])
def test_other_text_is_named_with_its_line(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / 'list.txt'
    path.write_bytes(content)
    with pytest.raises(DataError, match=f'^{path}: {problem}'):
        read_text(path)


@pytest.mark.parametrize('name', ['a' * 300, 'a\0', '\ud800'])
def test_name_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    assert not is_file(tmp_path / name) and not is_folder(tmp_path / name)
    with pytest.raises(DataError, match='cannot be read'):
        read_text(tmp_path / name)


def test_missing_file_and_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'gone\.txt: cannot be read: No such file'):
        read_text(tmp_path / 'gone.txt')
    with pytest.raises(DataError, match='cannot be read: Is a directory'):
        read_text(tmp_path)
    with pytest.raises(DataError, match=r'gone.a\.txt: cannot be written: No such file'):
        write_text(tmp_path / 'gone' / 'a.txt', 'x')


def test_folder_is_created_with_parents(tmp_path: Path) -> None:
    make_folder(tmp_path / 'a' / 'b')
    make_folder(tmp_path / 'a' / 'b')
    write_text(tmp_path / 'a' / 'b' / 'c.txt', 'gr\u00fcn')
    assert read_text(tmp_path / 'a' / 'b' / 'c.txt') == 'gr\u00fcn'
    with pytest.raises(DataError, match=r'c\.txt.d: cannot be created: Not a directory; select'):
        make_folder(tmp_path / 'a' / 'b' / 'c.txt' / 'd')


def full_disk(tmp_path: Path) -> str:
    """Return a script that writes to a disk that takes 100 bytes of a file."""
    return f"""
import pathlib, resource
from mtl_perception.files import write_bytes
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
write_bytes(pathlib.Path({str(tmp_path / 'a.txt')!r}), bytes(5000))
"""


def test_full_disk_leaves_the_file_of_before(tmp_path: Path) -> None:
    path = tmp_path / 'a.txt'
    write_text(path, 'before')
    done = subprocess.run([sys.executable, '-c', full_disk(tmp_path)], capture_output=True,
                          text=True, timeout=60)
    assert f'DataError: {path}: cannot be written: File too large' in done.stderr
    assert path.read_text() == 'before' and list(tmp_path.iterdir()) == [path]


def test_interrupted_writing_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / 'a.onnx') as temporary:
        assert temporary.parent == tmp_path and temporary.suffix == '.onnx'
        temporary.write_bytes(b'half')
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_target_of_a_link_is_replaced(tmp_path: Path) -> None:
    write_text(tmp_path / 'target.txt', 'before')
    (tmp_path / 'link.txt').symlink_to('target.txt')
    write_text(tmp_path / 'link.txt', 'after')
    assert (tmp_path / 'link.txt').is_symlink()
    assert (tmp_path / 'target.txt').read_text() == 'after'


def test_device_and_folder_are_not_replaced(tmp_path: Path) -> None:
    write_text(Path('/dev/null'), 'x')
    assert Path('/dev/null').is_char_device()
    with pytest.raises(DataError, match='cannot be written: Is a directory'):
        write_text(tmp_path, 'x')
    with pytest.raises(DataError, match='/dev/full: cannot be written: No space left on device'):
        write_text(Path('/dev/full'), 'x')


def test_names_that_are_not_utf8_become_readable() -> None:
    assert readable(os.fsdecode(b'caf\xe9.jpg')) == 'caf\\xe9.jpg'
    assert readable('gr\u00fcn') == 'gr\u00fcn'


def test_paths_that_cannot_be_resolved_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                            ) -> None:
    monkeypatch.setenv('HOME', str(tmp_path))
    (tmp_path / 'loop').symlink_to('loop')
    (tmp_path / 'link').symlink_to('file')
    assert expanded('~/a') == tmp_path / 'a' and expanded('~nobody-has-it/a') == Path(
        '~nobody-has-it/a')
    assert absolute('~/link') == tmp_path / 'file'
    assert absolute(tmp_path / 'loop') == tmp_path / 'loop'
