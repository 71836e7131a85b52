from fractions import Fraction
import math

import cv2
from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from mtl_perception.errors import ConfigError
from mtl_perception.graph_contract import PAD_VALUE
from mtl_perception.inference.letterbox import Canvas, Letterbox, letterbox_of, Scratch

NETWORKS = st.sampled_from([(64, 64), (96, 64), (64, 160), (100, 84)])
SIDES = st.integers(1, 400)


def _placed(image, network, order='rgb'):
    canvas = Canvas(network)
    batch = canvas.batch(1)
    return canvas.place(0, image, order), batch[0]


@given(SIDES, SIDES, NETWORKS)
def test_the_image_fits_and_touches_two_borders(width, height, network):
    letterbox = Letterbox((width, height), network)
    assert all(1 <= side <= net for side, net in zip(letterbox.size, network, strict=True))
    assert letterbox.size[0] == network[0] or letterbox.size[1] == network[1]
    ratio = min(network[0] / width, network[1] / height)
    for size, side in zip(letterbox.size, (width, height), strict=True):
        assert abs(size - side * ratio) <= 0.5 or size == 1


@given(SIDES, SIDES, NETWORKS, st.data())
def test_boxes_round_trip(width, height, network, data):
    letterbox = Letterbox((width, height), network)
    x = sorted(data.draw(st.lists(st.floats(0, width), min_size=2, max_size=2)))
    y = sorted(data.draw(st.lists(st.floats(0, height), min_size=2, max_size=2)))
    boxes = np.array([[x[0], y[0], x[1], y[1]]], np.float32)
    there = boxes * np.array(letterbox.scale * 2)
    assert (there >= 0).all() and (there <= np.array(letterbox.size * 2) + 1e-3).all()
    np.testing.assert_allclose(letterbox.to_source(there), boxes, atol=1e-4 * max(width, height))


def test_boxes_are_clipped_to_the_image():
    letterbox = Letterbox((200, 100), (64, 64))
    boxes = letterbox.to_source(np.array([[-5, -5, 70, 70], [10, 40, 20, 60]], np.float32))
    assert boxes.tolist() == [[0, 0, 200, 100], [31.25, 100, 62.5, 100]]
    assert boxes.dtype == np.float32


@settings(max_examples=200)
@given(st.integers(20, 400), st.integers(20, 400), NETWORKS, st.sampled_from(['rgb', 'bgr']),
       st.data())
def test_drawn_box_maps_back_to_source(width, height, network, order, data):
    letterbox = Letterbox((width, height), network)
    # At least three network pixels on a side, so that it can be found.
    least = [math.ceil(3 / scale) for scale in letterbox.scale]
    if least[0] > width or least[1] > height:
        return
    x0 = data.draw(st.integers(0, width - least[0]))
    y0 = data.draw(st.integers(0, height - least[1]))
    x1 = data.draw(st.integers(x0 + least[0], width))
    y1 = data.draw(st.integers(y0 + least[1], height))
    image = np.zeros((height, width, 3), np.uint8)
    image[y0:y1, x0:x1, order.index('r')] = 255
    _, seen = _placed(image, network, order)
    ys, xs = np.nonzero((seen[..., 0] > 127) & (seen[..., 1] < 60) & (seen[..., 2] < 60))
    found = letterbox.to_source(np.array(
        [[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]], np.float32))[0]
    # One network pixel: half for an edge within a pixel, the rest for interpolation.
    tolerance = np.array([1 / scale for scale in letterbox.scale] * 2)
    assert (np.abs(found - [x0, y0, x1, y1]) <= tolerance + 1e-3).all()


@given(st.integers(64, 250), st.integers(64, 250), NETWORKS, st.booleans())
def test_pixels_match_their_coordinates(width, height, network, upright):
    """A ramp whose value is the coordinate: values after resizing are coordinates too."""
    ramp = np.arange(height if upright else width, dtype=np.uint8)
    image = np.ascontiguousarray(
        np.broadcast_to(ramp[:, None] if upright else ramp, (height, width)))
    letterbox, seen = _placed(image, network)
    values = seen[:letterbox.size[1], :letterbox.size[0], 0].astype(float)
    axis = 1 if upright else 0
    line = values[:, 0] if upright else values[0]
    expected = (np.arange(len(line)) + 0.5) / letterbox.scale[axis] - 0.5
    inner = slice(1, -1)  # there is no interpolation beyond the outermost centres
    assert np.abs(line - expected)[inner].max() <= 1.0
    # Each of the steps (two if the image is halved first) may round a half up.
    steps = 1 if letterbox.scale[axis] > 0.5 else 2
    assert np.abs((line - expected)[inner].mean()) <= 0.5 * steps + 0.1


def _labels(letterbox, label_map, stride, window=None, scratch=None):
    window = window or (0, 0, *letterbox.source)
    # A part of a larger array, like a tile.
    whole = np.full((window[3] - window[1] + 2, window[2] - window[0] + 2), 251, np.uint8)
    labels = whole[1:-1, 1:-1]
    letterbox.labels_to_source(label_map, stride, window, labels, scratch or Scratch())
    assert (whole == 251).sum() == whole.size - labels.size
    return labels


@given(st.integers(1, 120), st.integers(1, 120), NETWORKS, st.sampled_from([1, 4]),
       st.integers(0, 1000))
def test_each_source_pixel_gets_the_label_under_its_centre(width, height, network, stride, seed):
    letterbox = Letterbox((width, height), network)
    shape = -(-network[1] // stride), -(-network[0] // stride)
    label_map = np.random.default_rng(seed).integers(0, 250, shape, np.uint8)
    labels = _labels(letterbox, label_map, stride)

    def cell(index, axis, side):
        centre = (index + Fraction(1, 2)) * Fraction(letterbox.size[axis], side)
        return math.floor(centre / stride)

    columns = [cell(x, 0, width) for x in range(width)]
    rows = [cell(y, 1, height) for y in range(height)]
    assert np.array_equal(labels, label_map[np.ix_(rows, columns)])


@given(st.integers(8, 200), st.integers(8, 200), st.data())
def test_label_window_equals_part_of_all_labels(width, height, data):
    letterbox = Letterbox((width, height), (96, 64))
    label_map = np.random.default_rng(0).integers(0, 250, (16, 24), np.uint8)
    x0, y0 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    x1, y1 = data.draw(st.integers(x0 + 1, width)), data.draw(st.integers(y0 + 1, height))
    scratch = Scratch()
    whole = _labels(letterbox, label_map, 4, scratch=scratch)
    part = _labels(letterbox, label_map, 4, (x0, y0, x1, y1), scratch)
    assert np.array_equal(part, whole[y0:y1, x0:x1])


def test_image_of_input_format_is_not_copied():
    canvas = Canvas((96, 64))
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    image.setflags(write=False)
    batch, (letterbox,) = canvas.load([(image, 'rgb')])
    assert batch.ctypes.data == image.ctypes.data and batch.shape == (1, 64, 96, 3)
    assert letterbox.size == letterbox.source == (96, 64)
    # Copied: another order, padded rows, grey, several images.
    padded = np.zeros((64, 100, 3), np.uint8)[:, :96]
    padded[...] = image
    for images, order in (([image[..., ::-1]], 'bgr'), ([padded], 'rgb'), ([image] * 2, 'rgb')):
        batch, letterboxes = canvas.load([(source, order) for source in images])
        assert all(np.array_equal(part, image) for part in batch)
        assert len(letterboxes) == len(batch) == len(images)
        assert not np.shares_memory(batch, images[0])
    batch, _ = canvas.load([(image[..., 0], 'rgb')])
    assert np.array_equal(batch[0, ..., 2], image[..., 0])


def test_image_of_input_size_is_only_reordered():
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    assert np.array_equal(_placed(image, (96, 64))[1], image)
    assert np.array_equal(_placed(image, (96, 64), 'bgr')[1], image[..., ::-1])
    grey = image[..., 0]
    assert np.array_equal(_placed(grey, (96, 64))[1], np.repeat(grey[..., None], 3, axis=2))


@pytest.mark.parametrize('size', [(48, 64), (40, 20), (96, 128), (333, 222), (400, 10)])
@pytest.mark.parametrize('kind', ['rgb', 'bgr', 'grey'])
def test_non_contiguous_views_are_supported(size, kind):
    height, width = size
    shape = size if kind == 'grey' else (*size, 3)
    image = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    order = 'rgb' if kind == 'grey' else kind
    _, expected = _placed(image, (96, 64), order)
    padded = np.zeros((height, width + 7, *shape[2:]), np.uint8)
    padded[:, :width] = image
    read_only = np.frombuffer(image.tobytes(), np.uint8).reshape(shape)
    sparse = np.zeros((2 * height, 2 * width, *shape[2:]), np.uint8)[::2, ::2]
    sparse[:] = image
    flipped = np.ascontiguousarray(image[::-1])[::-1]
    odd_step = np.lib.stride_tricks.as_strided(
        np.zeros(height * (width * 3 + 5), np.uint8), shape,
        (image.strides[0] + 5, *image.strides[1:]))
    odd_step[:] = image
    odd_step.flags.writeable = False
    for view in (padded[:, :width], read_only, sparse, flipped, np.asfortranarray(image),
                 odd_step):
        assert np.array_equal(_placed(view, (96, 64), order)[1], expected)


def test_the_border_is_grey_after_every_change_of_size():
    canvas = Canvas((96, 64))
    batch = canvas.batch(2)
    rng = np.random.default_rng(2)
    for step in range(40):
        height, width = rng.integers(1, 200, 2)
        slot = step % 2
        letterbox = canvas.place(slot, np.full((height, width, 3), 200, np.uint8), 'bgr')
        expected = np.full((64, 96, 3), PAD_VALUE, np.uint8)
        expected[:letterbox.size[1], :letterbox.size[0]] = 200
        assert np.array_equal(batch[slot], expected)


def test_batch_buffer_is_reused():
    canvas = Canvas((96, 64))
    first = canvas.batch(2)
    assert first.shape == (2, 64, 96, 3) and first.flags.c_contiguous
    for image in (np.zeros((50, 70, 3), np.uint8), np.zeros((500, 70), np.uint8)):
        canvas.place(1, image, 'bgr')
        again = canvas.batch(1)
        assert np.shares_memory(first, again) and again.shape == (1, 64, 96, 3)
    larger = canvas.batch(3)
    canvas.place(2, np.zeros((10, 10), np.uint8), 'rgb')
    assert larger[2].max() == PAD_VALUE


def test_source_is_not_modified():
    image = np.random.default_rng(3).integers(0, 256, (300, 500, 3), np.uint8)
    before = image.copy()
    _placed(image, (96, 64), 'bgr')
    assert np.array_equal(image, before)


@pytest.mark.parametrize('size', [(1080, 1920), (1081, 1921), (720, 1280), (501, 700)])
def test_shrinking_does_not_alias(size):
    """A grid much finer than the network's pixels becomes its mean."""
    height, width = size
    image = np.zeros((height, width), np.uint8)
    image[(np.add.outer(np.arange(height), np.arange(width)) % 2) == 0] = 200
    letterbox, seen = _placed(image, (320, 320))
    inside = seen[:letterbox.size[1], :letterbox.size[0], 0].astype(int)
    assert abs(inside.mean() - 100) <= 2
    assert np.abs(inside - 100).max() <= 30


def test_halving_agrees_with_area_mean():
    rng = np.random.default_rng(4)
    image = cv2.GaussianBlur(rng.integers(0, 256, (1080, 1920, 3), np.uint8), (0, 0), 3)
    letterbox, seen = _placed(image, (640, 640))
    ours = seen[:letterbox.size[1], :letterbox.size[0]]
    reference = cv2.resize(image, letterbox.size, interpolation=cv2.INTER_AREA)
    assert np.abs(ours.astype(int) - reference).mean() < 1


def test_letterbox_is_cached_by_size():
    assert letterbox_of((640, 480), (64, 64)) is letterbox_of((640, 480), (64, 64))


def test_unknown_channel_order_is_named():
    with pytest.raises(ConfigError, match=r"'gbr'.*rgb, bgr"):
        _placed(np.zeros((4, 4, 3), np.uint8), (64, 64), 'gbr')
