import os
from pathlib import Path

import pytest

from mtl_perception.errors import DataError
from mtl_perception.files import (
    make_folder,
    read_bytes,
    read_text,
    readable,
    write_bytes,
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
    path.write_bytes(b'\xff\xfe')
    assert read_bytes(path, 9) == b'\xff\xfe'
    with pytest.raises(DataError, match=f'^{path}: is not UTF-8 text$'):
        read_text(path)


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


def test_file_is_written_completely_or_not_at_all(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / 'a.txt'
    write_text(path, 'old')
    path.chmod(0o640)

    def fail(part: Path, data: bytes) -> None:
        with part.open('wb') as file:
            file.write(data[:2])
        raise OSError(28, 'No space left on device')

    with monkeypatch.context() as patch:
        patch.setattr(Path, 'write_bytes', fail)
        with pytest.raises(DataError, match=r'a\.txt: cannot be written: No space left'):
            write_bytes(path, b'newer')
    assert [item.read_text() for item in tmp_path.iterdir()] == ['old']
    write_bytes(path, b'newer')
    assert path.read_text() == 'newer' and path.stat().st_mode & 0o777 == 0o640


def test_links_and_pipes_are_written_through(tmp_path: Path) -> None:
    target, link = tmp_path / 'target', tmp_path / 'link'
    target.write_text('old')
    link.symlink_to(target)
    write_text(link, 'new')
    assert link.is_symlink() and target.read_text() == 'new'
    write_text(Path('/dev/null'), 'x')
    assert Path('/dev/null').is_char_device()


def test_names_that_are_not_utf8_become_readable(tmp_path: Path) -> None:
    name = os.fsdecode(b'caf\xe9.jpg')
    assert readable(name) == 'caf\\xe9.jpg' and readable('gr\u00fcn') == 'gr\u00fcn'
    write_text(tmp_path / 'a.txt', name)
    assert read_text(tmp_path / 'a.txt') == 'caf\\udce9.jpg'
