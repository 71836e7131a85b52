"""Compressed bags expand within limits."""

import bz2
from collections import namedtuple
import tracemalloc

from past_bags import past_bag
import pytest

from mtl_perception.bags import decompression
from mtl_perception.bags.decompression import limit_decompression
from mtl_perception.bags.reading import opened_bag
from mtl_perception.errors import DataError

LIMIT = 2**20


@pytest.fixture(autouse=True)
def small_limit(monkeypatch):
    monkeypatch.setattr(decompression, 'CHUNK_LIMIT', LIMIT)


def write_bag(path, compression, width):
    """Write a bag of two images of `width` x 100 pixels, which compress to next to nothing."""
    with past_bag(path, 'galactic', 'mcap', compression) as bag:
        for number in range(2):
            bag.image(number, number, number, size=(width, 100))
    return path


def read(path):
    with opened_bag(path) as bag:
        return [message.width for _, _, message in bag.messages(bag.connections)]


@pytest.mark.parametrize('compression', ['storage', 'message', 'file'])
def test_data_within_the_limit_is_read(tmp_path, compression):
    assert read(write_bag(tmp_path / 'bag', compression, 1000)) == [1000, 1000]


@pytest.mark.parametrize('compression', ['storage', 'message'])
def test_data_beyond_the_limit_is_named_and_takes_no_memory(tmp_path, compression):
    path = write_bag(tmp_path / 'bag', compression, 20 * LIMIT // 100)
    tracemalloc.start()
    with pytest.raises(DataError, match='expand to more than 1 MiB') as error:
        read(path)
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(path) in str(error.value)
    assert used < 8 * LIMIT


def test_file_that_fills_the_disk_is_named_and_removed(tmp_path, monkeypatch):
    path = write_bag(tmp_path / 'bag', 'file', 20 * LIMIT // 100)
    (tmp_path / 'expanded').mkdir()
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path / 'expanded'))
    usage = namedtuple('usage', 'free')
    monkeypatch.setattr('shutil.disk_usage', lambda folder: usage(10 * LIMIT))
    with pytest.raises(DataError, match='point TMPDIR to a folder') as error:
        read(path)
    assert str(path) in str(error.value)
    assert list((tmp_path / 'expanded').iterdir()) == []


def test_frames_in_a_row_are_read_together_up_to_the_limit():
    limit_decompression()
    from rosbags.rosbag1.reader import decompressors
    expand = decompressors['bz2']
    half = bz2.compress(bytes(LIMIT // 2))
    assert expand(2 * half) == bytes(LIMIT)
    with pytest.raises(DataError, match='expand to more'):
        expand(2 * half + bz2.compress(b'0'))


def test_data_that_is_cut_off_is_named():
    limit_decompression()
    from rosbags.rosbag1.reader import decompressors
    with pytest.raises(DataError, match='cut off'):
        decompressors['bz2'](bz2.compress(bytes(range(256)) * 20)[:-8])
