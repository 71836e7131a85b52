import pytest

from mtl_perception.errors import DataError
from mtl_perception.images.listing import (
    distinct_stems,
    find_image,
    in_any_case,
    list_images,
    list_images_below,
    spread,
)
from mtl_perception.images.reading import read_image


def test_folder_lists_images_with_suffixes_in_any_case(tmp_path):
    for name in ('b.JPG', 'a.Png', 'c.tif', 'notes.txt'):
        (tmp_path / name).touch()
    (tmp_path / 'folder.png').mkdir()
    (tmp_path / 'folder.png' / 'd.jpeg').touch()
    assert [path.name for path in list_images(tmp_path)] == ['a.Png', 'b.JPG', 'c.tif']
    assert [path.name for path in list_images_below(tmp_path)] == [
        'a.Png', 'b.JPG', 'c.tif', 'd.jpeg']


def test_folder_without_images_is_rejected(tmp_path):
    for listing in (list_images, list_images_below):
        with pytest.raises(DataError, match='no images in this folder'):
            listing(tmp_path)
        with pytest.raises(DataError, match='cannot be read: No such file'):
            listing(tmp_path / 'gone')


@pytest.mark.parametrize('suffix', ['.jpg', '.PNG', '.TiFf'])
def test_image_is_found_by_stem_in_any_case(suffix, tmp_path):
    (tmp_path / f'a.b{suffix}').touch()
    (tmp_path / 'a.b.txt').touch()
    (tmp_path / 'a.b.c.jpg').touch()
    assert find_image(tmp_path / 'a.b', 'list') == tmp_path / f'a.b{suffix}'


def test_missing_image_names_what_lists_it(tmp_path):
    with pytest.raises(DataError, match=r'a\.jpg: no such image, nor \.png; the list names it'):
        find_image(tmp_path / 'a', 'the list')


def test_spread_is_even_and_in_order():
    assert list(spread(10, 2)) == [2, 7]
    assert list(spread(3, 9)) == [0, 1, 2]
    assert list(spread(4, None)) == [0, 1, 2, 3]
    assert list(spread(0, 5)) == []


def test_links_to_folders_are_followed_once(tmp_path):
    split, other = tmp_path / 'val', tmp_path / 'other'
    for folder in (split / 'flight1', other / 'deep'):
        folder.mkdir(parents=True)
        (folder / 'a.png').touch()
    (split / 'a_link_to_flight1').symlink_to(split / 'flight1')
    (split / 'flight2').symlink_to(other)
    (split / 'flight3').symlink_to(other / 'deep')
    (split / 'flight1' / 'up').symlink_to(tmp_path)
    (other / 'back').symlink_to(split)
    (other / 'self').symlink_to(other)
    (split / 'nowhere').symlink_to(split / 'nowhere')
    found = [path.relative_to(split).as_posix() for path in list_images_below(split)]
    assert found == ['flight1/a.png', 'flight2/deep/a.png']
    (tmp_path / 'val2').symlink_to(split)
    assert len(list_images_below(tmp_path / 'val2')) == 2


def test_link_to_an_image_that_is_gone_is_listed(tmp_path):
    (tmp_path / 'gone.png').symlink_to(tmp_path / 'nowhere')
    (tmp_path / 'cycle.png').symlink_to(tmp_path / 'cycle.png')
    for listing in (list_images, list_images_below):
        assert [path.name for path in listing(tmp_path)] == ['cycle.png', 'gone.png']
    for name in ('gone', 'cycle'):
        with pytest.raises(DataError, match=rf'{name}\.png: cannot be read: '):
            read_image(tmp_path / f'{name}.png')


def test_suffix_in_another_case_is_found(tmp_path):
    (tmp_path / 'a.PNG').touch()
    assert in_any_case(tmp_path / 'a.png') == tmp_path / 'a.PNG'
    assert in_any_case(tmp_path / 'a.PNG') == tmp_path / 'a.PNG'
    for name in ('A.png', 'a.jpg', 'b.png', 'gone/a.png'):
        assert in_any_case(tmp_path / name) == tmp_path / name


@pytest.mark.parametrize(('names', 'stems'), [
    (['a.jpg', 'b/c.png'], ['a', 'b/c']),
    (['a.jpg', 'a.png', 'b.png'], ['a.jpg', 'a.png', 'b']),
    (['a.jpg', 'a.jpg.png', 'a.bmp'], ['a.jpg', 'a.jpg.png', 'a.bmp']),
    (['a', 'a.jpg'], ['a', 'a.jpg']),
])
def test_stems_are_distinct(names: list[str], stems: list[str]) -> None:
    assert distinct_stems(names) == stems
