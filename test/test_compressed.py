"""JPEG and PNG in messages: decoding, rejection and its causes."""

import io
import struct
import tracemalloc
import zlib

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
from PIL import Image as PilImage
import pytest

from mtl_perception import compressed
from mtl_perception import jpeg as jpeg_codec
from mtl_perception.compressed import (
    BROKEN,
    check_compressed,
    compress,
    CompressedData,
    CUT_OFF,
    decode_compressed,
    format_name,
    MAX_PIXELS,
    TOO_LARGE,
    UNSUPPORTED,
)
from mtl_perception.encodings import FrameError
from mtl_perception.stretch import stretched


def color_image(height=48, width=64):
    """Return BGR with a different colour in each quarter, which JPEG nearly preserves."""
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[:height // 2, :width // 2] = (200, 30, 30)
    pixels[:height // 2, width // 2:] = (30, 200, 30)
    pixels[height // 2:, :width // 2] = (30, 30, 200)
    pixels[height // 2:, width // 2:] = (120, 120, 120)
    return pixels


def pil_bytes(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def cause_of(data, name='jpeg'):
    with pytest.raises(FrameError) as caught:
        decode_compressed(CompressedData(data, name))
    assert '\n' not in str(caught.value) and len(str(caught.value)) < 600
    return caught.value.cause


@pytest.fixture(params=['simplejpeg', 'OpenCV'])
def codec(request, monkeypatch):
    """Run with each of the two JPEG codecs."""
    if request.param == 'OpenCV':
        monkeypatch.setattr(compressed, 'simplejpeg', None)
        monkeypatch.setattr(jpeg_codec, 'simplejpeg', None)
    return request.param


@pytest.mark.parametrize('kind', ['jpeg', 'png'])
@pytest.mark.parametrize('order', ['bgr', 'rgb'])
def test_image_round_trips(kind, order, codec):
    pixels = color_image()
    given_pixels = pixels if order == 'bgr' else np.ascontiguousarray(pixels[..., ::-1])
    data = compress(given_pixels, order, kind, 95)
    found, found_order = decode_compressed(
        CompressedData(data, format_name(f'{order}8', kind)))
    assert found_order == 'bgr' and found.dtype == np.uint8
    assert np.abs(found[4:-4:8, 4:-4:8].astype(int) - pixels[4:-4:8, 4:-4:8]).max() <= (
        0 if kind == 'png' else 4)


@pytest.mark.parametrize('kind', ['jpeg', 'png'])
def test_grey_image_stays_grey(kind, codec):
    grey = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (40, 1))
    found, _ = decode_compressed(CompressedData(
        compress(grey, 'rgb', kind, 95), format_name('mono8', kind)))
    assert found.shape == grey.shape and np.abs(found.astype(int) - grey).max() <= 3


@pytest.mark.parametrize(('name', 'order'), [
    ('jpeg', 'bgr'), ('png', 'bgr'), ('', 'bgr'), ('bgr8; jpeg compressed bgr8', 'bgr'),
    ('rgb8; jpeg compressed bgr8', 'bgr'), ('rgb8; jpeg compressed rgb8', 'rgb'),
    ('rgb8; jpeg compressed ', 'bgr'), ('yuv422; jpeg compressed bgr8', 'bgr'),
])
def test_channel_order_follows_format(name, order):
    # image_transport passes rgb8 to the codec as BGR for `compressed rgb8`.
    assert decode_compressed(CompressedData(
        compress(color_image(), 'bgr', 'jpeg'), name))[1] == order


def test_formats_agree_with_image_transport():
    assert format_name('rgb8', 'jpeg') == 'rgb8; jpeg compressed bgr8'
    assert format_name('bgr8', 'png') == 'bgr8; png compressed bgr8'
    assert format_name('mono8', 'jpeg') == 'mono8; jpeg compressed '
    assert format_name('mono16', 'png') == 'mono16; png compressed '
    assert format_name('rgb16', 'png') == 'rgb16; png compressed bgr16'


def test_sixteen_bits_are_stretched_like_raw_ones():
    values = np.arange(7200, 7200 + 64 * 64, dtype=np.uint16).reshape(64, 64)
    grey, _ = decode_compressed(CompressedData(
        compress(values, 'rgb', 'png'), 'mono16; png compressed '))
    assert np.array_equal(grey, stretched(values))
    color = np.stack([values, values[::-1], values // 2], axis=-1)
    found, order = decode_compressed(CompressedData(
        compress(color, 'bgr', 'png'), 'bgr16; png compressed bgr16'))
    assert order == 'bgr'
    assert np.array_equal(found, stretched(color))
    halved, _ = decode_compressed(CompressedData(compress(values, 'rgb', 'png'), 'mono16; png'),
                                  lambda pixels: (pixels // 256).astype(np.uint8))
    assert np.array_equal(halved, values // 256)


def test_bayer_pattern_is_converted_to_colour():
    mosaic = np.zeros((16, 16), np.uint8)
    mosaic[0::2, 0::2] = 200  # red
    deep = mosaic.astype(np.uint16) * 257
    for encoding, data, red in (('bayer_rggb8', mosaic, 200), ('bayer_rggb16', deep, 255)):
        found, order = decode_compressed(CompressedData(
            compress(data, 'rgb', 'png'), format_name(encoding, 'png')))
        assert order == 'rgb'
        assert found[4:-4, 4:-4].reshape(-1, 3).mean(axis=0).tolist() == [red, 0, 0]


def test_exif_orientation_is_not_applied(codec):
    exif = PilImage.Exif()
    exif[0x0112] = 6
    data = pil_bytes(PilImage.fromarray(color_image()[..., ::-1]), 'JPEG', exif=exif, quality=95)
    assert decode_compressed(CompressedData(data, 'jpeg'))[0].shape == (48, 64, 3)


@pytest.mark.parametrize('mode', ['RGBA', 'P', 'LA', '1', 'L', 'I;16'])
def test_all_png_types_give_colour_or_grey(mode):
    image = PilImage.fromarray(color_image()[..., ::-1])
    data = pil_bytes(image.convert('L').convert('I').convert(mode) if mode == 'I;16'
                     else image.convert(mode), 'PNG')
    found, _ = decode_compressed(CompressedData(data, 'png'))
    assert found.dtype == np.uint8 and found.shape[:2] == (48, 64)
    assert found.ndim == 2 or found.shape[2] == 3


@pytest.mark.parametrize('kind', ['jpeg', 'png'])
def test_truncated_data_is_reported(kind, codec):
    data = compress(color_image(240, 320), 'bgr', kind, 95)
    for share in (0.1, 0.5, 0.9, 0.999):
        assert cause_of(data[:int(share * len(data))]) == CUT_OFF
    assert cause_of(b'') == UNSUPPORTED
    assert cause_of(data[:10]) in (CUT_OFF, UNSUPPORTED)


def test_trailing_padding_is_accepted(codec):
    data = compress(color_image(), 'bgr', 'jpeg') + bytes(5000)
    assert decode_compressed(CompressedData(data, 'jpeg'))[0].shape == (48, 64, 3)


def test_damaged_jpeg_is_rejected(capfd):
    noise = np.random.default_rng(3).integers(0, 255, (240, 320, 3), np.uint8)
    data = compress(noise, 'bgr', 'jpeg', 90)
    # Its second half is missing, its end is not.
    assert cause_of(data[:len(data) // 2] + b'\xff\xd9') == BROKEN
    assert capfd.readouterr().err == ''


def test_damaged_png_is_rejected():
    data = bytearray(compress(color_image(240, 320), 'bgr', 'png'))
    data[len(data) // 2] ^= 0xFF
    assert cause_of(bytes(data), 'png') == BROKEN


def png(width, height, data=b'', bits=8, kind=2):
    """Return a PNG with this header and any data."""
    def chunk(name, body):
        return struct.pack('>I', len(body)) + name + body + struct.pack(
            '>I', zlib.crc32(name + body))

    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack(
        '>IIBBBBB', width, height, bits, kind, 0, 0, 0)) + chunk(b'IDAT', data)
        + chunk(b'IEND', b''))


def jpeg(width, height):
    """Return a small JPEG with this header."""
    data = bytearray(compress(color_image(), 'bgr', 'jpeg'))
    at = data.index(b'\xff\xc0')
    struct.pack_into('>HH', data, at + 5, height, width)
    return bytes(data)


@pytest.mark.parametrize(('data', 'cause'), [
    (jpeg(32767, 16), TOO_LARGE), (jpeg(0, 16), TOO_LARGE), (jpeg(16, 0), TOO_LARGE),
    (jpeg(16000, 16000), TOO_LARGE), (jpeg(8000, 8000), CUT_OFF), (png(0, 1), TOO_LARGE),
    (png(32767, 1), TOO_LARGE), (png(2**31, 2**31), TOO_LARGE), (png(8000, 8000), CUT_OFF),
    (png(16384, 16384, zlib.compress(bytes(1 << 24))), TOO_LARGE),
    (png(64, 64, zlib.compress(bytes(100))), BROKEN), (png(4, 4, bits=8, kind=7), BROKEN),
])
def test_decompression_bomb_is_rejected_before_allocation(data, cause):
    tracemalloc.start()
    assert cause_of(data) == cause
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 22


def test_large_image_is_accepted():
    side = 8192
    assert side * side == MAX_PIXELS
    header = check_compressed(CompressedData(
        png(side, side, zlib.compress(bytes(side * (side * 3 + 1)), 1)), 'png'))
    assert (header.width, header.height) == (side, side)


@pytest.mark.parametrize(('name', 'data', 'advice'), [
    ('h264', b'\x00\x00\x00\x01\x67', 'republish'), ('theora', b'OggS', 'republish'),
    ('16UC1; compressedDepth png', bytes(12) + b'\x89PNG', 'depth'),
    ('webp', b'RIFF\x00\x00\x00\x00WEBP', 'JPEG or PNG'), ('', b'BM', 'neither JPEG nor PNG'),
    ('x' * 10000, b'GIF89a', 'neither'), ('jpeg', b'II*\x00', 'neither'),
])
def test_unsupported_format_lists_supported_ones(name, data, advice):
    with pytest.raises(FrameError, match=advice) as caught:
        check_compressed(CompressedData(data, name))
    assert caught.value.cause == UNSUPPORTED and len(str(caught.value)) < 500


def test_invalid_image_is_not_encoded():
    with pytest.raises(ValueError, match='uint16'):
        compress(np.zeros((4, 4), np.uint16), 'rgb', 'jpeg')
    with pytest.raises(ValueError, match='webp'):
        compress(np.zeros((4, 4), np.uint8), 'rgb', 'webp')


SEEDS = [compress(color_image(), 'bgr', 'jpeg'), compress(color_image(), 'bgr', 'png'),
         compress(color_image()[..., 0], 'bgr', 'jpeg'),
         compress(color_image().astype(np.uint16) * 257, 'bgr', 'png')]


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(SEEDS), st.floats(0, 1), st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), max_size=4), st.text())
def test_any_damage_gives_image_or_frame_error(data, share, flips, name):
    spoilt = bytearray(data[:round(share * len(data))] if share < 0.9 else data)
    for place, bits in flips:
        if spoilt:
            spoilt[int(place * len(spoilt))] ^= bits
    image = CompressedData(bytes(spoilt), name)
    try:
        pixels, order = decode_compressed(image)
    except FrameError as error:
        assert error.cause in (UNSUPPORTED, CUT_OFF, TOO_LARGE, BROKEN)
    else:
        header = check_compressed(image)
        assert pixels.shape[:2] == (header.height, header.width)
        assert order in ('rgb', 'bgr') and pixels.dtype == np.uint8
