"""
The node as started by a user, with foreign processes on the default transports.

Only a separate domain is set in the environments. `MTL_TEST_SECONDS` makes the flights longer.
"""

import json
import os
from pathlib import Path
import random
import sys

import pytest

from mtl_perception.transport import remedy

PEER = Path(__file__).parent / 'default_peer.py'
OUTPUTS = ('detections', 'segmentation', 'overlay')
SECONDS = float(os.environ.get('MTL_TEST_SECONDS', '8'))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120 + 10 * SECONDS)]


@pytest.fixture
def plain_environment():
    """Return the environment of a shell with only ROS sourced."""
    ours = ('FAST', 'ROS_AUTOMATIC', 'ROS_LOCALHOST', 'ROS_DOMAIN', 'RMW_')
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | {'ROS_DOMAIN_ID': str(random.SystemRandom().randint(1, 101))}


@pytest.fixture
def start_peer(start_process, plain_environment):
    """Return a function that starts a default peer; see its file."""
    def start(*arguments, **environment):
        return start_process([sys.executable, str(PEER), *map(str, arguments)],
                             plain_environment | environment)

    return start


def result_of(peer, seconds=60 + 2 * SECONDS):
    peer.process.stdin.close()
    assert peer.wait(seconds) == 0, peer.said()
    return json.loads(peer.said().splitlines()[-1])


@pytest.fixture
def start_perception(start_node, plain_environment, paint_model):
    def start(**parameters):
        node = start_node('perception_node', environment=plain_environment,
                          model=str(paint_model(size=(192, 128))), **parameters)
        node.wait_for_words('/image (')
        return node

    return start


@pytest.mark.parametrize('rate', [10, 30])
def test_reliable_images_results_and_parameters_arrive(rate, start_perception, start_peer):
    node = start_perception()
    watcher = start_peer('watch')
    watcher.wait_for_words('watching')
    number = int(rate * SECONDS)
    publisher = start_peer('publish', 'RELIABLE', rate, number)
    asker = start_peer('parameters', 50)
    asked = result_of(asker)
    sent = result_of(publisher)['sent']
    seen = result_of(watcher)
    assert node.end()[0] == 0

    values = seen['values']
    received, processed = int(values['images received']), int(values['images processed'])
    dropped = int(values.get('images dropped, newer image', 0))
    lost = int(values['images lost on the way'])
    outputs = [seen[name] for name in OUTPUTS]
    print(f'{rate} Hz: {sent} sent, {received} received, {lost} lost, {processed} processed, '
          f'{dropped} dropped; outputs {outputs}; slowest parameter call '
          f'{1e3 * asked["slowest"]:.0f} ms')
    assert values['reliability'] == 'reliable'
    assert received == processed + dropped
    # All losses are counted, except those after the last received image.
    assert 0 <= sent - received - lost <= 5
    # A few, because a single loss in this short flight exceeds the 1 % of a long one.
    assert lost <= (max(3, 0.01 * sent) if rate == 10 else 0.4 * sent)
    assert min(outputs) >= 0.99 * processed
    assert asked['kept'] == 50 and asked['slowest'] < 2


def test_lost_best_effort_images_are_counted_with_working_remedy(start_perception, start_peer):
    node = start_perception()
    watcher = start_peer('watch')
    watcher.wait_for_words('watching')
    number = int(10 * SECONDS)
    assert result_of(start_peer('publish', 'BEST_EFFORT', 10, number))['sent'] == number
    seen = result_of(watcher)
    values = seen['values']
    received, lost = int(values['images received']), int(values['images lost on the way'])
    print(f'best effort, default: {number} sent, {received} received, {lost} lost')
    assert received < 0.5 * number
    assert received + lost >= 0.8 * number
    assert '/image is received raw, best_effort from now on' in node.said()
    setting = remedy(os.environ)
    assert any('lost on the way' in message and '/somebody_publish' in message
               and setting in message for message in seen['messages']), seen['messages']

    watcher = start_peer('watch')
    watcher.wait_for_words('watching')
    name, _, value = setting.partition('=')
    result_of(start_peer('publish', 'BEST_EFFORT', 10, number, **{name: value}))
    after = int(result_of(watcher)['values']['images received']) - received
    print(f'best effort, {name} set: {number} sent, {after} received')
    assert after >= 0.95 * number
    assert node.end()[0] == 0
