from pathlib import Path
import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest

from mtl_perception.data.readers import files
from mtl_perception.errors import DataError


def noise(height: int = 30, width: int = 40) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)


def test_image_is_rgb(tmp_path: Path) -> None:
    path = tmp_path / 'red.png'
    cv2.imwrite(str(path), np.full((3, 5, 3), (0, 0, 255), np.uint8))
    image = files.read_image(path)
    assert image.shape == (3, 5, 3)
    assert image.dtype == np.uint8
    assert (image == (255, 0, 0)).all()


def test_grey_image_has_three_equal_channels(tmp_path: Path) -> None:
    path = tmp_path / 'grey.png'
    grey = noise()[:, :, 0]
    cv2.imwrite(str(path), grey)
    assert (files.read_image(path) == grey[:, :, None]).all()


@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
@pytest.mark.parametrize('part', [0, 0.5])
def test_cut_short_image_is_an_error(tmp_path: Path, suffix: str, part: float) -> None:
    path = tmp_path / f'short{suffix}'
    content = cv2.imencode(suffix, noise(200, 200))[1].tobytes()
    path.write_bytes(content[:int(len(content) * part)])
    with pytest.raises(DataError, match=r'short\.\w+: is not an image that OpenCV can decode'):
        files.read_image(path)


def test_text_for_an_image_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / 'a.jpg'
    path.write_text('hello')
    with pytest.raises(DataError, match=r'a\.jpg: is not an image'):
        files.read_image(path)


def test_directory_for_an_image_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='cannot be read: Is a directory'):
        files.read_image(tmp_path)


def test_colour_mask_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / 'mask.png'
    cv2.imwrite(str(path), noise())
    with pytest.raises(DataError, match=r'mask\.png: 3 channels of uint8; a mask is a grey 8-bit'):
        files.read_mask(path)


def test_deep_mask_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / 'mask.png'
    cv2.imwrite(str(path), np.zeros((4, 4), np.uint16))
    with pytest.raises(DataError, match='1 channels of uint16'):
        files.read_mask(path)


def test_large_file_is_rejected_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / 'list.txt'
    path.write_text('12345')
    with pytest.raises(DataError, match='5 bytes; at most 4 are read'):
        files.read_text(path, limit=4)


def test_text_that_is_not_utf8_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / 'list.txt'
    path.write_bytes(b'\xff\xfe')
    with pytest.raises(DataError, match=r'list\.txt: is not UTF-8'):
        files.read_text(path)


def test_list_skips_empty_lines(tmp_path: Path) -> None:
    path = tmp_path / 'list.txt'
    path.write_text('b \n\na\n')
    assert [(item.name, item.where, item.problem) for item in files.read_list(path)] == [
        ('b', f'{path}: line 1', ''), ('a', f'{path}: line 3', '')]


def test_name_listed_twice_names_both_lines(tmp_path: Path) -> None:
    path = tmp_path / 'list.txt'
    path.write_text('a\nb\na\n')
    assert [item.problem for item in files.read_list(path)] == [
        '', '', f'{path}: line 3: a is listed on line 1 already; remove one']


def test_empty_list_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / 'list.txt'
    path.write_text('\n')
    with pytest.raises(DataError, match='lists no image'):
        files.read_list(path)


def test_palette_mask_has_indices_of_any_depth(tmp_path: Path) -> None:
    pillow = pytest.importorskip('PIL.Image')
    for bits, values in ((8, [0, 7, 255]), (2, [0, 3, 1])):
        path = tmp_path / f'{bits}.png'
        image = pillow.fromarray(np.array([values], np.uint8), 'P')
        # Two entries of one colour: only the indices tell them apart.
        image.putpalette([9, 9, 9] * 256)
        image.save(path, bits=bits)
        assert files.read_mask(path).tolist() == [values]


def test_size_is_that_of_the_upright_noise(tmp_path: Path) -> None:
    pillow = pytest.importorskip('PIL.Image')
    path = tmp_path / 'turned.jpg'
    image = pillow.fromarray(noise(30, 40))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(path, exif=exif)
    assert files.image_size(path) == (30, 40)
    assert files.read_image(path).shape == (40, 30, 3)


def header_of(width: int, height: int) -> bytes:
    """Return a PNG whose header gives this size; its pixels are those of a small image."""
    content = cv2.imencode('.png', noise(4, 4))[1].tobytes()
    chunk = b'IHDR' + struct.pack('>II', width, height) + content[24:29]
    return content[:12] + chunk + struct.pack('>I', zlib.crc32(chunk)) + content[33:]


@pytest.mark.parametrize('size', [(100_000, 100_000), (12_000, 12_000), (40_000, 30)])
def test_size_is_checked_before_memory_is_asked_for(
        tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / 'huge.png'
    path.write_bytes(header_of(*size))
    tracemalloc.start()
    for read in (files.read_image, files.read_mask, files.image_size):
        with pytest.raises(DataError, match=r'^.*huge\.png: its header gives .*; cut it$'):
            read(path)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


@pytest.mark.parametrize('name', ['../a', '/a', 'x/../../a', '', 'x\\a', 'a\0'])
def test_name_that_leaves_its_folder_is_rejected(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r'^list\.txt: .* is not a name inside'):
        files.inside(tmp_path, name, 'list.txt')


def test_image_is_found_by_stem_in_a_subfolder(tmp_path: Path) -> None:
    (tmp_path / 'x').mkdir()
    (tmp_path / 'x' / 'a.b.PNG').touch()
    assert files.find_image(tmp_path, 'x/a.b', 'list') == tmp_path / 'x' / 'a.b.PNG'


def test_image_that_is_not_there_names_who_lists_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'a\.jpg: no such image, nor \.png; the list names it'):
        files.find_image(tmp_path, 'a', 'the list')
