import cv2
import numpy as np
import pytest
from rosbags.typesys import get_typestore, Stores

from mtl_perception.bags.compressed_images import compressed_message
from mtl_perception.bags.metadata import COMPRESSED_IMAGE, IMAGE
from mtl_perception.encodings import FrameError

STORE = get_typestore(Stores.ROS2_HUMBLE)
PIXELS = np.random.default_rng(8).integers(0, 255, (6, 8, 3), np.uint8)


def image(pixels, encoding, big=0, padding=0):
    rows = pixels.reshape(len(pixels), -1).view(np.uint8)
    rows = np.pad(rows, ((0, 0), (0, padding)))
    kinds = STORE.types
    header = kinds['std_msgs/msg/Header'](kinds['builtin_interfaces/msg/Time'](7, 8), 'camera')
    return bytes(STORE.serialize_cdr(kinds[IMAGE](
        header, *pixels.shape[:2], encoding, big, rows.shape[1], rows.ravel()), IMAGE))


def compressed(data, kind, quality=90):
    message = STORE.deserialize_cdr(compressed_message(data, kind, quality), COMPRESSED_IMAGE)
    return message, cv2.imdecode(message.data, cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize(('pixels', 'encoding', 'form', 'expected'), [
    (PIXELS, 'bgr8', 'bgr8; png compressed bgr8', PIXELS),
    (PIXELS, 'rgb8', 'rgb8; png compressed bgr8', PIXELS[..., ::-1]),
    (PIXELS[..., 0].copy(), 'mono8', 'mono8; png compressed ', PIXELS[..., 0]),
    (PIXELS[..., 0] * np.uint16(251), 'mono16', 'mono16; png compressed ',
     PIXELS[..., 0] * np.uint16(251)),
    (PIXELS * np.uint16(251), 'rgb16', 'rgb16; png compressed bgr16',
     PIXELS[..., ::-1] * np.uint16(251)),
])
def test_png_is_lossless(pixels, encoding, form, expected):
    message, decoded = compressed(image(pixels, encoding, padding=4), 'png')
    assert np.array_equal(decoded, expected)
    assert message.format == form
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (7, 8)
    assert message.header.frame_id == 'camera'


@pytest.mark.parametrize('encoding', ['mono16', '16UC1'])
def test_sixteen_bit_images_are_not_jpeg(encoding):
    pixels = np.arange(48, dtype=np.uint16).reshape(6, 8) * 1000
    message, decoded = compressed(image(pixels.astype('>u2'), encoding, big=1), 'jpeg')
    assert np.array_equal(decoded, pixels)
    assert 'png' in message.format


def test_bayer_image_is_converted_to_colour():
    message, decoded = compressed(image(PIXELS[..., 0].copy(), 'bayer_rggb8'), 'jpeg')
    assert decoded.shape == (6, 8, 3)
    assert message.format == 'bgr8; jpeg compressed bgr8'


def test_quality_changes_size():
    noise = np.random.default_rng(8).integers(0, 255, (64, 64, 3), np.uint8)
    sizes = [len(compressed_message(image(noise, 'bgr8'), 'jpeg', quality))
             for quality in (1, 50, 75, 100)]
    assert sizes == sorted(sizes) and sizes[0] * 4 < sizes[-1]


@pytest.mark.parametrize('data', [
    image(np.ones((4, 4), np.float32), '32FC1'),
    image(PIXELS, 'bgr8')[:-20],
    image(PIXELS, 'mono16'[:4] + '16')[:60],
    b'',
    b'\x00\x01\x00\x00' + b'\xff' * 40,
], ids=['depth', 'cut', 'cut 16 bits', 'empty', 'noise'])
def test_unsupported_images_are_rejected(data):
    with pytest.raises(FrameError):
        compressed_message(data, 'jpeg', 75)
