"""Bags of every storage, compression and state of their folder."""

from pathlib import Path
import re
import sqlite3

from past_bags import past_bag
import pytest

from mtl_perception.bags.images import image_topic, is_bag, read_images
from mtl_perception.bags.reading import message_stamp, opened_bag
from mtl_perception.errors import DataError


def stamps(path: Path) -> list[int]:
    return [item.stamp for item in read_images(path, image_topic(path))]


def write(path: Path, storage: str = 'mcap', compression: str = '',
          begin: int = 0, distribution: str = 'humble') -> None:
    with past_bag(path, distribution, storage, compression) as bag:
        for number in range(1, 4):
            bag.image(begin + number, begin + number)
            bag.detections(begin + number, begin + number, [])


@pytest.mark.parametrize(('storage', 'compression'), [
    ('mcap', ''), ('mcap', 'file'), ('mcap', 'message'), ('mcap', 'storage'),
    ('sqlite3', ''), ('sqlite3', 'file'), ('sqlite3', 'message'), ('sqlite3 of Humble', '')])
def test_storage_and_compression(tmp_path: Path, storage: str, compression: str) -> None:
    write(tmp_path / 'bag', storage, compression)
    assert is_bag(tmp_path / 'bag')
    assert stamps(tmp_path / 'bag') == [1, 2, 3]


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3', 'sqlite3 of Humble', 'noetic'])
def test_folder_without_metadata(tmp_path: Path, storage: str) -> None:
    folder = tmp_path / 'bag'
    for part, begin in enumerate((10, 0)):
        if storage == 'noetic':
            write(folder / f'bag_{part}.bag', begin=begin, distribution='noetic')
            continue
        write(tmp_path / f'bag_{part}', storage, begin=begin)
        folder.mkdir(exist_ok=True)
        for suffix in ('mcap', 'db3'):
            for file in (tmp_path / f'bag_{part}').glob(f'*.{suffix}'):
                file.rename(folder / file.name)
    assert not (folder / 'metadata.yaml').exists()
    assert is_bag(folder)
    assert stamps(folder) == [1, 2, 3, 11, 12, 13]


@pytest.mark.parametrize('content', ['', None])
def test_metadata_of_a_recording_that_was_cut_off(tmp_path: Path, content: str | None) -> None:
    write(tmp_path / 'bag')
    metadata = tmp_path / 'bag' / 'metadata.yaml'
    text = metadata.read_text()
    metadata.write_text(re.sub(r'message_count: \d+', 'message_count: 0', text)
                        if content is None else content)
    assert is_bag(tmp_path / 'bag')
    assert stamps(tmp_path / 'bag') == [1, 2, 3]


def test_folder_without_metadata_and_files(tmp_path: Path) -> None:
    write(tmp_path / 'bag', compression='file')
    (tmp_path / 'bag' / 'metadata.yaml').unlink()
    with pytest.raises(DataError, match=rf'^bag {tmp_path}/bag cannot be read: metadata.yaml is '
                       r'missing, and it has no file \*.mcap or \*.db3 or \*.bag$'):
        stamps(tmp_path / 'bag')


def test_folder_of_images_with_a_bag_in_it_is_no_bag(tmp_path: Path) -> None:
    write(tmp_path / 'bag')
    (tmp_path / 'bag' / 'metadata.yaml').unlink()
    (tmp_path / 'bag' / 'a.JPG').touch()
    assert not is_bag(tmp_path / 'bag')


def test_split_bag_of_rosbag2(tmp_path: Path) -> None:
    """Two files with one metadata.yaml, as `ros2 bag record --max-bag-size` leaves them."""
    write(tmp_path / 'bag', begin=0)
    write(tmp_path / 'other', begin=10)
    (tmp_path / 'other' / 'other.mcap').rename(tmp_path / 'bag' / 'other.mcap')
    metadata = tmp_path / 'bag' / 'metadata.yaml'
    text = metadata.read_text()
    assert '- bag.mcap' in text
    metadata.write_text(text.replace('- bag.mcap', '- bag.mcap\n  - other.mcap', 1))
    assert stamps(tmp_path / 'bag') == [1, 2, 3, 11, 12, 13]


@pytest.mark.parametrize('name', ['bag', 'bag/bag.db3'])
def test_unfinished_log_of_sqlite_is_named(tmp_path: Path, name: str) -> None:
    write(tmp_path / 'bag', 'sqlite3')
    log = tmp_path / 'bag' / 'bag.db3-wal'
    log.touch()
    assert stamps(tmp_path / name) == [1, 2, 3]
    log.write_bytes(b'x')
    with pytest.raises(DataError, match=r'bag.db3-wal has messages that are not in bag.db3 yet'):
        stamps(tmp_path / name)


def test_unknown_type_without_definition_is_named(tmp_path: Path) -> None:
    write(tmp_path / 'bag', 'sqlite3 of Humble')
    file = tmp_path / 'bag' / 'bag.db3'
    with sqlite3.connect(file) as database:
        database.execute("UPDATE topics SET type = 'own_msgs/msg/Boxes' WHERE name LIKE '/truth%'")
    assert stamps(file) == [1, 2, 3]
    with opened_bag(file) as bag, pytest.raises(
            DataError, match=rf'^bag {file} is broken: there is no definition of own_msgs'):
        list(bag.messages([item for item in bag.connections if item.topic != '/image']))


def test_broken_definition_of_another_topic_does_no_harm(tmp_path: Path) -> None:
    write(tmp_path / 'bag', 'sqlite3')
    file = tmp_path / 'bag' / 'bag.db3'
    with sqlite3.connect(file) as database:
        database.execute("UPDATE message_definitions SET encoded_message_definition = '} what?' "
                         "WHERE topic_type LIKE 'vision%'")
    assert stamps(file) == [1, 2, 3]
    with opened_bag(file) as bag, pytest.raises(DataError, match=rf'^bag {file} is broken: '):
        list(bag.messages(bag.connections))


@pytest.mark.parametrize(('definition', 'problem'), [
    ('string[1000000] names', 'has more than 1000 values'),
    ('std_msgs/Header header\nstring[10] names\n=====\nMSG: std_msgs/Header\n'
     'std_msgs/Header[2] stamp', 'contains itself'),
])
def test_definition_that_would_expand_is_rejected(tmp_path: Path, definition: str,
                                                  problem: str) -> None:
    write(tmp_path / 'bag', 'sqlite3')
    file = tmp_path / 'bag' / 'bag.db3'
    with sqlite3.connect(file) as database:
        database.execute('UPDATE message_definitions SET encoded_message_definition = ?',
                         (definition.replace('=====', 80 * '='),))
    with pytest.raises(DataError, match=rf'^bag {file} is broken: message type .* {problem}'):
        stamps(file)


def test_message_without_header_is_an_error() -> None:
    with pytest.raises(DataError, match=r"^here: its message has other fields .*'header'"):
        message_stamp(object(), 'here')
