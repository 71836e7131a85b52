"""The table of encodings compared with pixels computed here without OpenCV."""

import array

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from mtl_perception.encodings import decode_image, ENCODINGS, FrameError, MAX_SIDE, RawImage

RNG = np.random.default_rng(7)

GREY = ('mono8', 'mono16', '8UC1', '16UC1', '16SC1', '32SC1', '32FC1', '64FC1')


def decode(data, width, height, encoding, step=0, is_bigendian=False):
    array_data = array.array('B')
    array_data.frombytes(bytes(data))
    step = step or width * ENCODINGS[encoding].pixel_bytes
    return decode_image(RawImage(array_data, width, height, step, encoding, is_bigendian))


def rgb(pixels, order):
    if pixels.ndim == 2:
        return np.repeat(pixels[:, :, None], 3, axis=2)
    return pixels if order == 'rgb' else pixels[:, :, ::-1]


def bt601(y, u, v):
    """RGB of 8-bit studio-range Y'CbCr by ITU-R BT.601, unrounded; blacker than black is black."""
    y = 255 / 219 * np.maximum(np.float64(y) - 16, 0)
    u, v = np.float64(u) - 128, np.float64(v) - 128
    wide = 255 / 112
    red = y + 0.701 * wide * v
    green = y - 0.886 * 0.114 / 0.587 * wide * u - 0.701 * 0.299 / 0.587 * wide * v
    blue = y + 0.886 * wide * u
    return np.clip(np.stack([red, green, blue], axis=-1), 0, 255)


@pytest.mark.parametrize(('encoding', 'data', 'expected'), [
    ('mono8', [0, 7, 255], [[0, 0, 0], [7, 7, 7], [255, 255, 255]]),
    ('8UC1', [0, 7, 255], [[0, 0, 0], [7, 7, 7], [255, 255, 255]]),
    ('rgb8', [1, 2, 3, 4, 5, 6], [[1, 2, 3], [4, 5, 6]]),
    ('bgr8', [1, 2, 3, 4, 5, 6], [[3, 2, 1], [6, 5, 4]]),
    ('8UC3', [1, 2, 3, 4, 5, 6], [[3, 2, 1], [6, 5, 4]]),
    ('rgba8', [1, 2, 3, 200, 4, 5, 6, 0], [[1, 2, 3], [4, 5, 6]]),
    ('bgra8', [1, 2, 3, 200, 4, 5, 6, 0], [[3, 2, 1], [6, 5, 4]]),
    ('8UC4', [1, 2, 3, 200, 4, 5, 6, 0], [[3, 2, 1], [6, 5, 4]]),
])
def test_plain_encodings(encoding, data, expected):
    width = len(data) // ENCODINGS[encoding].pixel_bytes
    pixels = rgb(*decode(data, width, 1, encoding))
    assert pixels[0].tolist() == expected


@pytest.mark.parametrize(('encoding', 'dtype', 'pixel_shape', 'expected'), [
    ('mono16', 'u2', (), (0, 128, 255)), ('16UC1', 'u2', (), (0, 128, 255)),
    ('16SC1', 'i2', (), (0, 128, 255)), ('32SC1', 'i4', (), (0, 128, 255)),
    ('32FC1', 'f4', (), (0, 128, 255)), ('64FC1', 'f8', (), (0, 128, 255)),
    ('rgb16', 'u2', (3,), ((0, 64, 128), (64, 128, 191), (128, 191, 255))),
    ('bgr16', 'u2', (3,), ((128, 64, 0), (191, 128, 64), (255, 191, 128))),
    ('16UC3', 'u2', (3,), ((128, 64, 0), (191, 128, 64), (255, 191, 128))),
    ('rgba16', 'u2', (4,), ((0, 64, 128), (64, 128, 191), (128, 191, 255))),
    ('bgra16', 'u2', (4,), ((128, 64, 0), (191, 128, 64), (255, 191, 128))),
    ('16UC4', 'u2', (4,), ((128, 64, 0), (191, 128, 64), (255, 191, 128))),
])
@pytest.mark.parametrize('is_bigendian', [False, True])
def test_more_than_8_bits_are_stretched(encoding, dtype, pixel_shape, expected, is_bigendian):
    # Three pixels that differ by 100 counts; channels that differ by 100, too; alpha is no colour.
    values = np.array([7200, 7300, 7400])
    if pixel_shape:
        values = values[:, None] + np.array([0, 100, 200, -7000][:pixel_shape[0]])
    data = values.astype(('>' if is_bigendian else '<') + dtype).tobytes()
    pixels, order = decode(data, 3, 1, encoding, is_bigendian=is_bigendian)
    found = rgb(pixels, order)[0]
    assert found.tolist() == np.broadcast_to(
        np.array(expected).reshape(3, -1), (3, 3)).tolist()


def test_stretch_of_a_stream_takes_the_place_of_that_of_stills():
    data = np.array([1000, 2000], '<u2').tobytes()
    raw = RawImage(data, 2, 1, 4, 'mono16')
    pixels, _ = decode_image(raw, lambda pixels: (pixels // 100).astype(np.uint8))
    assert pixels.tolist() == [[10, 20]]


def test_bayer_of_16_bits_has_the_colours_of_8():
    mosaic = RNG.integers(1, 256, (8, 10), np.uint8)
    mosaic[0, 0], mosaic[0, 1] = 1, 255
    shallow, _ = decode(mosaic.tobytes(), 10, 8, 'bayer_rggb8')
    deep, order = decode((mosaic.astype('<u2') * 100).tobytes(), 10, 8, 'bayer_rggb16')
    assert order == 'rgb'
    # Black and white are the percentiles: a line through the colours.
    gain, _ = np.polyfit(shallow.ravel(), deep.ravel().astype(float), 1)
    inner = (deep > 0) & (deep < 255)
    assert gain > 0 and np.corrcoef(shallow[inner], deep[inner])[0, 1] > 0.999


def test_endianness_does_not_affect_bytes():
    pixels, order = decode([1, 2, 3, 4, 5, 6], 2, 1, 'rgb8', is_bigendian=True)
    assert order == 'rgb' and pixels[0].tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize('encoding', ['mono8', '8UC1', 'rgb8', 'bgr8', '8UC3'])
def test_views_are_read_only_and_share_message(encoding):
    data = array.array('B', bytes(200))
    pixels, _ = decode_image(RawImage(data, 4, 3, 20, encoding))
    data[20] = 99
    assert pixels[1].ravel()[0] == 99
    assert pixels.strides[0] == 20
    with pytest.raises(ValueError, match='read-only'):
        pixels[0] = 1


@pytest.mark.parametrize(('encoding', 'corner'), [
    ('bayer_rggb8', 'R'), ('bayer_bggr8', 'B'), ('bayer_gbrg8', 'G then B'),
    ('bayer_grbg8', 'G then R')])
def test_bayer_of_uniform_colour(encoding, corner):
    red, green, blue = 200, 90, 30
    name = encoding.split('_')[1][:4]
    cell = [{'r': red, 'g': green, 'b': blue}[letter] for letter in name]
    mosaic = np.tile(np.array(cell, np.uint8).reshape(2, 2), (4, 5))
    pixels, order = decode(mosaic.tobytes(), 10, 8, encoding)
    assert order == 'rgb', corner
    assert (pixels == [red, green, blue]).all()


def test_bayer_is_bilinear_inside():
    mosaic = RNG.integers(0, 256, (8, 10), np.uint8)
    pixels, _ = decode(mosaic.tobytes(), 10, 8, 'bayer_rggb8')
    m = mosaic.astype(int)
    # At a red site: red itself, green of the four sides, blue of the four corners.
    y, x = 2, 4
    sides = m[y - 1, x] + m[y + 1, x] + m[y, x - 1] + m[y, x + 1]
    corners = m[y - 1, x - 1] + m[y - 1, x + 1] + m[y + 1, x - 1] + m[y + 1, x + 1]
    assert pixels[y, x].tolist() == [m[y, x], (sides + 2) // 4, (corners + 2) // 4]
    # At a green site of a red row: red left and right, blue above and below.
    y, x = 2, 5
    assert pixels[y, x].tolist() == [
        (m[y, x - 1] + m[y, x + 1] + 1) // 2, m[y, x], (m[y - 1, x] + m[y + 1, x] + 1) // 2]


def chroma_planes(height, width, down_y, down_x):
    y = RNG.integers(0, 256, (height, width), np.uint8)
    u = RNG.integers(0, 256, (height // down_y, width // down_x), np.uint8)
    v = RNG.integers(0, 256, (height // down_y, width // down_x), np.uint8)
    full = [np.repeat(np.repeat(c, down_y, 0), down_x, 1) for c in (u, v)]
    return y, u, v, bt601(y, *full)


@pytest.mark.parametrize('encoding', ['yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv'])
def test_packed_yuv(encoding):
    y, u, v, expected = chroma_planes(6, 8, 1, 2)
    pairs = np.empty((6, 8, 2), np.uint8)
    luma = 0 if encoding in ('yuv422_yuy2', 'yuyv') else 1
    pairs[..., luma] = y
    pairs[:, 0::2, 1 - luma], pairs[:, 1::2, 1 - luma] = u, v
    pixels, order = decode(pairs.tobytes(), 8, 6, encoding)
    assert order == 'rgb'
    assert np.abs(pixels - expected).max() <= 1.01


@pytest.mark.parametrize(('encoding', 'first', 'down'), [
    ('nv12', 'u', 2), ('nv21', 'v', 2), ('nv24', 'u', 1)])
def test_planar_yuv(encoding, first, down):
    y, u, v, expected = chroma_planes(6, 8, down, down)
    pair = (u, v) if first == 'u' else (v, u)
    data = y.tobytes() + np.stack(pair, axis=-1).tobytes()
    pixels, _ = decode(data, 8, 6, encoding)
    assert np.abs(pixels - expected).max() <= 1.01
    assert pixels.flags.c_contiguous


@st.composite
def good_images(draw):
    encoding = draw(st.sampled_from(sorted(ENCODINGS)))
    layout = ENCODINGS[encoding]
    width = draw(st.integers(layout.min_side, 12)) * (2 if layout.even[0] else 1)
    height = draw(st.integers(layout.min_side, 12)) * (2 if layout.even[1] else 1)
    padding = draw(st.integers(0, 9))
    return encoding, width, height, padding, draw(st.booleans()), draw(st.integers(0, 2**32))


@given(good_images())
@settings(max_examples=200, deadline=None)
def test_row_padding_is_ignored(image):
    encoding, width, height, padding, is_bigendian, seed = image
    layout = ENCODINGS[encoding]
    row = width * layout.pixel_bytes
    rng = np.random.default_rng(seed)
    # Rows of the luma plane's length; nv24's chroma rows are two of them.
    rows = rng.integers(0, 256, (height * layout.half_rows // 2, row), np.uint8)
    padded = rng.integers(0, 256, (len(rows), row + padding), np.uint8)
    padded[:, :row] = rows
    if encoding == 'nv24':
        chroma = padded[height:].reshape(height, -1)
        chroma[:, :2 * row] = rows[height:].reshape(height, -1)
    plain, order = decode(rows.tobytes(), width, height, encoding, is_bigendian=is_bigendian)
    pixels, padded_order = decode(
        padded.tobytes(), width, height, encoding, row + padding, is_bigendian)
    assert plain.dtype == np.uint8 and plain.shape[:2] == (height, width)
    assert plain.ndim == (2 if encoding in GREY else 3)
    assert padded_order == order
    assert np.array_equal(plain, pixels)


@pytest.mark.parametrize(('fields', 'reason'), [
    ({'encoding': '32FC2'}, "encoding '32FC2' is not supported"),
    ({'encoding': ''}, "encoding '' is not supported"),
    ({'encoding': 'rgb8\nrgb8'}, r"encoding 'rgb8\\nrgb8' is not supported"),
    ({'width': 0}, 'size 0x4 rgb8'),
    ({'height': 0}, 'size 4x0 rgb8'),
    ({'width': MAX_SIDE + 1}, f'size {MAX_SIDE + 1}x4 rgb8 is not within'),
    ({'height': 2**32 - 1}, 'is not within'),
    ({'step': 11}, 'step 11 is shorter than a row of 4x4 rgb8: 12 bytes'),
    ({'step': 0}, 'step 0 is shorter'),
    ({'step': 13}, 'data of 48 bytes is shorter than the 52 of 4x4 rgb8, step 13'),
    ({'data': b''}, 'data of 0 bytes is shorter than the 48'),
    ({'encoding': 'yuv422', 'width': 3}, 'size 3x4 yuv422 is odd'),
    ({'encoding': 'nv21', 'height': 3}, 'size 4x3 nv21 is odd'),
    ({'encoding': 'nv21'}, 'data of 48 bytes is shorter than the 72'),
    ({'encoding': 'bayer_rggb8', 'height': 2}, r'is not within 3\.\.'),
])
def test_invalid_frames_give_one_line_error(fields, reason):
    frame = {'data': bytes(48), 'width': 4, 'height': 4, 'step': 12, 'encoding': 'rgb8'} | fields
    with pytest.raises(FrameError, match=reason) as error:
        decode_image(RawImage(**frame))
    assert '\n' not in str(error.value)


@given(
    data=st.binary(max_size=300), width=st.integers(0, 2**32 - 1) | st.integers(0, 20),
    height=st.integers(0, 2**32 - 1) | st.integers(0, 20),
    step=st.integers(0, 2**32 - 1) | st.integers(0, 60),
    encoding=st.sampled_from(sorted(ENCODINGS)) | st.text(max_size=12), big=st.booleans())
@settings(max_examples=400, deadline=None)
def test_any_message_gives_image_or_frame_error(data, width, height, step, encoding, big):
    try:
        pixels, order = decode_image(RawImage(data, width, height, step, encoding, big))
    except FrameError as error:
        assert '\n' not in str(error)
    else:
        assert pixels.shape[:2] == (height, width) and order in ('rgb', 'bgr')


def test_readme_lists_every_encoding(pytestconfig):
    readme = (pytestconfig.rootpath / 'README.md').read_text(encoding='utf-8')
    row = next(line for line in readme.splitlines() if line.startswith('| in | `image` |'))
    assert row.rpartition('|')[0].rpartition('|')[2].strip().split(', ') == list(ENCODINGS)
