"""Conversion between messages and plain data."""

import array

from builtin_interfaces.msg import Time
from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from mtl_perception.encodings import decode_image, ENCODINGS, RawImage
from mtl_perception.labels import LabelSet
from mtl_perception.nodes.messages import image_to_message, label_info_message

HEADER = Header(stamp=Time(sec=7, nanosec=999999999), frame_id='drone/camera_0 é')


@given(st.integers(1, 20), st.integers(1, 20), st.sampled_from(['mono8', 'rgb8', 'bgr8']),
       st.integers(0, 2**32))
@settings(max_examples=50, deadline=None)
def test_image_round_trips(width, height, encoding, seed):
    shape = (height, width) if encoding == 'mono8' else (height, width, 3)
    image = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    message = image_to_message(image, encoding, HEADER)
    assert message.header == HEADER
    assert (message.width, message.height, message.encoding) == (width, height, encoding)
    assert message.step == width * (1 if encoding == 'mono8' else 3)
    assert isinstance(message.data, array.array) and message.data.typecode == 'B'
    pixels, order = decode_image(RawImage.of(message))
    assert np.array_equal(pixels, image)
    assert order == ('bgr' if encoding == 'bgr8' else 'rgb')


def test_image_view_is_sent_without_surroundings():
    whole = np.arange(5 * 6 * 3, dtype=np.uint8).reshape(5, 6, 3)
    message = image_to_message(whole[1:4, 2:5], 'rgb8', HEADER)
    assert bytes(message.data) == whole[1:4, 2:5].tobytes()


def test_pixels_are_not_copied():
    message = Image(width=2, height=2, step=4, encoding='mono8', data=array.array('B', bytes(8)))
    pixels, _ = decode_image(RawImage.of(message))
    message.data[4] = 200
    assert pixels.tolist() == [[0, 0], [200, 0]]


def test_label_info():
    message = label_info_message(LabelSet.of('car', 'person'), 0.25, Time(sec=3))
    assert [(c.class_id, c.class_name) for c in message.class_map] == [(0, 'car'), (1, 'person')]
    assert message.threshold == 0.25 and message.header.stamp == Time(sec=3)


@pytest.mark.parametrize('encoding', [
    name for name in ENCODINGS if name not in ('nv12', 'nv21', 'nv24', 'uyvy', 'yuyv')])
def test_pixels_agree_with_cv_bridge(encoding):
    bridge = pytest.importorskip('cv_bridge').CvBridge()
    layout = ENCODINGS[encoding]
    # Padding of whole pixels, since cv_bridge does not support others.
    width, height, padding = 14, 10, 12
    rng = np.random.default_rng(len(encoding))
    step = width * layout.pixel_bytes + padding
    message = Image(
        width=width, height=height, step=step, encoding=encoding,
        data=array.array('B', rng.integers(0, 256, step * height, np.uint8).tobytes()))
    pixels, order = decode_image(RawImage.of(message))
    if encoding.startswith('8UC'):
        # cv_bridge supports such images only without conversion.
        expected = bridge.imgmsg_to_cv2(message, 'passthrough').reshape(height, width, -1)
        expected = expected[..., :3].reshape(pixels.shape)
    else:
        expected = bridge.imgmsg_to_cv2(message, f'{order}8')
        pixels = np.broadcast_to(pixels.reshape(height, width, -1), expected.shape)
    assert np.array_equal(pixels, expected)
