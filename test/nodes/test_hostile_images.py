"""The perception node with images of arbitrary field values."""

import array
from collections import Counter
import time

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from fuzzing import fuzz_examples
import numpy as np
import pytest
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from mtl_perception.encodings import check_image, ENCODINGS, FrameError, RawImage
from mtl_perception.nodes import qos

BATCHES, BATCH = 3 * fuzz_examples(), 10
"""Messages are sent in batches that fit into the node's queue; each ends with a valid frame."""
SETTLED = BATCHES // 3
"""Batches until caches and network buffers have reached their size."""
GROWTH = 10.0
"""Allowed growth of resident memory after that, in MB; measured: 4 over three times as many."""
LARGEST = 1 << 20
"""Maximum bytes of data in a message."""

SIDES = [0, 1, 2, 3, 4, 5, 7, 16, 33, 96, 192, 640, 32766, 32767, 2**31 - 1, 2**31, 2**32 - 1]
STAMPS = [0, 1, -1, -2**31, 2**31 - 1, 1_700_000_000]
FRAME_IDS = ['', 'camera', 'Kamera ü', '相机/前', '🚁' * 50, '\x7f\n\t\x01', 'x' * 100_000]
NAMES = [
    '', 'jpeg', 'BGR8', ' bgr8', 'bgr8 ', 'bgr8\n', 'bgr16', '32FC1', '64FC4', '8UC', '８UC3',
    'bayer_rggb16', '🚁', '%s%n', '../../bgr8', 'bgr8' * 5000]


def good_shape(rng, layout):
    """Return a valid width and height for an encoding, sometimes the maximum."""
    sides = [int(side) for side in rng.choice([4, 6, 16, 50, 192], 2)]
    if rng.random() < 0.05:
        sides = [32766, 4] if rng.random() < 0.5 else [4, 32766]
    return max(sides[0], layout.min_side), max(sides[1], layout.min_side)


def any_image(rng):
    """Return an image message; its fields are consistent in one of four."""
    known = sorted(ENCODINGS)
    encoding = str(rng.choice(known))
    layout = ENCODINGS[encoding]
    width, height = good_shape(rng, layout)
    step = width * layout.pixel_bytes + int(rng.choice([0, 0, 1, 7, 64]))
    length = step * height * layout.half_rows // 2
    if rng.random() < 0.75:
        for spoil in rng.choice(4, int(rng.integers(1, 4)), replace=False):
            if spoil == 0:
                encoding = str(rng.choice(NAMES)) if rng.random() < 0.7 else str(rng.choice(known))
            elif spoil == 1:
                width, height = (int(side) for side in rng.choice(SIDES, 2))
            elif spoil == 2:
                step = int(rng.choice([0, 1, step - 1, step + 1, 2 * step, 2**31, 2**32 - 1]))
            else:
                length = int(rng.choice([0, 1, length - 1, length + 1, length // 2, 2 * length]))
    data = array.array('B')
    data.frombytes(rng.bytes(min(length, LARGEST)))
    stamp = Time(sec=int(rng.choice(STAMPS)), nanosec=int(rng.choice([0, 999_999_999, 2**32 - 1])))
    return Image(
        header=Header(stamp=stamp, frame_id=FRAME_IDS[int(rng.integers(len(FRAME_IDS)))]),
        width=width, height=height, encoding=encoding, step=step, data=data,
        is_bigendian=int(rng.choice([0, 1, 255])))


def good_frame(number):
    """Return a frame with a red square, and a header that identifies it."""
    pixels = np.full((64, 96, 3), 16, np.uint8)
    pixels[16:48, 24:72] = (250, 10, 10)
    return Image(
        header=Header(stamp=Time(sec=number), frame_id='good'), width=96, height=64,
        encoding='rgb8', step=288, data=array.array('B', pixels.tobytes()))


def is_image(message):
    try:
        check_image(RawImage.of(message))
    except FrameError:
        return False
    return True


class Sender:
    """Sends images to a perception node and checks the results."""

    def __init__(self, node, wait_until):
        reliable = qos.stream('reliable', 100)
        self.kinds = Counter()
        self.states = []
        self._answers = {}
        self._wait_until = wait_until
        node.create_subscription(
            Detection2DArray, '/perception_node/detections', self._on_detections, reliable)
        node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, reliable)
        self._images = node.create_publisher(Image, 'image', reliable)
        wait_until(lambda: self._images.get_subscription_count() == 1
                   and node.count_publishers('/perception_node/detections') == 1)
        time.sleep(0.5)

    def send(self, messages):
        """Publish a batch and check that the valid frame at its end is processed as usual."""
        for message in messages:
            if isinstance(message, Image):
                self.kinds['image' if is_image(message) else 'bad frame'] += 1
            self._images.publish(message)
        number = self.kinds['good frame'] = self.kinds['good frame'] + 1
        self._images.publish(good_frame(number))
        self._wait_until(lambda: number in self._answers)
        assert self._answers[number] == 1

    def settled(self):
        """Return the diagnostics, including counts by cause, once the counts are stable."""
        known = len(self.states)
        self._wait_until(lambda: len(self.states) > known + 1
                         and self.counts(self.states[-1]) == self.counts(self.states[-2]))
        return self.states[-1], self.counts(self.states[-1])

    @staticmethod
    def counts(state):
        """Return the images received and processed, and those dropped by cause."""
        return {key.removeprefix('images ').removeprefix('dropped, '): int(value)
                for key, value in state.items()
                if key in ('images received', 'images processed')
                or key.startswith('images dropped, ')}

    def _on_detections(self, message):
        if message.header.frame_id == 'good':
            self._answers[message.header.stamp.sec] = len(message.detections)

    def _on_diagnostics(self, message):
        self.states.append({
            pair.key: pair.value for status in message.status for pair in status.values})


@pytest.fixture
def perception(start_node, paint_model):
    return start_node(
        'perception_node', model=str(paint_model()), reliability='reliable', queue_depth=BATCH)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_node_survives_hostile_images(perception, ros_node, wait_until):
    sender = Sender(ros_node, wait_until)
    # Fast DDS keeps the memory of the largest message for each slot of a queue.
    largest = Image(data=array.array('B', bytes(LARGEST)))
    largest.header.frame_id = max(FRAME_IDS, key=len)
    for _ in range(5):
        sender.send([largest] * (BATCH - 1))
    rng = np.random.default_rng(11)
    memory = []
    begin = time.monotonic()
    for batch in range(BATCHES):
        sender.send(any_image(rng) for _ in range(BATCH - 1))
        if batch >= SETTLED:
            memory.append(float(sender.states[-1]['resident memory [MB]']))
    seconds = time.monotonic() - begin
    state, counts = sender.settled()
    memory.append(float(state['resident memory [MB]']))
    print(f'\n{BATCHES * BATCH} messages in {seconds:.1f} s: {dict(sender.kinds)}; {counts}; '
          f'resident memory {memory[0]:.1f} MB, {min(memory):.1f} to {max(memory):.1f} MB')
    sent = sum(sender.kinds.values())
    assert set(counts) == {'received', 'processed', 'bad frame', 'newer image'}
    assert counts['received'] == sent
    assert counts['processed'] + counts['bad frame'] + counts['newer image'] == sent
    assert counts['bad frame'] == sender.kinds['bad frame']
    assert sender.kinds['image'] > sent / 5 and sender.kinds['bad frame'] > sent / 5
    assert max(memory) - memory[0] < GROWTH
    assert perception.process.poll() is None
    assert perception.end()[0] == 0 and 'Traceback' not in perception.said()


@pytest.mark.slow
def test_truncated_and_damaged_messages_are_survived(perception, ros_node, wait_until):
    sender = Sender(ros_node, wait_until)
    whole = serialize_message(good_frame(0))
    for length in (4, 5, 8, 13, 20, 40, len(whole) // 2, len(whole) - 1):
        sender.send([whole[:length]])
    name = whole.index(b'rgb8')
    for begin, other in (
            (12, b'\xff\xff\xff\x7f'), (16, b'\xff\xfe\x00'), (name, b'\xff\xfe\xfd'),
            (name - 4, b'\xff\xff\xff\xff')):
        spoilt = whole[:begin] + other + whole[begin + len(other):]
        sender.send([spoilt])
    _, counts = sender.settled()
    # Messages rejected by the middleware are not received; their number varies.
    print(f'\n{counts}')
    assert set(counts) <= {'received', 'processed', 'bad frame', 'newer image'}
    assert counts.pop('received') == sum(counts.values()) >= 12
    assert perception.end()[0] == 0 and 'Traceback' not in perception.said()
