"""The camera node, as a process, over DDS."""

import signal

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image

from mtl_perception.encodings import decode_image, RawImage
from mtl_perception.nodes import qos


def listen(node):
    images, infos = [], []
    profile = qos.stream('reliable', 50)
    node.create_subscription(Image, 'image', images.append, profile)
    node.create_subscription(CameraInfo, 'camera_info', infos.append, profile)
    return images, infos


def nanoseconds(header):
    return header.stamp.sec * 10**9 + header.stamp.nanosec


def write_images(folder, count, size=(160, 128)):
    images = []
    for number in range(count):
        rng = np.random.default_rng(number)
        images.append(rng.integers(0, 256, (size[1], size[0], 3), np.uint8))
        cv2.imwrite(str(folder / f'{number:03}.png'), images[-1])
    return images


@pytest.mark.slow
def test_images_are_published_once_at_given_rate(start_node, ros_node, tmp_path):
    sent = write_images(tmp_path, 12)
    images, infos = listen(ros_node)
    camera = start_node(
        'camera_node', source=str(tmp_path), rate=20.0, loop=False, wait_for_subscribers=1,
        frame_id='nose', encoding='rgb8')
    assert camera.wait() == 0
    assert 'published 12 images of 160x128' in camera.said()
    assert len(images) == len(infos) == 12
    for image, info, expected in zip(images, infos, sent, strict=True):
        pixels, order = decode_image(RawImage.of(image))
        assert order == 'rgb' and np.array_equal(pixels, expected[..., ::-1])
        assert image.header == info.header and image.header.frame_id == 'nose'
        assert (info.width, info.height, info.k[0]) == (160, 128, 0)
    stamps = [nanoseconds(image.header) for image in images]
    gaps = np.diff(stamps) / 1e9
    assert (gaps > 0).all() and abs(np.median(gaps) - 0.05) < 0.02


@pytest.mark.slow
def test_folder_is_repeated_until_signal(start_node, ros_node, tmp_path, wait_until):
    for value in (50, 100):
        cv2.imwrite(str(tmp_path / f'{value}.png'), np.full((32, 48, 3), value, np.uint8))
    (tmp_path / '70.png').write_bytes(b'broken')
    images, _ = listen(ros_node)
    camera = start_node('camera_node', source=str(tmp_path), rate=50.0, wait_for_subscribers=1)
    wait_until(lambda: len(images) >= 6)
    assert camera.end(signal.SIGTERM)[0] == 0
    assert [image.data[0] for image in images[:6]] == [100, 50] * 3, 'by name'
    assert '70.png: is not a JPEG, PNG' in camera.said()
    assert 'Traceback' not in camera.said()


# Humble's executor, when woken without work to do, waits on.
WAITS_ON = """
from rclpy.executors import Executor

Executor.wake = lambda self: None
"""


@pytest.mark.slow
@pytest.mark.parametrize('before', ['', WAITS_ON], ids=['installed rclpy', 'as Humble'])
def test_node_exits_normally_at_end_of_source(before, start_node):
    camera = start_node('camera_node', before=before, wait_for_subscribers=1)
    camera.wait_for_words('waiting for 1 subscriber(s)')
    assert camera.end()[0] == 0
    assert 'published 0 images' in camera.said()


@pytest.mark.slow
def test_invalid_source_gives_one_line_error(start_node):
    camera = start_node('camera_node', source='no/such/folder')
    assert camera.wait() == 1
    assert camera.said().startswith("error: source 'no/such/folder' is no folder")
    assert camera.said().count('\n') == 1


@pytest.mark.slow
def test_calibration_of_other_size_is_rejected(start_node, tmp_path):
    calibration = tmp_path / 'camera.yaml'
    data = {'camera_matrix': 9, 'rectification_matrix': 9, 'projection_matrix': 12}
    calibration.write_text(
        'image_width: 100\nimage_height: 100\ndistortion_model: plumb_bob\n'
        'distortion_coefficients: {data: []}\n'
        + ''.join(f'{name}: {{data: {[1.0] * size}}}\n' for name, size in data.items()))
    write_images(tmp_path, 2)
    camera = start_node('camera_node', source=str(tmp_path), calibration=str(calibration))
    assert camera.wait() == 1
    assert 'error: the calibration is for 100x100, the images are 160x128' in camera.said()
