"""The recorder node, as a process, over DDS."""

import os
import random
import signal
import subprocess
import time

import cv2
from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, LabelInfo, VisionClass

from mtl_perception.nodes import qos
from mtl_perception.nodes.messages import image_to_message


def read(path):
    with AnyReader([path]) as reader:
        return [(connection.topic, stamp, reader.deserialize(data, connection.msgtype))
                for connection, stamp, data in reader.messages()]


# Humble's rclpy passes one argument, as others do for a callback with one parameter.
AS_HUMBLE = 'from mtl_perception.nodes import recorder; recorder.CALLBACKS_GET_INFO = False'


@pytest.mark.slow
@pytest.mark.parametrize('before', ['', AS_HUMBLE], ids=['installed rclpy', 'as Humble'])
def test_published_messages_are_recorded(before, start_node, ros_node, tmp_path, wait_until):
    bag = tmp_path / 'flights' / 'one'
    images = ros_node.create_publisher(Image, 'image', qos.stream('reliable', 5))
    detections = ros_node.create_publisher(Detection2DArray, 'detections', qos.RESULTS)
    labels = ros_node.create_publisher(LabelInfo, 'labels', qos.LATCHED)
    # Published before the recorder starts, which must still receive the last one.
    labels.publish(LabelInfo(class_map=[VisionClass(class_id=3, class_name='boat')]))
    recorder = start_node('recorder_node', before=before, output=str(bag), image_format='raw',
                          topics=['/image', 'detections', 'labels', '/never'])
    wait_until(lambda: images.get_subscription_count() and detections.get_subscription_count()
               and labels.get_subscription_count())
    # Matched on one side is not yet matched on the other.
    time.sleep(2)
    pixels = np.arange(480 * 640 * 3, dtype=np.uint32).astype(np.uint8).reshape(480, 640, 3)
    begin = time.time_ns()
    for number in range(5):
        header = Header(frame_id=f'frame {number}')
        header.stamp.sec = number
        images.publish(image_to_message(pixels, 'bgr8', header))
        detections.publish(Detection2DArray(header=header))
        time.sleep(0.05)
    time.sleep(0.3)
    end = time.time_ns()
    assert recorder.end()[0] == 0
    assert '/image 5, /detections 5, /labels 1, /never 0' in recorder.said()
    messages = read(bag)
    by_topic = {topic: [m for t, _, m in messages if t == topic] for topic, *_ in messages}
    assert {topic: len(found) for topic, found in by_topic.items()} == {
        '/image': 5, '/detections': 5, '/labels': 1}
    assert [m.header.frame_id for m in by_topic['/image']] == [f'frame {n}' for n in range(5)]
    assert [m.header.stamp.sec for m in by_topic['/detections']] == list(range(5))
    assert np.array_equal(by_topic['/image'][4].data, pixels.ravel())
    assert by_topic['/labels'][0].class_map[0].class_name == 'boat'
    stamps = [stamp for topic, stamp, _ in messages if topic != '/labels']
    assert begin <= min(stamps) and max(stamps) <= end
    assert stamps == sorted(stamps)


@pytest.mark.slow
@pytest.mark.parametrize(('parameters', 'reason'), [
    ({'topics': ['/image']}, 'parameter output is empty'),
    ({'output': 'bag'}, 'parameter topics is empty'),
    ({'output': 'bag', 'topics': ['not a name']}, "'not a name' is not a topic name"),
    ({'output': 'bag', 'topics': ['/image:sensor_msgs/msg/Imagine']}, 'is not installed'),
])
def test_invalid_request_gives_one_line_error(parameters, reason, start_node, tmp_path,
                                              monkeypatch):
    monkeypatch.chdir(tmp_path)
    recorder = start_node('recorder_node', **parameters)
    assert recorder.wait() == 1
    assert recorder.said().startswith('error: ') and reason in recorder.said()
    assert recorder.said().count('\n') == 1
    assert not (tmp_path / 'bag').exists()


@pytest.mark.slow
def test_existing_bag_is_not_overwritten(start_node, tmp_path):
    (tmp_path / 'bag').mkdir()
    recorder = start_node('recorder_node', output=str(tmp_path / 'bag'), topics=['/image'])
    assert recorder.wait() == 1
    assert 'exists already' in recorder.said()
    assert list((tmp_path / 'bag').iterdir()) == []


@pytest.mark.slow
def test_empty_bag_is_complete(start_node, tmp_path):
    recorder = start_node(
        'recorder_node', output=str(tmp_path / 'bag'), topics=['/image:sensor_msgs/msg/Image'])
    recorder.wait_for_words('recording /image')
    assert recorder.end()[0] == 0
    assert read(tmp_path / 'bag') == []


def image(number, width=320, height=240):
    """Return an image whose grey level identifies it."""
    return np.full((height, width, 3), 10 * number + 5, np.uint8)


@pytest.mark.slow
def test_images_are_compressed_except_class_ids_and_unsupported_ones(start_node, ros_node,
                                                                     tmp_path, wait_until):
    names = {'/image': 'bgr8', '/node/segmentation': 'mono8', '/depth': '16UC1',
             '/range': '32FC1', '/grey': 'mono8'}
    publishers = {name: ros_node.create_publisher(Image, name, qos.stream('reliable', 5))
                  for name in names}
    given = ros_node.create_publisher(
        CompressedImage, '/other/compressed', qos.stream('reliable', 5))
    recorder = start_node('recorder_node', output=str(tmp_path / 'bag'),
                          topics=[*names, '/other'])
    wait_until(lambda: given.get_subscription_count() and all(
        publisher.get_subscription_count() for publisher in publishers.values()))
    time.sleep(2)
    pixels = {
        '/image': image(3), '/node/segmentation': np.arange(64, dtype=np.uint8).reshape(8, 8),
        '/depth': np.arange(64, dtype=np.uint16).reshape(8, 8) * 999,
        '/range': np.ones((8, 8), np.float32), '/grey': image(4)[..., 0]}
    for name, encoding in names.items():
        array = pixels[name]
        message = image_to_message(image(0), 'bgr8', Header(frame_id=name))
        message.height, message.width = array.shape[:2]
        message.encoding, message.step = encoding, array.nbytes // len(array)
        message.data = array.tobytes()
        for _ in range(2):
            publishers[name].publish(message)
    given.publish(CompressedImage(format='jpeg', data=b'as it came'))
    time.sleep(1)
    assert recorder.end()[0] == 0
    found = {}
    for topic, _, message in read(tmp_path / 'bag'):
        found.setdefault(topic, []).append(message)
    assert {topic: len(messages) for topic, messages in found.items()} == {
        '/image/compressed': 2, '/node/segmentation': 2, '/depth/compressed': 2, '/range': 2,
        '/grey/compressed': 2, '/other/compressed': 1}
    decoded = {topic: cv2.imdecode(messages[0].data, cv2.IMREAD_UNCHANGED)
               for topic, messages in found.items() if topic not in (
                   '/node/segmentation', '/range', '/other/compressed')}
    assert abs(decoded['/image/compressed'].astype(int) - pixels['/image']).max() <= 2
    assert np.array_equal(decoded['/depth/compressed'], pixels['/depth'])
    assert found['/image/compressed'][0].header.frame_id == '/image'
    assert found['/image/compressed'][0].format == 'bgr8; jpeg compressed bgr8'
    assert found['/depth/compressed'][0].format == '16UC1; png compressed '
    assert bytes(found['/other/compressed'][0].data) == b'as it came'
    assert bytes(found['/node/segmentation'][0].data) == pixels['/node/segmentation'].tobytes()
    assert recorder.said().count('cannot be compressed') == 1
    assert '/image 2, /node/segmentation 2, /depth 2, /range 2, /grey 2, /other 1' in (
        recorder.said())


@pytest.mark.slow
@pytest.mark.parametrize('seed', range(3))
def test_killed_recorder_loses_at_most_two_seconds(seed, start_node, ros_node, tmp_path,
                                                   wait_until):
    images = ros_node.create_publisher(Image, 'image', qos.stream('reliable', 5))
    recorder = start_node('recorder_node', output=str(tmp_path / 'bag'), topics=['/image'],
                          max_file_duration=2.5)
    wait_until(images.get_subscription_count)
    time.sleep(1)
    random.seed(seed)
    noise = np.random.default_rng(seed)
    end = time.monotonic() + 4 + 3 * random.random()
    sent = []
    while time.monotonic() < end:
        header = Header()
        header.stamp.sec = len(sent)
        images.publish(image_to_message(
            noise.integers(0, 255, (480, 640, 3), np.uint8), 'bgr8', header))
        sent.append(time.time())
        time.sleep(0.05)
    recorder.process.send_signal(signal.SIGKILL)
    killed = time.time()
    recorder.wait()
    stamps = [message.header.stamp.sec for _, _, message in read(tmp_path / 'bag')]
    due = sum(moment < killed - 2 for moment in sent)
    assert stamps == sorted(set(stamps))
    assert len(stamps) >= due - 1 >= 30
    names = {path.name for path in (tmp_path / 'bag').glob('*.mcap')}
    assert {'bag_0.mcap', 'bag_1.mcap'} <= names


@pytest.mark.slow
def test_recording_stops_before_disk_is_full_and_node_continues(start_node, ros_node, tmp_path,
                                                                wait_until):
    disk = tmp_path / 'disk'
    disk.mkdir()
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=40m', 'none', str(disk)],
                      capture_output=True).returncode:
        pytest.skip('no file system may be mounted')
    try:
        images = ros_node.create_publisher(Image, 'image', qos.stream('reliable', 5))
        heard = []
        ros_node.create_subscription(
            DiagnosticArray, '/diagnostics', lambda message: heard.extend(message.status), 10)
        recorder = start_node('recorder_node', output=str(disk / 'bag'), topics=['/image'],
                              image_format='raw')
        wait_until(images.get_subscription_count)
        wait_until(lambda: [status for status in heard if status.message == 'recording'])
        noise = np.random.default_rng(8)
        for _ in range(200):
            images.publish(image_to_message(
                noise.integers(0, 255, (480, 640, 3), np.uint8), 'bgr8', Header()))
            time.sleep(0.03)
            errors = [status for status in heard if status.level == b'\x02']
            if errors:
                break
        assert 'free' in errors[0].message
        assert recorder.process.poll() is None
        space = os.statvfs(disk)
        assert space.f_bavail * space.f_frsize > 2_000_000
        assert recorder.said().count('recording stopped') == 1
        assert recorder.end()[0] == 0
        assert len(read(disk / 'bag')) >= 30
    finally:
        subprocess.run(['umount', '-l', str(disk)], check=True)


@pytest.mark.slow
def test_later_publisher_with_weaker_qos_is_recorded(start_node, ros_node, tmp_path, wait_until):
    first = ros_node.create_publisher(Detection2DArray, '/found', qos.RESULTS)
    recorder = start_node('recorder_node', output=str(tmp_path / 'bag'), topics=['/found'])
    wait_until(first.get_subscription_count)
    second = ros_node.create_publisher(Detection2DArray, '/found', qos.stream('best_effort', 5))
    wait_until(second.get_subscription_count)
    time.sleep(1)
    for publisher in (first, second):
        publisher.publish(Detection2DArray(header=Header(frame_id=str(publisher is second))))
    time.sleep(0.5)
    assert recorder.end(signal.SIGTERM)[0] == 0
    assert sorted(message.header.frame_id for _, _, message in read(tmp_path / 'bag')) == [
        'False', 'True']
