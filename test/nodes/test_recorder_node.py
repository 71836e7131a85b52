"""The recorder node, as a process, over DDS."""

import time

import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, LabelInfo, VisionClass

from mtl_perception.nodes import qos
from mtl_perception.nodes.messages import image_to_message


def read(path):
    with AnyReader([path]) as reader:
        return [(connection.topic, stamp, reader.deserialize(data, connection.msgtype))
                for connection, stamp, data in reader.messages()]


# The one argument that Humble's rclpy passes is what others pass to a callback that takes one.
AS_HUMBLE = 'from mtl_perception.nodes import recorder; recorder.CALLBACKS_GET_INFO = False'


@pytest.mark.slow
@pytest.mark.parametrize('before', ['', AS_HUMBLE], ids=['installed rclpy', 'as Humble'])
def test_what_is_sent_is_in_the_bag(before, start_node, ros_node, tmp_path, wait_until):
    bag = tmp_path / 'flights' / 'one'
    images = ros_node.create_publisher(Image, 'image', qos.stream('reliable', 5))
    detections = ros_node.create_publisher(Detection2DArray, 'detections', qos.RESULTS)
    labels = ros_node.create_publisher(LabelInfo, 'labels', qos.LATCHED)
    # Before the recorder is there: it must get the last one all the same.
    labels.publish(LabelInfo(class_map=[VisionClass(class_id=3, class_name='boat')]))
    recorder = start_node('recorder_node', before=before, output=str(bag), topics=[
        '/image', 'detections', 'labels', '/never'])
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
def test_what_cannot_be_recorded_is_said_in_one_line(
        parameters, reason, start_node, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recorder = start_node('recorder_node', **parameters)
    assert recorder.wait() == 1
    assert recorder.said().startswith('error: ') and reason in recorder.said()
    assert recorder.said().count('\n') == 1
    assert not (tmp_path / 'bag').exists()


@pytest.mark.slow
def test_a_bag_that_exists_is_left_alone(start_node, tmp_path):
    (tmp_path / 'bag').mkdir()
    recorder = start_node('recorder_node', output=str(tmp_path / 'bag'), topics=['/image'])
    assert recorder.wait() == 1
    assert 'exists already' in recorder.said()
    assert list((tmp_path / 'bag').iterdir()) == []


@pytest.mark.slow
def test_an_empty_bag_is_whole(start_node, tmp_path):
    recorder = start_node(
        'recorder_node', output=str(tmp_path / 'bag'), topics=['/image:sensor_msgs/msg/Image'])
    recorder.wait_for_words('recording /image')
    assert recorder.end()[0] == 0
    assert read(tmp_path / 'bag') == []
