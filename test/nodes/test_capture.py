"""Live sources: back-off, capture times and fake devices."""

import threading
import time

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import Image

from mtl_perception.nodes import qos
from mtl_perception.nodes.capture import (
    Backoff,
    BROKEN,
    LiveSource,
    plausible_capture_time,
)


def test_pauses_double_up_to_ten_seconds_and_reset_after_success():
    backoff = Backoff()
    assert [backoff.pause() for _ in range(7)] == [0.5, 1, 2, 4, 8, 10, 10]
    backoff.reset()
    assert backoff.pause() == 0.5


@pytest.mark.parametrize(('milliseconds', 'captured'), [
    (99_960.0, 99.96), (100_000.0, 100.0), (95_000.0, 95.0),
    (0.0, None),  # no image yet, or a driver without time stamps
    (-1.0, None), (100_001.0, None), (94_999.0, None), (float('nan'), None), (1.7e12, None),
])
def test_plausible_capture_time_is_used(milliseconds, captured):
    assert plausible_capture_time(milliseconds, 100.0) == captured


class Device:
    """A capture with some images, one of them damaged, that then ends or fails."""

    opened = 0
    images = 3
    error = None

    def __init__(self, *_):
        type(self).opened += 1
        self._left = self.images

    def isOpened(self):  # noqa: N802
        return self.opened > 1

    def read(self):
        self._left -= 1
        if self._left == self.images - 2:
            return False, None
        if self._left < 0 and self.error:
            raise self.error
        return self._left >= 0, np.zeros((4, 6, 3), np.uint8) if self._left >= 0 else None

    def get(self, _):
        return (time.monotonic() - 0.02) * 1e3

    def set(self, *_):
        pass

    def release(self):
        pass


@pytest.mark.parametrize(('error', 'reason'), [
    (None, 'has ended'), (cv2.error('of rtsp://pilot:secret@192.0.2.1'), 'cannot be decoded')])
def test_source_reconnects_and_changes_are_logged_once(monkeypatch, error, reason):
    said = []
    monkeypatch.setattr(cv2, 'VideoCapture', type('Fake', (Device,), {'error': error}))
    monkeypatch.setattr('mtl_perception.nodes.capture._FIRST_PAUSE', 0.05)
    source = LiveSource('camera x', '/dev/x', cv2.CAP_V4L2, 1.0, said.append, said.append)
    seen = 0
    for frame in source.frames():
        assert abs(frame.arrived - frame.captured - 0.02) < 0.01
        seen += 1
        if len(said) >= 6:
            break
    source.close()
    assert seen >= 2 and source.state.reconnects >= 2
    assert [line.partition(' after')[0] for line in said[:6]] == [
        'camera x cannot be opened; trying again until it is available', 'camera x is available',
        f'camera x {reason}; trying again until it is available', 'camera x is back',
        f'camera x {reason}; trying again until it is available', 'camera x is back']


def test_images_not_taken_in_time_are_dropped(monkeypatch):
    class Fast(Device):
        def isOpened(self):  # noqa: N802
            return True

        def read(self):
            self._left -= 1
            time.sleep(0.002)
            return True, np.full((1, 1, 3), -self._left % 256, np.uint8)

    monkeypatch.setattr(cv2, 'VideoCapture', Fast)
    source = LiveSource('x', '/dev/x', cv2.CAP_V4L2, 1.0, print, print)
    numbers = []
    for frame in source.frames():
        numbers.append(int(frame.pixels[0, 0, 0]))
        assert time.monotonic() - frame.arrived < 0.05
        time.sleep(0.06)
        if len(numbers) == 4:
            break
    source.close()
    assert (np.diff(numbers) % 256 > 5).all()
    assert not source._thread.is_alive()


def test_unreachable_source_does_not_delay_shutdown(monkeypatch):
    class Never(Device):
        def isOpened(self):  # noqa: N802
            return False

    monkeypatch.setattr(cv2, 'VideoCapture', Never)
    source = LiveSource('x', '/dev/x', cv2.CAP_V4L2, 1.0, lambda _: threading.Thread(
        target=source.close).start(), print)
    assert list(source.frames()) == [] and source.state.state == BROKEN


def test_defect_in_thread_is_raised(monkeypatch):
    def fail(_):
        raise ZeroDivisionError

    monkeypatch.setattr(cv2, 'VideoCapture', Device)
    source = LiveSource('x', '/dev/x', cv2.CAP_V4L2, 1.0, fail, fail)
    with pytest.raises(ZeroDivisionError):
        list(source.frames())


# A device whose driver reports the capture time, 300 ms before delivery.
DRIVER = """
import time
import cv2, numpy

class VideoCapture:
    taken = 0.0
    def __init__(self, *_): pass
    def isOpened(self): return True
    def set(self, *_): pass
    def release(self): pass
    def read(self):
        time.sleep(0.05)
        self.taken = time.monotonic() - 0.3
        image = numpy.zeros((32, 48, 3), numpy.uint8)
        image[0, :8, 0] = numpy.frombuffer(numpy.int64(time.time_ns()).tobytes(), numpy.uint8)
        return True, image
    def get(self, _): return self.taken * 1e3

cv2.VideoCapture = VideoCapture
"""


@pytest.mark.slow
@pytest.mark.parametrize(('stamp', 'age'), [('auto', 0.3), ('arrival', 0.0)])
def test_stamps_are_capture_times_if_driver_reports_them(stamp, age, start_node, ros_node,
                                                         wait_until):
    images = []
    ros_node.create_subscription(Image, 'image', images.append, qos.stream('reliable', 50))
    camera = start_node('camera_node', source='/dev/null', stamp=stamp, before=DRIVER)
    wait_until(lambda: len(images) >= 5)
    assert camera.end()[0] == 0
    for image in images:
        pixels = np.frombuffer(image.data, np.uint8).reshape(32, 48, 3)
        arrived = int.from_bytes(pixels[0, :8, 0].tobytes(), 'little')
        stamped = image.header.stamp.sec * 10**9 + image.header.stamp.nanosec
        assert abs((arrived - stamped) / 1e9 - age) < 0.03


class ThermalDevice:
    """A V4L2 device of 16-bit grey, as OpenCV returns it: the high byte, or all if asked for."""

    def __init__(self, *_):
        self._converts = True

    def isOpened(self):  # noqa: N802
        return True

    def read(self):
        counts = np.array([[7200, 7700, 8200]], np.uint16)
        return True, np.dstack([(counts >> 8).astype(np.uint8)] * 3) if self._converts else counts

    def get(self, key):
        return float(cv2.VideoWriter.fourcc(*'Y16 ')) if key == cv2.CAP_PROP_FOURCC else 0.0

    def set(self, key, value):
        if key == cv2.CAP_PROP_CONVERT_RGB:
            self._converts = bool(value)

    def release(self):
        pass


@pytest.mark.parametrize(('black_hot', 'expected'), [
    (False, [0, 128, 255]), (True, [255, 127, 0])])
def test_thermal_device_is_stretched(monkeypatch, black_hot, expected):
    monkeypatch.setattr(cv2, 'VideoCapture', ThermalDevice)
    source = LiveSource('camera x', '/dev/x', cv2.CAP_V4L2, 1.0, print, print, black_hot)
    frame = next(source.frames())
    source.close()
    assert frame.pixels.shape == (1, 3, 3) and frame.pixels[0, :, 0].tolist() == expected
