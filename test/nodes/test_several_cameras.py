"""The perception node with several cameras, raw and compressed, as a process, over DDS."""

import array
import time

from builtin_interfaces.msg import Time
import cv2
from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
import pytest
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from mtl_perception.compressed import compress, format_name
from mtl_perception.nodes import qos
from mtl_perception.nodes.messages import image_to_message

EVERY = qos.stream('reliable', 50)
NODE = '/perception_node'


def image(value=250, width=320, height=240):
    """Return RGB pixels, dark with a rectangle as red as `value`."""
    pixels = np.full((height, width, 3), 16, np.uint8)
    pixels[60:120, 80:240] = (value, 10, 10)
    return pixels


def compressed_message(header, pixels, kind='jpeg'):
    return CompressedImage(
        header=header, format=format_name('rgb8', kind),
        data=array.array('B', compress(pixels, 'rgb', kind, 90)))


class Camera:
    """The topics of one camera of the node, with the received messages by frame id."""

    def __init__(self, node, name, kind):
        self.name, self.node = name, node
        self.found = {}
        topic = f'/{name}/image' + ('/compressed' if kind is CompressedImage else '')
        self.images = node.create_publisher(kind, topic, EVERY)
        for result, message_kind in (
                ('detections', Detection2DArray), ('segmentation', Image)):
            node.create_subscription(
                message_kind, f'{NODE}/{name}/{result}',
                lambda message, result=result: self.found.setdefault(
                    message.header.frame_id, {}).__setitem__(result, message), EVERY)

    def connected(self):
        return (self.images.get_subscription_count() == 1
                and self.node.count_publishers(f'{NODE}/{self.name}/segmentation') == 1)

    def whole(self, frame_id):
        return len(self.found.get(frame_id, {})) == 2


class Diagnostics:
    """The latest values of the node, by status."""

    def __init__(self, node):
        self.values, self.messages = {}, {}
        node.create_subscription(DiagnosticArray, '/diagnostics', self._read, EVERY)

    def _read(self, message):
        for status in message.status:
            task = status.name.partition(': ')[2]
            self.messages[task] = status.message
            self.values[task] = {pair.key: pair.value for pair in status.values}


@pytest.fixture
def diagnostics(ros_node):
    return Diagnostics(ros_node)


@pytest.fixture
def start(start_node, paint_model):
    def start(**parameters):
        return start_node('perception_node', model=str(paint_model(size=(192, 128))),
                          **{'queue_depth': 20, **parameters})

    return start


@pytest.mark.slow
def test_cameras_have_separate_topics_thresholds_and_statuses(start, ros_node, diagnostics,
                                                              wait_until):
    front, down = Camera(ros_node, 'front', Image), Camera(ros_node, 'down', CompressedImage)
    node = start(cameras=['front', 'down'], **{'down.score_threshold': 0.9})
    wait_until(lambda: front.connected() and down.connected())
    time.sleep(0.5)
    for number in range(5):
        # A red of 200 has a score of 0.78: enough for the one camera, too little for the other.
        pixels = image(200 if number < 4 else 250)
        header = Header(stamp=Time(sec=number), frame_id=f'front {number}')
        front.images.publish(image_to_message(pixels, 'rgb8', header))
        header = Header(stamp=Time(sec=number), frame_id=f'down {number}')
        down.images.publish(compressed_message(header, pixels, 'png' if number % 2 else 'jpeg'))
        wait_until(lambda number=number: front.whole(f'front {number}')
                   and down.whole(f'down {number}'))
        assert len(front.found[f'front {number}']['detections'].detections) == 1
        assert len(down.found[f'down {number}']['detections'].detections) == (number == 4)
        for camera in (front, down):
            results = camera.found[f'{camera.name} {number}']
            mask = results['segmentation']
            labels = np.frombuffer(mask.data, np.uint8).reshape(mask.height, mask.width)
            assert labels.shape == (240, 320) and labels[90, 160] == 0 and labels[0, 0] == 3
            assert mask.header.stamp.sec == results['detections'].header.stamp.sec == number
    assert len(front.found) == len(down.found) == 5
    wait_until(lambda: all(diagnostics.values.get(f'{name} images', {}).get(
        'images processed') == '5' for name in ('front', 'down')))
    assert diagnostics.values['front images']['transport'] == 'raw'
    assert diagnostics.values['down images']['topic'] == '/down/image/compressed'
    assert diagnostics.values['down images']['transport'] == 'compressed'
    assert 'total p50 [ms]' in diagnostics.values['down latency']
    assert int(diagnostics.values['model']['most images at once']) in (1, 2)
    assert node.end()[0] == 0 and 'Traceback' not in node.said()


@pytest.mark.slow
def test_camera_value_overrides_common_value(start, ros_node, wait_until):
    start(cameras=['front', 'down'], max_batch=2, **{'front.score_threshold': 0.5})
    clients = {kind: ros_node.create_client(kind, f'{NODE}/{name}') for kind, name in (
        (GetParameters, 'get_parameters'), (SetParameters, 'set_parameters'))}
    wait_until(lambda: all(client.service_is_ready() for client in clients.values()))

    def call(kind, **request):
        future = clients[kind].call_async(kind.Request(**request))
        wait_until(future.done)
        return future.result()

    def set_to(name, value):
        [result] = call(SetParameters, parameters=[
            Parameter(name, value=value).to_parameter_msg()]).results
        return result.successful, result.reason

    front, down = call(
        GetParameters, names=['front.score_threshold', 'down.score_threshold']).values
    assert (front.double_value, down.type) == (0.5, 0)
    assert set_to('down.score_threshold', 0.25) == (True, '')
    assert set_to('down.tiles', '2x2') == (True, '')
    good, reason = set_to('down.score_threshold', 2.0)
    assert not good and '2.0' in reason
    good, reason = set_to('down.tiles', 'many')
    assert not good and 'tiles' in reason
    good, reason = set_to('down.reliability', 'reliable')
    assert not good and 'parameter down.reliability changes only while' in reason


@pytest.mark.slow
@pytest.mark.parametrize(('parameters', 'reason'), [
    ({'cameras': ['front', 'front']}, "['front', 'front'] are not up to 8 different names"),
    ({'cameras': ['a/b']}, "'a/b' cannot be a part of a topic's name"),
    ({'cameras': ['front'], 'front.score_threshold': 2.0},
     'parameter front.score_threshold: 2.0 is not within'),
    ({'cameras': ['front'], 'rear.score_threshold': 0.5}, 'parameter rear.score_threshold'),
    ({'cameras': ['front'], 'front.model': 'x'}, 'parameter front.model'),
    ({'cameras': ['front'], 'front.tiles': 'many'}, "camera front: tiles 'many'"),
])
def test_invalid_camera_value_gives_one_line_error(parameters, reason, start):
    node = start(**parameters)
    assert node.wait() == 1
    assert reason in node.said() and node.said().count('\n') == 1


@pytest.mark.slow
def test_broken_images_of_one_camera_do_not_affect_other(start, ros_node, diagnostics, wait_until):
    good, bad = Camera(ros_node, 'good', CompressedImage), Camera(ros_node, 'bad', CompressedImage)
    node = start(cameras=['good', 'bad'], max_batch=2)
    wait_until(lambda: good.connected() and bad.connected())
    time.sleep(0.5)
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    whole = compress(noise, 'rgb', 'jpeg', 90)
    spoilt = {
        'cut off': whole[:len(whole) // 2],
        'broken data': whole[:len(whole) // 2] + b'\xff\xd9',
        'not JPEG or PNG': b'RIFF' + whole,
        'too large': b'\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x01\x00\x00\x00\x01\x00\x00\x08\x02'
                     b'\x00\x00\x00' + bytes(100),
    }
    sent = 0
    for number in range(30):
        for data in spoilt.values():
            bad.images.publish(CompressedImage(format='jpeg', data=array.array('B', data)))
            sent += 1
        frame_id = str(number)
        good.images.publish(compressed_message(Header(frame_id=frame_id), image()))
        wait_until(lambda frame_id=frame_id: good.whole(frame_id), 5)
        # Not so fast that messages are lost.
        time.sleep(0.1)
    bad.images.publish(compressed_message(Header(frame_id='at last'), image()))
    time.sleep(0.2)
    bad.images.publish(compressed_message(Header(frame_id='at last'), image()))
    wait_until(lambda: bad.whole('at last'))

    def counts():
        values = diagnostics.values.get('bad images', {})
        return {key.partition(', ')[2]: int(value) for key, value in values.items()
                if key.startswith('images dropped, ')}

    wait_until(lambda: diagnostics.values.get('bad images', {}).get('images received')
               == str(sent + 2))
    found = counts()
    assert all(found[cause] == 30 for cause in ('cut off', 'not JPEG or PNG', 'too large'))
    assert 5 < found['broken data'] <= 30
    assert sum(found.values()) + int(diagnostics.values['bad images']['images processed']) == (
        sent + 2)
    assert not [key for key in diagnostics.values['good images'] if 'dropped' in key]
    assert [line for line in node.said().splitlines() if 'bad: bad frame dropped' in line]
    assert node.end()[0] == 0 and 'Traceback' not in node.said()


@pytest.mark.slow
def test_camera_with_too_many_broken_images_is_paused(start, ros_node, diagnostics, wait_until):
    good, bad = Camera(ros_node, 'good', CompressedImage), Camera(ros_node, 'bad', CompressedImage)
    start(cameras=['good', 'bad'], max_batch=1)
    wait_until(lambda: good.connected() and bad.connected())
    time.sleep(0.5)
    broken = CompressedImage(format='jpeg', data=array.array('B', b'\xff\xd8\xff' + bytes(5000)))
    begin, sent = time.monotonic(), 0
    while time.monotonic() < begin + 3:
        bad.images.publish(broken)
        sent += 1
        if sent % 100 == 0:
            frame_id = str(sent)
            good.images.publish(compressed_message(Header(frame_id=frame_id), image()))
            wait_until(lambda frame_id=frame_id: good.whole(frame_id), 5)
        time.sleep(0.001)
    received = int(diagnostics.values['bad images']['images received'])
    assert 50 <= received < sent / 2
    assert 'none are received for 1 s' in diagnostics.messages['bad images']

    def recovered():
        bad.images.publish(compressed_message(Header(frame_id='at last'), image()))
        time.sleep(0.1)
        return bad.whole('at last')

    wait_until(recovered)


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['jpeg', 'png'])
def test_compressed_images_over_radio_link(kind, start, ros_node, wait_until):
    came = {}
    for name in ('overlay', 'segmentation_color'):
        ros_node.create_subscription(
            CompressedImage, f'{NODE}/{name}/compressed',
            lambda message, name=name: came.__setitem__(name, message), EVERY)
    images = ros_node.create_publisher(Image, 'image', EVERY)
    start(compressed_format=kind)
    wait_until(lambda: images.get_subscription_count()
               and ros_node.count_publishers(f'{NODE}/overlay/compressed'))
    time.sleep(0.5)
    header = Header(stamp=Time(sec=7, nanosec=9), frame_id='camera')
    images.publish(image_to_message(image(), 'rgb8', header))
    wait_until(lambda: len(came) == 2)
    for message in came.values():
        assert message.header == header
        assert message.format == f'rgb8; {kind} compressed bgr8'
        pixels = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)
        assert pixels.shape == (240, 320, 3)
    # Class 0 is red.
    assert pixels[90, 160, 2] > 100 > pixels[90, 160, 0]
