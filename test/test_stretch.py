"""The reduction of images to 8 bits, compared with the percentiles of NumPy."""

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from mtl_perception.stretch import (
    CONSTANT,
    MAX_GAP,
    PERCENTILES,
    SmoothStretch,
    stretched,
    TIME_CONSTANT,
)

SECOND = 10**9


def thermal(seed=0, middle=7800, spread=150, shape=(64, 80)):
    return np.random.default_rng(seed).normal(middle, spread, shape).astype(np.uint16)


@pytest.mark.parametrize('dtype', ['u2', 'i1', 'i2', 'u4', 'i4', 'f2', 'f4', 'f8', '>u2', '>f4'])
@pytest.mark.parametrize('shape', [(64, 80), (64, 80, 3), (3, 7), (1, 5), (4, 1)])
def test_percentiles_become_black_and_white(dtype, shape):
    values = np.random.default_rng(1).permutation(np.prod(shape)).reshape(shape) % 120 + 3
    pixels = values.astype(dtype)
    low, high = np.percentile(values, PERCENTILES, method='nearest')
    expected = np.clip((values - low) * 255 / (high - low), 0, 255)
    found = stretched(pixels)
    assert found.dtype == np.uint8 and found.shape == shape
    assert np.abs(found - expected).max() <= 1.0


def test_8_bits_are_not_touched():
    pixels = np.array([[10, 20]], np.uint8)
    assert stretched(pixels) is pixels and stretched(pixels, black_hot=True) is pixels
    assert SmoothStretch().frame(pixels, 1, True) is pixels


def test_black_hot_inverts_grey_images_and_not_colours():
    grey = thermal()
    assert np.array_equal(stretched(grey, black_hot=True), 255 - stretched(grey))
    assert SmoothStretch().frame(grey, black_hot=True)[0, 0] == 255 - stretched(grey)[0, 0]
    color = thermal(shape=(8, 9, 3))
    assert np.array_equal(stretched(color, black_hot=True), stretched(color))


def test_channels_share_their_limits():
    color = np.stack([thermal(), thermal() * 2, thermal() * 3], axis=-1)
    found = stretched(color).reshape(-1, 3).mean(axis=0)
    assert found[0] < 30 < found[1] < found[2] - 60


def test_pixels_without_a_measurement_do_not_count():
    plain = thermal()
    framed = np.zeros((128, 160), np.uint16)
    framed[32:96, 40:120] = plain
    found = stretched(framed)
    assert np.abs(found[32:96, 40:120].astype(int) - stretched(plain)).max() <= 8
    assert not found[0].any()
    holes = np.full((128, 160), np.nan, np.float32)
    holes[32:96, 40:120] = plain
    holes[0, :3] = np.inf, -np.inf, np.nan
    found = stretched(holes)
    assert np.abs(found[32:96, 40:120].astype(int) - stretched(plain)).max() <= 8
    assert not found[0].any() and (stretched(holes, black_hot=True)[0] == 255).all()


def test_small_object_on_an_even_background_is_seen():
    pixels = np.full((200, 200), 8000, np.uint16)
    pixels[7, 9] = 8100
    found = stretched(pixels)
    assert found[7, 9] == 255 and found[0, 0] == 0
    pixels = np.zeros((200, 200), np.uint16)
    pixels[7, 9] = 900
    assert stretched(pixels)[7, 9] == 255 and stretched(pixels)[0, 0] == 0


@pytest.mark.parametrize('pixels', [
    np.zeros((4, 5), np.uint16), np.full((4, 5), 7, np.uint16), np.full((4, 5, 3), 7.5),
    np.full((4, 5), np.nan, np.float32), np.full((4, 5), np.inf)])
def test_constant_image_is_grey(pixels):
    assert (stretched(pixels) == CONSTANT).all()
    assert (SmoothStretch().frame(pixels) == CONSTANT).all()


@pytest.mark.parametrize('dtype', [np.int64, np.uint64, np.complex64, np.complex128, bool])
def test_other_types_are_rejected(dtype):
    with pytest.raises(ValueError, match=np.dtype(dtype).name):
        stretched(np.ones((2, 2), dtype))


@given(st.data())
@settings(max_examples=100)
def test_any_floats_give_an_image(data):
    values = data.draw(st.lists(st.floats(width=32), min_size=1, max_size=12))
    found = stretched(np.array([values], np.float32))
    assert found.dtype == np.uint8 and found.shape == (1, len(values))


def test_noise_does_not_make_a_stream_flicker():
    stills, smooth, stretch = [], [], SmoothStretch()
    for number in range(60):
        frame = thermal(number, shape=(48, 64))
        frame[0, 0] = 7800
        stills.append(int(stretched(frame)[0, 0]))
        smooth.append(int(stretch.frame(frame, (number + 1) * SECOND // 30)[0, 0]))
    assert np.std(np.diff(smooth[5:])) < np.std(np.diff(stills)) / 4


def test_limits_follow_by_time():
    stretch = SmoothStretch()
    start, end = np.array([[1000, 3000]], np.uint16), np.array([[2000, 4000]], np.uint16)
    stretch.frame(start, SECOND)
    found = stretch.frame(end, SECOND + round(TIME_CONSTANT * SECOND))
    # The lower limit is 1632: 63 % of the way.
    assert found[0, 0] == round((2000 - 1632.1) * 255 / 2000)
    # Without stamps, 0.1 s pass.
    other = SmoothStretch()
    other.frame(start)
    assert other.frame(end)[0, 0] == round((2000 - 1095.2) * 255 / 2000)


@pytest.mark.parametrize(('pixels', 'seconds'), [
    (np.array([[2000, 4000], [2000, 4000]], np.uint16), 1.1),
    (np.array([[2000, 4000]], np.float32), 1.1),
    (np.array([[2000, 4000]], np.uint16), 1.0 + 2 * MAX_GAP),
    (np.array([[2000, 4000]], np.uint16), 0.5),
    (np.array([[3001, 4000]], np.uint16), 1.1)])
def test_limits_are_taken_anew_after_a_break(pixels, seconds):
    stretch = SmoothStretch()
    stretch.frame(np.array([[1000, 3000]], np.uint16), SECOND)
    assert stretch.frame(pixels, round(seconds * SECOND))[0].tolist() == [0, 255]


def test_constant_frame_of_a_stream_keeps_its_limits():
    stretch = SmoothStretch()
    stretch.frame(np.array([[1000, 3000]], np.uint16), SECOND)
    assert stretch.frame(np.array([[2000, 2000]], np.uint16), 2 * SECOND).tolist() == [[128, 128]]
    assert stretch.frame(np.array([[1500, 1500]], np.uint16), 3 * SECOND).tolist() == [[64, 64]]
