from pathlib import Path

import pytest

from mtl_perception.errors import DataError
from mtl_perception.files import make_folder, read_bytes, read_text, write_text


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
    with pytest.raises(DataError, match=r'c\.txt.d: cannot be made: Not a directory; choose'):
        make_folder(tmp_path / 'a' / 'b' / 'c.txt' / 'd')
