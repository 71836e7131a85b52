import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest

from mtl_perception.errors import DataError
from mtl_perception.images.reading import image_size, read_image, read_index_image


def noise(height=30, width=40):
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)


@pytest.mark.parametrize(('order', 'red'), [('rgb', (255, 0, 0)), ('bgr', (0, 0, 255))])
def test_channels_have_the_order_asked_for(order, red, tmp_path):
    path = tmp_path / 'red.png'
    cv2.imwrite(str(path), np.full((3, 5, 3), (0, 0, 255), np.uint8))
    image = read_image(path, order)
    assert image.shape == (3, 5, 3)
    assert image.dtype == np.uint8
    assert (image == red).all()


def test_grey_image_has_three_equal_channels(tmp_path):
    path = tmp_path / 'grey.png'
    grey = noise()[:, :, 0]
    cv2.imwrite(str(path), grey)
    assert (read_image(path) == grey[:, :, None]).all()


def test_alpha_channel_is_dropped(tmp_path):
    path = tmp_path / 'alpha.png'
    image = np.dstack([noise(), np.zeros((30, 40), np.uint8)])
    cv2.imwrite(str(path), image)
    assert np.array_equal(read_image(path, 'bgr'), image[..., :3])


def test_palette_image_has_its_colours_and_its_indices(tmp_path):
    pillow = pytest.importorskip('PIL.Image')
    path = tmp_path / 'palette.png'
    image = pillow.fromarray(np.array([[0, 1]], np.uint8), 'P')
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.save(path)
    assert read_image(path).tolist() == [[[10, 20, 30], [40, 50, 60]]]
    assert read_index_image(path).tolist() == [[0, 1]]


@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.bmp', '.tiff', '.webp'])
def test_broken_image_is_named(suffix, tmp_path):
    whole = cv2.imencode(suffix, noise(200, 200))[1].tobytes()
    path = tmp_path / f'broken{suffix}'
    for content in (b'', b'no image at all', whole[:len(whole) // 10]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=rf'broken{suffix}: '):
            read_image(path)


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.bmp', '.tiff', '.webp'])
def test_truncated_image_is_rejected(suffix, tmp_path):
    path = tmp_path / f'short{suffix}'
    content = cv2.imencode(suffix, noise(200, 200))[1].tobytes()
    path.write_bytes(content[:len(content) // 2])
    with pytest.raises(DataError, match=r'short\.\w+: is (damaged or truncated|not a JPEG)'):
        read_image(path)


def test_missing_file_and_folder_are_named(tmp_path):
    with pytest.raises(DataError, match=r'gone\.png: cannot be read: No such file'):
        read_image(tmp_path / 'gone.png')
    with pytest.raises(DataError, match='cannot be read: Is a directory'):
        read_image(tmp_path)


def test_file_above_the_limit_is_rejected_before_it_is_read(tmp_path):
    path = tmp_path / 'large.png'
    with path.open('wb') as file:
        file.truncate(2 << 30)  # sparse
    with pytest.raises(DataError, match=r'large\.png: has 2147483648 bytes, above the limit'):
        read_image(path)


def test_index_image_rejects_colours_and_16_bits(tmp_path):
    path = tmp_path / 'mask.png'
    cv2.imwrite(str(path), noise())
    with pytest.raises(DataError, match=r'mask\.png: has colours, .*; a mask is a grey or p'):
        read_index_image(path)
    cv2.imwrite(str(path), np.zeros((4, 4), np.uint16))
    with pytest.raises(DataError, match='more than 8 bits per channel'):
        read_index_image(path)


def header_of(width: int, height: int) -> bytes:
    """Return a PNG whose header gives this size; its pixels are those of a small image."""
    content = cv2.imencode('.png', noise(4, 4))[1].tobytes()
    chunk = b'IHDR' + struct.pack('>II', width, height) + content[24:29]
    return content[:12] + chunk + struct.pack('>I', zlib.crc32(chunk)) + content[33:]


@pytest.mark.parametrize('size', [(100_000, 100_000), (17_000, 17_000), (40_000, 30)])
def test_size_is_checked_before_memory_is_allocated(size, tmp_path):
    path = tmp_path / 'huge.png'
    path.write_bytes(header_of(*size))
    tracemalloc.start()
    for read in (read_image, read_index_image, image_size):
        with pytest.raises(DataError, match=r'^.*huge\.png: its header gives .*; crop it$'):
            read(path)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
