"""No content of a file makes the readers of images fail otherwise than by naming it."""

import io

import cv2
from fuzzing import damaged, fuzz_examples
from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import PIL.Image
import pytest

from mtl_perception.errors import DataError
from mtl_perception.images.reading import image_size, read_image, read_index_image
from test.images.png_files import GREY, GREY_ALPHA, PALETTE, png, RGB
from test.images.tiff_files import tiff

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(5)
SMOOTH = cv2.resize(RNG.integers(0, 256, (6, 8, 3), np.uint8), (32, 24))
COUNTS = SMOOTH[..., 0].astype(np.uint16) * 5 + 7200
CLASSES = (SMOOTH[..., 0] // 64).astype(np.uint8)


def pillow(kind, pixels=SMOOTH, **options):
    file = io.BytesIO()
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    PIL.Image.fromarray(pixels).save(file, kind, exif=exif, **options)
    return file.getvalue()


def opencv(ending, pixels=SMOOTH, *options):
    return cv2.imencode(ending, pixels, options)[1].tobytes()


FILES = {
    'jpg': pillow('JPEG'), 'progressive.jpg': pillow('JPEG', progressive=True),
    'grey.jpg': pillow('JPEG', SMOOTH[..., 0].copy()),
    'png': pillow('PNG'), '16 bits.png': png(COUNTS, 16, GREY),
    'alpha 16 bits.png': png(np.dstack([COUNTS, COUNTS]), 16, GREY_ALPHA),
    'rgb.png': png(SMOOTH, 8, RGB), 'webp': pillow('WEBP', quality=80),
    'lossless.webp': pillow('WEBP', lossless=True),
    'bmp': opencv('.bmp'), 'grey.bmp': pillow('BMP', CLASSES),
    'tif': tiff(SMOOTH, orientation=6), 'lzw.tif': opencv('.tif'),
    'lzw 16 bits.tif': opencv('.tif', COUNTS), '16 bits.tif': tiff(COUNTS, order='>'),
    'deflate.tif': opencv('.tif', COUNTS, cv2.IMWRITE_TIFF_COMPRESSION, 8),
    'float.tif': tiff(COUNTS.astype(np.float32), orientation=3),
    'jpeg.tif': opencv('.tif', SMOOTH, cv2.IMWRITE_TIFF_COMPRESSION, 7)}

MASKS = {
    'png': png(CLASSES, 8, GREY), '1 bit.png': png(CLASSES & 1, 1, GREY),
    'palette.png': png(CLASSES, 4, PALETTE, before={b'PLTE': bytes(48)}),
    'tif': opencv('.tif', CLASSES), 'bmp': opencv('.bmp', CLASSES)}


@pytest.mark.parametrize('name', FILES)
@settings(max_examples=fuzz_examples())
@given(data=st.data())
def test_damaged_image_is_read_or_named(name, data, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / f'image.{name.rpartition(".")[2]}'
    path.write_bytes(data.draw(damaged(FILES[name])))
    size = checked(image_size, path)
    image = checked(read_image, path)
    if image is not None:
        assert image.dtype == np.uint8 and image.shape == (*size[::-1], 3)


@pytest.mark.parametrize('name', MASKS)
@settings(max_examples=fuzz_examples())
@given(data=st.data())
def test_damaged_mask_is_read_or_named(name, data, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / f'mask.{name.rpartition(".")[2]}'
    path.write_bytes(data.draw(damaged(MASKS[name])))
    size = checked(image_size, path)
    mask = checked(read_index_image, path)
    if mask is not None:
        assert mask.dtype == np.uint8 and mask.shape == size[::-1]


def checked(read, path):
    """Return the result, None where the file is named as broken."""
    try:
        return read(path)
    except DataError as error:
        assert str(error).startswith(f'{path}: ') and '\n' not in str(error)
        return None


@pytest.mark.parametrize('files', [FILES, MASKS])
def test_undamaged_files_are_read(files, tmp_path):
    for name, content in files.items():
        path = tmp_path / name
        path.write_bytes(content)
        read = read_image if files is FILES else read_index_image
        assert read(path).shape[:2] == image_size(path)[::-1]
