"""The subscription that follows its publishers, over DDS, and its count of losses."""

from dataclasses import replace

import pytest
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from mtl_perception.nodes.image_input import ImageInput, Route, SequenceGaps


@pytest.fixture
def publisher(ros_node):
    def publisher(reliability, kind=Image, topic='image'):
        return ros_node.create_publisher(kind, topic, QoSProfile(
            depth=5, reliability=ReliabilityPolicy[reliability.upper()]))

    return publisher


@pytest.fixture
def images(other_node):
    """Return an input of a spinning node, and the received frame ids."""
    came = []
    images = ImageInput(
        other_node, 'image', 'auto', 'auto', 5,
        lambda message: came.append(message.header.frame_id))
    yield images, came
    images.close()


def send(publisher, name, kind=Image):
    message = kind()
    message.header.frame_id = name
    publisher.publish(message)


def test_reliability_follows_publishers(images, publisher, ros_node, wait_until):
    images, came = images
    assert images.route.reliability == 'reliable'
    reliable = publisher('reliable')
    wait_until(reliable.get_subscription_count)
    send(reliable, 'a')
    wait_until(lambda: came == ['a'])
    assert images.route.reliability == 'reliable'

    # `follow` is not called here: the middleware reports the incompatible one.
    best_effort = publisher('best_effort')
    wait_until(lambda: images.route.reliability == 'best_effort')
    wait_until(lambda: best_effort.get_subscription_count() == 1
               and reliable.get_subscription_count() == 1)
    for publisher_, name in ((best_effort, 'b'), (reliable, 'c')):
        send(publisher_, name)
        wait_until(lambda name=name: name in came)

    ros_node.destroy_publisher(best_effort)
    wait_until(lambda: images.follow() or images.route.reliability == 'reliable')
    wait_until(lambda: reliable.get_subscription_count() == 1)
    send(reliable, 'd')
    wait_until(lambda: 'd' in came)
    assert came == ['a', 'b', 'c', 'd'] and images.lost == 0


def test_raw_images_are_preferred_to_compressed(images, publisher, ros_node, wait_until):
    images, came = images
    assert images.route == Route('/image', 'raw', 'reliable')
    compressed = publisher('best_effort', CompressedImage, 'image/compressed')
    wait_until(lambda: images.follow() or images.route == Route(
        '/image/compressed', 'compressed', 'best_effort'))
    wait_until(compressed.get_subscription_count)
    send(compressed, 'a', CompressedImage)
    wait_until(lambda: came == ['a'])
    raw = publisher('reliable')
    wait_until(lambda: images.follow() or images.route == Route('/image', 'raw', 'reliable'))
    wait_until(raw.get_subscription_count)
    send(raw, 'b')
    wait_until(lambda: came == ['a', 'b'])
    assert images.publishers() == 2
    ros_node.destroy_publisher(raw)
    wait_until(lambda: images.follow() or images.route.transport == 'compressed')
    assert images.lost == 0


def test_compressed_images_on_image_topic_are_received(images, publisher, wait_until):
    images, came = images
    compressed = publisher('reliable', CompressedImage)

    def moved():
        # The executor, another thread here, may hold the former subscription for a moment.
        images.follow()
        images.resume()
        return not images.is_paused and images.route == Route('/image', 'compressed', 'reliable')

    wait_until(moved)
    wait_until(compressed.get_subscription_count)
    send(compressed, 'a', CompressedImage)
    wait_until(lambda: came == ['a'])


@pytest.mark.parametrize(('transport', 'route'), [
    ('raw', Route('/front/image', 'raw', 'reliable')),
    ('compressed', Route('/front/image/compressed', 'compressed', 'reliable'))])
def test_other_transport_is_not_received(transport, route, idle_node, publisher, wait_until):
    node = idle_node()
    images = ImageInput(node, 'front/image', transport, 'auto', 5, print)
    for kind in (Image, CompressedImage):
        publisher('best_effort', kind, f'front/image{"/compressed" * (kind is not Image)}')
    wait_until(lambda: node.count_publishers('/front/image') == 1
               and node.count_publishers('/front/image/compressed') == 1)
    images.follow()
    assert images.route == replace(route, reliability='best_effort')
    images.close()


def test_publishers_of_other_type_are_ignored(images, publisher, other_node, wait_until):
    images, _ = images
    publisher('best_effort', CameraInfo)
    wait_until(lambda: other_node.count_publishers('/image') == 1)
    images.follow()
    assert images.route.reliability == 'reliable'


def test_gaps_are_counted_for_each_publisher():
    gaps = SequenceGaps()
    for publisher, number in ((b'a', 7), (b'a', 8), (b'b', 1), (b'a', 11), (b'b', 4), (b'b', 5)):
        gaps.see(publisher, number)
    assert gaps.total == 2 + 2
    gaps.see(b'a', 1)  # restarted
    gaps.see(b'a', 2)
    assert gaps.total == 4


def test_departed_publishers_are_forgotten():
    gaps = SequenceGaps()
    for index in range(1000):
        gaps.see(str(index).encode(), 5)
    assert gaps.total == 0 and len(gaps._latest) == SequenceGaps._MOST
