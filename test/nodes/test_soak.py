"""
The perception node under the load of a camera for a longer time.

MTL_SOAK_SECONDS sets the duration (30 by default), MTL_SOAK_MODEL the model file, or `shipped`,
instead of the one with known outputs.
"""

import array
import os
import statistics
import time

from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from mtl_perception.nodes import qos
from mtl_perception.resources import model_path

SECONDS = float(os.environ.get('MTL_SOAK_SECONDS', '30'))
MODEL = os.environ.get('MTL_SOAK_MODEL', '')
RATE = 30.0
WIDTH, HEIGHT = 1280, 720
GROWTH = 5.0
"""Allowed growth of resident memory in MB in the second half of the flight."""
BURST = 20
"""Images that are sent at once at the start, so that as many wait as ever will: 2.8 MB each."""
TAIL = 3.0
"""Limit of the 99th percentile of the latency, as a multiple of the median."""
NOISY_TAIL = 10.0
"""Its limit on a loaded machine."""


def values_of(message):
    return {pair.key: pair.value for status in message.status for pair in status.values}


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 120)
def test_long_run_of_camera(start_node, ros_node, wait_until, paint_model):
    model = str(model_path()) if MODEL == 'shipped' else MODEL or str(paint_model(size=(640, 384)))
    node = start_node('perception_node', model=model, reliability='reliable', queue_depth=5)
    states, answers = [], []
    ros_node.create_subscription(
        DiagnosticArray, '/diagnostics', lambda message: states.append(values_of(message)), 10)
    ros_node.create_subscription(
        Detection2DArray, '/perception_node/detections',
        lambda message: answers.append(message.header.stamp.sec), qos.stream('reliable', 50))
    images = ros_node.create_publisher(Image, 'image', qos.stream('reliable', 5))
    wait_until(lambda: images.get_subscription_count() == 1
               and ros_node.count_publishers('/perception_node/detections') == 1)
    time.sleep(0.5)

    pixels = np.full((HEIGHT, WIDTH, 3), 16, np.uint8)
    pixels[200:400, 500:900] = (10, 10, 250)
    data = array.array('B', pixels.tobytes())
    sent, late = 0, 0
    begin = time.monotonic()
    states.clear()
    while (now := time.monotonic()) < begin + SECONDS:
        due = begin + max(0, sent - BURST) / RATE
        if now < due:
            time.sleep(due - now)
        late += now > due + 0.5 / RATE
        sent += 1
        # The number of the frame is its stamp.
        header = Header(frame_id='camera')
        header.stamp.sec = sent
        images.publish(Image(
            header=header, width=WIDTH, height=HEIGHT, encoding='bgr8', step=3 * WIDTH, data=data))
    flight = time.monotonic() - begin
    during = list(states)

    def settled():
        """Return whether no frame arrived or was processed between the latest two diagnostics."""
        return len(states) > len(during) + 2 and all(
            states[-1][key] == states[-2][key] for key in ('images received', 'images processed'))

    wait_until(settled)
    state = states[-1]
    received, processed = int(state['images received']), int(state['images processed'])
    dropped = {key.partition(', ')[2]: int(value)
               for key, value in state.items() if key.startswith('images dropped, ')}
    memory = [float(values['resident memory [MB]']) for values in during[len(during) // 2:]]
    p50, p99 = ([float(values[f'total {name} [ms]']) for values in during
                 if f'total {name} [ms]' in values] for name in ('p50', 'p99'))
    # Each covers a window of ten seconds.
    tail = statistics.median(p99) / statistics.median(p50)
    print(f'\n{flight:.0f} s, {sent} images sent ({sent / flight:.1f} Hz, {late} late), '
          f'{received} received, {state["images lost on the way"]} lost on the way, {processed} '
          f'processed, dropped {dropped}; latency p50 '
          f'{statistics.median(p50):.1f} ms, p99 {statistics.median(p99):.1f} ms (worst window '
          f'{max(p99):.1f} ms), p99 / p50 {tail:.1f} (meant to be below {TAIL:g}); resident '
          f'memory after the first half {memory[0]:.1f} MB, then {min(memory):.1f} to '
          f'{max(memory):.1f} MB')
    assert received == processed + sum(dropped.values())
    assert set(dropped) <= {'newer image'}
    assert len(answers) == processed and answers == sorted(set(answers))
    assert received > 0.5 * sent
    assert max(memory) - memory[0] < GROWTH
    assert tail < NOISY_TAIL
    code, _ = node.end()
    assert code == 0 and 'Traceback' not in node.said()
