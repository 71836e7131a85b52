"""The perception node with truncated, inconsistent and oversized compressed images."""

import array
from collections import Counter
import time

from diagnostic_msgs.msg import DiagnosticArray
from fuzzing import fuzz_examples
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from mtl_perception.compressed import BROKEN, check_compressed, compress, CompressedData
from mtl_perception.encodings import FrameError
from mtl_perception.nodes import qos

BATCHES, BATCH = 3 * fuzz_examples(), 10
"""Messages are sent in batches that fit into the node's queue; each ends with a valid frame."""
SETTLED = BATCHES // 3
"""Batches until caches and network buffers have reached their size."""
GROWTH = 20.0
"""Allowed growth of resident memory after that, in MB."""

FORMATS = ['jpeg', 'png', '', 'rgb8; jpeg compressed bgr8', 'bgr8; png compressed bgr8', 'h264',
           '16UC1; compressedDepth png', 'bayer_rggb8; jpeg compressed ', '🚁' * 100, '%s%n']


def whole_images():
    """Return JPEG and PNG data of several sizes and types, some of them large."""
    rng = np.random.default_rng(5)
    noise = rng.integers(0, 256, (240, 320, 3), np.uint8)
    plain = np.full((720, 1280, 3), 90, np.uint8)
    return [compress(pixels, 'bgr', kind) for kind in ('jpeg', 'png')
            for pixels in (noise, plain, noise[..., 0], plain[:16, :16])] + [
        compress(noise.astype(np.uint16) * 257, 'bgr', 'png')]


def lie(data, rng):
    """Return the data with another size in the header, which may be one of up to 2**32."""
    spoilt = bytearray(data)
    if data.startswith(b'\x89PNG'):
        sides = rng.choice([0, 1, 4096, 32766, 32767, 2**31 - 1, 2**32 - 1], 2)
        spoilt[16:24] = b''.join(int(side).to_bytes(4, 'big') for side in sides)
    else:
        at = spoilt.find(b'\xff\xc0')
        sides = rng.choice([0, 1, 4096, 32766, 32767, 65535], 2)
        spoilt[at + 5:at + 9] = b''.join(int(side).to_bytes(2, 'big') for side in sides)
    return bytes(spoilt)


def any_data(images, rng):
    """Return the data of a message, complete in one of eight."""
    data = images[int(rng.integers(len(images)))]
    kind = rng.integers(8)
    if kind in (1, 2):
        data = data[:int(rng.integers(len(data)))]
    elif kind in (3, 4):
        data = lie(data, rng)
    elif kind == 5:
        spoilt = bytearray(data)
        for place in rng.integers(0, len(data), 20):
            spoilt[place] ^= int(rng.integers(1, 256))
        data = bytes(spoilt)
    elif kind == 6:
        # Its end is present, the data before it is missing.
        data = data[:len(data) // 2] + data[-12:]
    elif kind == 7:
        data = rng.bytes(int(rng.integers(2000)))
    return data


def cause_of(message):
    """Return the cause evident from the header; None: it may be an image."""
    try:
        check_compressed(CompressedData(message.data, message.format))
    except FrameError as error:
        return error.cause
    return None


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_node_survives_hostile_compressed_images(start_node, ros_node, wait_until,
                                                              paint_model):
    reliable = qos.stream('reliable', 100)
    answers, states, sent = {}, [], Counter()
    ros_node.create_subscription(
        Detection2DArray, '/perception_node/detections', lambda message: answers.__setitem__(
            message.header.stamp.sec, len(message.detections)), reliable)
    ros_node.create_subscription(DiagnosticArray, '/diagnostics', lambda message: states.append({
        pair.key: pair.value for status in message.status for pair in status.values}), reliable)
    publisher = ros_node.create_publisher(CompressedImage, 'image/compressed', reliable)
    node = start_node('perception_node', model=str(paint_model()), queue_depth=BATCH,
                      image_transport='compressed')
    wait_until(lambda: publisher.get_subscription_count() == 1
               and ros_node.count_publishers('/perception_node/detections') == 1)
    time.sleep(0.5)
    red = np.full((64, 96, 3), 16, np.uint8)
    red[16:48, 24:72] = (250, 10, 10)
    good = array.array('B', compress(red, 'rgb', 'jpeg', 95))
    images, rng = whole_images(), np.random.default_rng(3)
    memory, begin = [], time.monotonic()
    for batch in range(1, BATCHES + 1):
        for _ in range(BATCH - 1):
            message = CompressedImage(
                header=Header(frame_id='any'), format=FORMATS[int(rng.integers(len(FORMATS)))],
                data=array.array('B', any_data(images, rng)))
            sent[cause_of(message)] += 1
            publisher.publish(message)
        header = Header()
        header.stamp.sec = batch
        publisher.publish(CompressedImage(header=header, format='jpeg', data=good))
        sent[None] += 1
        wait_until(lambda batch=batch: batch in answers)
        assert answers[batch] == 1
        if batch >= SETTLED and states:
            memory.append(float(states[-1]['resident memory [MB]']))
    seconds = time.monotonic() - begin

    def counts(state):
        return {key.rpartition(', ')[2]: int(value) for key, value in state.items()
                if key.startswith('images dropped, ')}

    known = len(states)
    wait_until(lambda: len(states) > known + 1)
    state, found = states[-1], counts(states[-1])
    memory.append(float(state['resident memory [MB]']))
    print(f'\n{sum(sent.values())} messages in {seconds:.1f} s: {dict(sent)}; {found}; resident '
          f'memory {memory[0]:.1f} MB, {min(memory):.1f} to {max(memory):.1f} MB')
    assert int(state['images received']) == sum(sent.values()) == BATCHES * BATCH
    # The data after a valid header may be broken, unless a newer image replaced it first.
    may_be = sent.pop(None) + sent.pop(BROKEN)
    assert {cause: found.pop(cause) for cause in sent} == dict(sent) and len(sent) == 3
    assert found[BROKEN] > BATCHES and set(found) == {BROKEN, 'newer image'}
    assert int(state['images processed']) + sum(found.values()) == may_be
    # Not the maximum: memory of a large image is allocated while it is decoded, and there is one
    # reading a second.
    assert np.median(memory) - memory[0] < GROWTH
    assert memory[-1] - memory[0] < GROWTH
    assert node.end()[0] == 0 and 'Traceback' not in node.said()
