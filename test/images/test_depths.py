"""Images of every depth and layout: thermal counts, temperatures, alpha, orientations, masks."""

import io

import cv2
import numpy as np
import PIL.Image
import pytest

from mtl_perception.errors import DataError
from mtl_perception.images.reading import (
    image_size,
    read_colors,
    read_image,
    read_index_image,
)
from mtl_perception.stretch import stretched
from test.images.png_files import GREY, GREY_ALPHA, PALETTE, png, RGB, RGB_ALPHA
from test.images.tiff_files import tiff

RNG = np.random.default_rng(3)
COUNTS = RNG.integers(7200, 8500, (24, 32)).astype(np.uint16)
COLORS = RNG.integers(0, 256, (24, 32, 3), np.uint8)


def written(folder, name, data):
    path = folder / name
    path.write_bytes(data)
    return path


def grey(values):
    return np.repeat(values[..., None], 3, axis=2)


@pytest.mark.parametrize(('name', 'data'), [
    ('a.png', png(COUNTS, 16, GREY)),
    ('a.png', png(np.dstack([COUNTS, COUNTS[::-1]]), 16, GREY_ALPHA)),
    ('a.tif', tiff(COUNTS)), ('a.tif', tiff(COUNTS, order='>')),
    ('a.tif', tiff(COUNTS.astype(np.int16))), ('a.tif', tiff(COUNTS.astype(np.uint32))),
    ('a.tif', tiff(COUNTS.astype(np.int32))), ('a.tif', tiff(COUNTS.astype(np.float32))),
    ('a.tif', tiff(COUNTS.astype(np.float64))),
    ('a.tif', tiff(65535 - COUNTS, photometric=0)),
    ('a.tif', cv2.imencode('.tif', COUNTS, [cv2.IMWRITE_TIFF_COMPRESSION, 32946])[1].tobytes())])
def test_counts_are_stretched_in_every_container(name, data, tmp_path):
    path = written(tmp_path, name, data)
    assert np.abs(read_image(path).astype(int) - grey(stretched(COUNTS))).max() <= 1
    assert image_size(path) == (32, 24)
    inverted = read_image(path, stretch=lambda pixels: stretched(pixels, black_hot=True))
    assert np.abs(inverted.astype(int) + grey(stretched(COUNTS)) - 255).max() <= 1


@pytest.mark.parametrize('bits', [10, 12, 14])
def test_packed_counts_of_a_tiff(bits, tmp_path):
    values = COUNTS % (1 << bits)
    levels = (values[..., None] >> np.arange(bits)[::-1]) & 1
    data = np.packbits(levels.reshape(24, -1).astype(np.uint8), axis=1).tobytes()
    path = written(tmp_path, 'a.tif', tiff(values, data=data, bits=bits))
    assert np.abs(read_image(path).astype(int) - grey(stretched(values))).max() <= 1


@pytest.mark.parametrize(('name', 'make'), [
    ('a.png', lambda deep: png(deep, 16, RGB)),
    ('a.png', lambda deep: png(np.dstack([deep, deep[..., 0]]), 16, RGB_ALPHA)),
    ('a.tif', tiff), ('a.tif', lambda deep: tiff(np.dstack([deep, deep[..., 0]]), extra=2)),
    ('a.tif', lambda deep: tiff(deep.astype(np.float32)))])
def test_deep_colours_share_their_limits(name, make, tmp_path):
    deep = COLORS.astype(np.uint16) * 50 + 1000
    path = written(tmp_path, name, make(deep))
    assert np.abs(read_image(path).astype(int) - stretched(deep)).max() <= 1
    assert np.array_equal(read_image(path, 'bgr'), read_image(path)[..., ::-1])


def test_no_data_of_a_tiff_does_not_count(tmp_path):
    holes = COUNTS.astype(np.float32)
    holes[:12] = -9999
    path = written(tmp_path, 'a.tif', tiff(holes, tags={42113: ('s', b'-9999\0')}))
    assert np.array_equal(read_image(path)[12:, :, 0], stretched(COUNTS[12:].astype(np.float32)))
    assert not read_image(path)[:12].any()


@pytest.mark.parametrize(('pixels', 'reason'), [
    (COUNTS.astype(np.complex64), 'complex numbers'), (COUNTS.astype(np.int64), '64'),
    (np.dstack([COUNTS] * 5), '5 channels of 16 bits'),
    (np.dstack([COUNTS] * 2), '2 channels of 16 bits'), (COUNTS.astype(np.float16), '16 bits')])
def test_what_cannot_be_stretched_is_named(pixels, reason, tmp_path):
    path = written(tmp_path, 'odd.tif', tiff(pixels, photometric=1))
    with pytest.raises(DataError, match=rf'odd\.tif: .*{reason}.*; convert it to'):
        read_image(path)


def test_deep_planes_are_named(tmp_path):
    deep = COLORS.astype(np.uint16)
    path = written(tmp_path, 'planes.tif', tiff(deep, tags={284: ('H', 2)}))
    with pytest.raises(DataError, match=r'planes\.tif: 3 channels of 16 bits'):
        read_image(path)


@pytest.mark.parametrize('photometric', [5, 8])
def test_deep_images_of_other_colour_spaces_are_named(photometric, tmp_path):
    path = written(tmp_path, 'lab.tif', tiff(
        COLORS.astype(np.uint16) if photometric == 8 else np.dstack([COUNTS] * 4),
        photometric=photometric))
    with pytest.raises(DataError, match=rf'lab\.tif: .*photometric interpretation {photometric}'):
        read_image(path)


def test_alpha_of_a_tiff_leaves_colours_as_they_are(tmp_path):
    alpha = np.dstack([COLORS, RNG.integers(0, 256, (24, 32), np.uint8)])
    for extra in (0, 2):
        path = written(tmp_path, 'a.tif', tiff(alpha, extra=extra))
        assert np.array_equal(read_image(path), COLORS)
    # Colours that were multiplied by alpha are divided by it.
    alpha[..., 3] = 51
    alpha[..., :3] = COLORS // 10
    path = written(tmp_path, 'a.tif', tiff(alpha, extra=1))
    assert np.abs(read_image(path).astype(int) - 5 * (COLORS // 10)).max() <= 1


def test_grey_tiff_with_alpha(tmp_path):
    path = written(tmp_path, 'a.tif', tiff(COLORS[..., :2].copy(), photometric=1, extra=2))
    assert np.array_equal(read_image(path), grey(COLORS[..., 0]))


def test_tiff_of_several_pages_is_named(tmp_path):
    path = written(tmp_path, 'stack.tif', tiff(COUNTS, pages=2))
    for read in (read_image, image_size, read_index_image):
        with pytest.raises(DataError, match=r'stack\.tif: .*has several images \(pages\)'):
            read(path)


def test_previews_in_a_tiff_are_ignored(tmp_path):
    path = tmp_path / 'a.tif'
    image, preview = PIL.Image.fromarray(COLORS), PIL.Image.fromarray(COLORS[::2, ::2])
    image.save(path, save_all=True, append_images=[preview])
    assert np.array_equal(read_image(path), COLORS)


TURNS = {
    1: lambda pixels: pixels, 2: np.fliplr, 3: lambda pixels: np.rot90(pixels, 2), 4: np.flipud,
    5: lambda pixels: pixels.swapaxes(0, 1), 6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(pixels.swapaxes(0, 1), 2), 8: np.rot90}
"""Orientation of stored pixels -> what makes them upright (TIFF 6.0, tag 274)."""


def exif_of(orientation):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize('orientation', range(1, 9))
def test_images_are_upright_in_every_container(orientation, tmp_path):
    expected = TURNS[orientation](COLORS)
    exif, image = exif_of(orientation), PIL.Image.fromarray(COLORS)
    paths = [tmp_path / name for name in ('a.jpg', 'a.png', 'a.webp')]
    image.save(paths[0], quality=100, subsampling=0, exif=exif)
    image.save(paths[1], exif=exif)
    image.save(paths[2], lossless=True, exif=exif)
    # Elsewhere than Pillow writes it.
    late = png(COLORS, 8, RGB, after={b'eXIf': exif.tobytes().removeprefix(b'Exif\0\0')})
    paths += [written(tmp_path, 'late.png', late),
              written(tmp_path, 'a.tif', tiff(COLORS, orientation=orientation)),
              written(tmp_path, 'be.tif', tiff(COLORS, orientation=orientation, order='>'))]
    for path in paths:
        found = read_image(path)
        assert found.shape == expected.shape, path
        assert np.abs(found.astype(int) - expected).max() <= (8 if path.suffix == '.jpg' else 0)
        assert image_size(path) == expected.shape[1::-1]
    for deep in (written(tmp_path, 'deep.tif', tiff(COUNTS, orientation=orientation)),
                 written(tmp_path, 'deep.png', png(COUNTS, 16, GREY, before={
                     b'eXIf': exif.tobytes().removeprefix(b'Exif\0\0')}))):
        assert np.array_equal(read_image(deep), grey(TURNS[orientation](stretched(COUNTS))))


def test_masks_are_upright(tmp_path):
    mask = np.arange(6, dtype=np.uint8).reshape(2, 3)
    path = written(tmp_path, 'a.tif', tiff(mask, orientation=6))
    assert read_index_image(path).tolist() == np.rot90(mask, -1).tolist()


@pytest.mark.parametrize('orientation', [0, 9, 255])
def test_invalid_orientation_is_ignored(orientation, tmp_path):
    for name, data in (('a.png', png(COLORS, 8, RGB, before={
            b'eXIf': exif_of(orientation).tobytes().removeprefix(b'Exif\0\0')})),
            ('b.png', png(COLORS, 8, RGB, before={b'eXIf': b'II*\0\x08\0\0\0\x01\0'})),
            ('a.tif', tiff(COLORS, orientation=orientation))):
        path = written(tmp_path, name, data)
        assert np.array_equal(read_image(path), COLORS) and image_size(path) == (32, 24)


@pytest.mark.parametrize('bits', [1, 2, 4, 8])
@pytest.mark.parametrize('kind', [GREY, PALETTE])
def test_indices_of_every_depth(bits, kind, tmp_path):
    values = (np.arange(35).reshape(5, 7) % (1 << bits)).astype(np.uint8)
    before = {b'PLTE': bytes(3 << bits)} if kind == PALETTE else {}
    path = written(tmp_path, 'a.png', png(values, bits, kind, before=before))
    assert np.array_equal(read_index_image(path), values)
    if kind == GREY:
        packed = np.packbits(((values[..., None] >> np.arange(bits)[::-1]) & 1)
                             .reshape(5, -1), axis=1).tobytes()
        path = written(tmp_path, 'a.tif', tiff(values, data=packed, bits=bits))
        assert np.array_equal(read_index_image(path), values)


def test_palette_mask_with_transparency_has_its_indices(tmp_path):
    values = np.array([[0, 1, 2]], np.uint8)
    path = written(tmp_path, 'a.png', png(values, 8, PALETTE, before={
        b'PLTE': bytes(9), b'tRNS': bytes(2)}))
    assert read_index_image(path).tolist() == [[0, 1, 2]]


@pytest.mark.parametrize('bits', [1, 8])
def test_bitmap_masks(bits, tmp_path):
    path = tmp_path / 'a.bmp'
    values = np.array([[0, 1, 0, 1, 1]], np.uint8)
    image = PIL.Image.fromarray(values) if bits == 8 else PIL.Image.fromarray(values.astype(bool))
    image.save(path)
    assert read_index_image(path).tolist() == values.tolist()


def test_grey_images_of_few_bits_span_black_to_white(tmp_path):
    values = np.array([[0, 1, 2, 3]], np.uint8)
    path = written(tmp_path, 'a.png', png(values, 2, GREY))
    assert read_image(path)[0, :, 0].tolist() == [0, 85, 170, 255]
    path = written(tmp_path, 'a.tif', tiff(values, data=b'\x1b', bits=2))
    assert read_image(path)[0, :, 0].tolist() == [0, 85, 170, 255]


@pytest.mark.parametrize('data', [
    png(COUNTS, 16, GREY), png(np.dstack([COUNTS] * 3), 16, RGB)])
def test_masks_of_colours_have_8_bits(data, tmp_path):
    path = written(tmp_path, 'mask.png', data)
    with pytest.raises(DataError, match=r'mask\.png: has 16 bits per channel'):
        read_colors(path)


@pytest.mark.parametrize('mode', ['CMYK', 'YCbCr', 'L'])
def test_colour_spaces_of_jpeg(mode, tmp_path):
    smooth = cv2.resize(COLORS[:3, :4], (64, 48))
    path = tmp_path / 'a.jpg'
    image = PIL.Image.fromarray(smooth).convert(mode)
    image.save(path, quality=100, subsampling=0)
    assert np.abs(read_image(path).astype(int) - np.array(image.convert('RGB'))).max() <= 6


def jpeg(**options):
    file = io.BytesIO()
    smooth = cv2.resize(COLORS[:12, :16], (320, 240))
    PIL.Image.fromarray(smooth).save(file, 'JPEG', quality=90, **options)
    return file.getvalue()


@pytest.mark.parametrize('options', [{}, {'progressive': True}, {'subsampling': 0}])
def test_jpeg_with_zeros_inside_is_named(options, tmp_path):
    data = jpeg(**options)
    assert read_image(written(tmp_path, 'whole.jpg', data)).shape == (240, 320, 3)
    for share in (0.3, 0.5, 0.8):
        at = round(len(data) * share)
        path = written(tmp_path, 'zeros.jpg', data[:at] + bytes(400) + data[at + 400:])
        with pytest.raises(DataError, match=r'zeros\.jpg: is damaged or truncated: '):
            read_image(path)


def test_png_with_zeros_inside_is_named(tmp_path):
    for data in (png(COLORS, 8, RGB), png(COUNTS, 16, GREY), png(COLORS[..., 0], 8, GREY)):
        path = written(tmp_path, 'zeros.png', data[:300] + bytes(40) + data[340:])
        for read in (read_image, read_index_image):
            with pytest.raises(DataError, match=r'zeros\.png: '):
                read(path)


@pytest.mark.parametrize(('name', 'options'), [
    ('a.png', {}), ('a.tif', {}), ('a.webp', {'lossless': True}), ('a.bmp', {})])
def test_alpha_is_dropped_in_every_container(name, options, tmp_path):
    # Not 0: some writers clear the colours below.
    alpha = RNG.integers(1, 256, (24, 32), np.uint8)
    path = tmp_path / name
    PIL.Image.fromarray(np.dstack([COLORS, alpha])).save(path, **options)
    assert np.array_equal(read_image(path), COLORS)


def test_transparent_palette_has_its_colours(tmp_path):
    path = written(tmp_path, 'a.png', png(np.array([[0, 1]], np.uint8), 8, PALETTE, before={
        b'PLTE': bytes([10, 20, 30, 40, 50, 60]), b'tRNS': bytes([0, 9])}))
    assert read_image(path).tolist() == [[[10, 20, 30], [40, 50, 60]]]


@pytest.mark.parametrize('name', ['a.png', 'a.webp'])
def test_animation_is_named(name, tmp_path):
    path = tmp_path / name
    first, second = PIL.Image.fromarray(COLORS), PIL.Image.fromarray(255 - COLORS)
    first.save(path, save_all=True, append_images=[second])
    with pytest.raises(DataError, match=r'a\.\w+: is an animation'):
        read_image(path)
