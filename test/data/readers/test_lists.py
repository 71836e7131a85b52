from pathlib import Path

import pytest

from mtl_perception.data.readers import lists
from mtl_perception.errors import DataError


def test_list_skips_empty_lines(tmp_path: Path) -> None:
    path = tmp_path / 'list.txt'
    path.write_text('b \n\na\n')
    assert [(item.name, item.where, item.problem) for item in lists.read_list(path)] == [
        ('b', f'{path}: line 1', ''), ('a', f'{path}: line 3', '')]


def test_name_listed_twice_names_both_lines(tmp_path: Path) -> None:
    path = tmp_path / 'list.txt'
    path.write_text('a\nb\na\n')
    assert [item.problem for item in lists.read_list(path)] == [
        '', '', f'{path}: line 3: a is listed on line 1 already; remove one']


def test_empty_list_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / 'list.txt'
    path.write_text('\n')
    with pytest.raises(DataError, match='lists no image'):
        lists.read_list(path)


@pytest.mark.parametrize('name', [
    '../a', '/a', 'x/../../a', '', 'x\\a', 'a\0', '.', 'C:/a', 'a' * 256, '\ud800'])
def test_name_that_leaves_its_folder_is_rejected(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r'^list\.txt: .* is not a name inside'):
        lists.inside(tmp_path, name, 'list.txt')


@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16', 'utf-32'])
def test_list_of_windows(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / 'list.txt'
    path.write_bytes('a \r\nsub\\gr\u00fcn\t\r\n'.encode(encoding))
    assert [item.name for item in lists.read_list(path)] == ['a', 'sub/gr\u00fcn']
