"""The perception node, as a process, over DDS, with a model whose outputs are known."""

import resource
import signal
import time

from builtin_interfaces.msg import Time
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from node_results import EVERY
import numpy as np
from painted_images import image, image_message
import pytest
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import Header

RED = 0

# Ten frames: encoding, width, height, bytes of padding in a row.
FRAMES = [
    ('rgb8', 192, 128, 0), ('bgr8', 640, 480, 0), ('bgr8', 321, 241, 5), ('rgba8', 96, 200, 0),
    ('bgra8', 200, 96, 8), ('8UC3', 1000, 400, 0), ('yuv422', 320, 240, 4), ('nv21', 320, 240, 0),
    ('mono8', 333, 77, 3), ('mono16', 64, 64, 0),
]


def look_at(results, wait_until, message):
    results.images.publish(message)
    wait_until(lambda: results.of(message.header))
    return results.of(message.header)


def header_of(number):
    """Return headers with all kinds of stamps and frame ids."""
    second = -number if number % 3 == 1 else 1000 + number
    return Header(
        stamp=Time(sec=second, nanosec=999999999 - number), frame_id=f'Kamera {number} ü' * number)


@pytest.mark.slow
def test_frames_of_any_size_and_encoding_among_broken_ones(start_node, results, call, wait_until,
                                                           paint):
    node = start_node(
        'perception_node', model=str(paint), reliability='reliable', queue_depth=20)
    wait_until(results.connected)
    time.sleep(0.5)
    bad = 0
    for number, (encoding, width, height, padding) in enumerate(FRAMES):
        header = header_of(number)
        message = image_message(header, encoding, width, height, padding)
        for spoil in ({'encoding': 'jpeg'}, {'step': 1}, {'width': 0}, {'height': 2**31}):
            broken = image_message(Header(frame_id='broken'), encoding, width, height, padding)
            for name, value in spoil.items():
                setattr(broken, name, value)
            results.images.publish(broken)
            bad += 1
        detections, mask = look_at(results, wait_until, message)
        assert (mask.encoding, mask.width, mask.height, mask.step) == (
            'mono8', width, height, width)
        labels = np.frombuffer(mask.data, np.uint8).reshape(height, width)
        _, (x0, y0, x1, y1) = image(width, height)
        if encoding.startswith('mono'):
            assert detections.detections == []
            continue
        [found] = detections.detections
        assert found.header == header
        assert found.results[0].hypothesis.class_id == str(RED)
        assert found.results[0].hypothesis.score > 0.9
        box, centre = found.bbox, found.bbox.center.position
        left, top = centre.x - box.size_x / 2, centre.y - box.size_y / 2
        right, bottom = left + box.size_x, top + box.size_y
        assert left >= 0 and top >= 0 and right <= width and bottom <= height
        # One network pixel on each side, and the blur of resizing.
        tolerance = 2 * max(1.0, width / 192, height / 128)
        assert np.abs(np.subtract((left, top, right, bottom), (x0, y0, x1, y1))).max() < tolerance
        assert labels[(y0 + y1) // 2, (x0 + x1) // 2] == RED and labels[0, 0] == 3
    assert not any(message.header.frame_id == 'broken' for message in results.detections)
    wait_until(lambda: results.diagnostic('images processed') == str(len(FRAMES)))
    assert results.diagnostic('images dropped, bad frame') == str(bad)
    assert results.diagnostic('images received') == str(bad + len(FRAMES))
    assert float(results.diagnostic('total p50 [ms]')) > 0

    said = node.said()
    warnings = [line for line in said.splitlines() if 'bad frame dropped' in line]
    assert warnings and "encoding 'jpeg' is not supported" in warnings[0]
    assert len(warnings) < bad, 'throttled'
    start = [line for line in said.splitlines() if '[INFO]' in line]
    assert len(start) == 4 and ' on cpu, ' in start[0] and f'model {paint}' in start[1]
    assert 'detection of red, green, blue; segmentation of red, green, blue, dark' in start[2]
    assert '/image (auto, reliable, depth 20) -> /perception_node/detections' in start[3]

    change_parameters_in_flight(results, call, wait_until)
    code, seconds = node.end(signal.SIGINT)
    assert code == 0 and seconds < 2
    assert 'Traceback' not in node.said() and 'rror' not in node.said()


def change_parameters_in_flight(results, call, wait_until):
    def change(**values):
        answer = call(SetParameters, 'set_parameters', parameters=[
            Parameter(name, value=value).to_parameter_msg() for name, value in values.items()])
        return [(result.successful, result.reason) for result in answer.results]

    message = image_message(header_of(100), 'rgb8', 192, 128)
    assert change(class_id_format='name') == [(True, '')]
    detections, _ = look_at(results, wait_until, message)
    assert detections.detections[0].results[0].hypothesis.class_id == 'red'
    assert results.labels[-1].threshold == pytest.approx(0.3)
    assert [c.class_name for c in results.labels[-1].class_map] == ['red', 'green', 'blue']
    assert change(score_threshold=0.99) == [(True, '')]
    message.header = header_of(101)
    detections, _ = look_at(results, wait_until, message)
    assert detections.detections == []
    wait_until(lambda: results.labels[-1].threshold == pytest.approx(0.99))
    [(done, reason)] = change(score_threshold=1.5)
    assert not done and '0.0' in reason and '1.0' in reason
    [(done, reason)] = change(model='other.onnx')
    assert not done and 'changes only while the node is unconfigured' in reason
    [(done, reason)] = change(autostart=False)
    assert not done and 'read-only' in reason
    assert change(score_threshold=0.3, class_id_format='index') == [(True, '')] * 2


@pytest.mark.slow
def test_overlay_and_colours_are_published_to_subscribers(start_node, results, ros_node,
                                                          wait_until, paint):
    images = {}
    for name in ('overlay', 'segmentation_color'):
        ros_node.create_subscription(
            Image, f'/perception_node/{name}',
            lambda message, name=name: images.update({name: message}), EVERY)
    node = start_node('perception_node', model=str(paint), reliability='reliable')
    wait_until(results.connected)
    wait_until(lambda: ros_node.count_publishers('/perception_node/overlay') == 1)
    time.sleep(0.5)
    message = image_message(header_of(1), 'bgr8', 192, 128)
    look_at(results, wait_until, message)
    wait_until(lambda: len(images) == 2)
    original, (x0, y0, x1, y1) = image(192, 128)
    for found in images.values():
        assert found.header == message.header
        assert (found.encoding, found.width, found.height) == ('rgb8', 192, 128)
    overlay = np.frombuffer(images['overlay'].data, np.uint8).reshape(original.shape)
    assert not np.array_equal(overlay, original)
    colors = np.frombuffer(images['segmentation_color'].data, np.uint8).reshape(original.shape)
    inside, outside = colors[(y0 + y1) // 2, (x0 + x1) // 2], colors[0, 0]
    assert inside.tolist() != outside.tolist()
    assert node.end(signal.SIGTERM)[0] == 0


@pytest.mark.slow
def test_newest_frame_replaces_older_ones(start_node, results, wait_until, paint):
    # Each frame is cut into 64 tiles, which takes longer than the interval between frames.
    node = start_node(
        'perception_node', model=str(paint), reliability='reliable', queue_depth=50, tiles='8x8',
        threads=1)
    wait_until(results.connected)
    time.sleep(0.5)
    messages = [image_message(Header(frame_id=str(number)), 'bgr8', 1600, 900)
                for number in range(30)]
    for message in messages:
        results.images.publish(message)
        time.sleep(0.02)
    wait_until(lambda: results.of(messages[-1].header))
    seen = [int(found.header.frame_id) for found in results.detections]
    assert seen == sorted(set(seen)), 'in order, none twice'
    assert seen[-1] == 29
    assert len(seen) < 30
    wait_until(lambda: results.diagnostic('images processed') == str(len(seen)))
    assert results.diagnostic('images received') == '30'
    assert results.diagnostic('images dropped, newer image') == str(30 - len(seen))
    # Ends at once during processing, too.
    results.images.publish(messages[0])
    time.sleep(0.1)
    code, seconds = node.end()
    assert code == 0 and seconds < 2 and 'Traceback' not in node.said()


@pytest.mark.slow
def test_lifecycle_transitions(start_node, results, call, wait_until, paint, tmp_path):
    def change(transition):
        return call(ChangeState, 'change_state', transition=Transition(id=transition)).success

    def state():
        return call(GetState, 'get_state').current_state.id

    node = start_node(
        'perception_node', model=str(tmp_path / 'none.onnx'), autostart=False,
        reliability='reliable')
    assert state() == State.PRIMARY_STATE_UNCONFIGURED
    for impossible in (Transition.TRANSITION_ACTIVATE, 123):
        assert not change(impossible)
        assert state() == State.PRIMARY_STATE_UNCONFIGURED
    assert 'Traceback' not in node.said()
    assert not change(Transition.TRANSITION_CONFIGURE)
    assert state() == State.PRIMARY_STATE_UNCONFIGURED
    assert 'none.onnx: no such model' in node.said()
    wait_until(lambda: any(
        'none.onnx: no such model' in status.message and status.level == b'\x02'
        for message in results.diagnostics for status in message.status))
    call(SetParameters, 'set_parameters', parameters=[
        Parameter('model', value=str(paint)).to_parameter_msg()])
    number = 0
    for _ in range(2):
        assert change(Transition.TRANSITION_CONFIGURE)
        assert state() == State.PRIMARY_STATE_INACTIVE
        assert results.images.get_subscription_count() == 0
        for _ in range(2):
            assert change(Transition.TRANSITION_ACTIVATE)
            wait_until(results.connected)
            time.sleep(0.5)
            number += 1
            look_at(results, wait_until, image_message(header_of(number), 'bgr8', 64, 64))
            assert change(Transition.TRANSITION_DEACTIVATE)
            wait_until(lambda: results.images.get_subscription_count() == 0)
        assert change(Transition.TRANSITION_CLEANUP)
        assert state() == State.PRIMARY_STATE_UNCONFIGURED
        wait_until(lambda: not results.node.count_publishers('/perception_node/segmentation'))
    assert change(Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
    assert state() == State.PRIMARY_STATE_FINALIZED
    wait_until(lambda: results.diagnostic('lifecycle state') == 'finalized')
    assert node.end()[0] == 0


@pytest.mark.parametrize('spoilt', [
    'missing', *(pytest.param(name, marks=pytest.mark.slow)
                 for name in ('folder', 'truncated', 'text'))])
def test_invalid_model_gives_one_line_and_exit_code_1(spoilt, start_node, tmp_path, paint):
    path = tmp_path / 'model.onnx'
    if spoilt == 'folder':
        path.mkdir()
    elif spoilt == 'truncated':
        path.write_bytes(paint.read_bytes()[:-700])
    elif spoilt == 'text':
        path.write_text('no model, but long enough to be one\n' * 50)
    before = cpu_seconds()
    node = start_node('perception_node', model=str(path))
    assert node.wait() == 1
    assert cpu_seconds() - before < 5
    assert node.said().startswith(f'error: {path}: ')
    assert node.said().count('\n') == 1


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@pytest.mark.slow
def test_invalid_parameter_gives_one_line_and_exit_code_1(start_node, paint):
    node = start_node('perception_node', model=str(paint), score_threshold=7.0)
    assert node.wait() == 1
    assert node.said() == 'error: parameter score_threshold: 7.0 is not within 0.0..1.0\n'
