"""The subscription that follows its publishers, over DDS, and its count of losses."""

import pytest
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from mtl_perception.nodes.image_input import ImageInput, SequenceGaps


@pytest.fixture
def publisher(ros_node):
    def publisher(reliability, kind=Image):
        return ros_node.create_publisher(kind, 'image', QoSProfile(
            depth=5, reliability=ReliabilityPolicy[reliability.upper()]))

    return publisher


@pytest.fixture
def images(other_node):
    """Return an input of a node that spins, and the frame ids that came."""
    came = []
    images = ImageInput(
        other_node, 'auto', 5, lambda message: came.append(message.header.frame_id))
    yield images, came
    images.close()


def send(publisher, name):
    message = Image()
    message.header.frame_id = name
    publisher.publish(message)


def test_reliability_follows_the_publishers(images, publisher, ros_node, wait_until):
    images, came = images
    assert images.reliability == 'reliable'
    reliable = publisher('reliable')
    wait_until(reliable.get_subscription_count)
    send(reliable, 'a')
    wait_until(lambda: came == ['a'])
    assert images.reliability == 'reliable'

    # Nobody calls `follow` here: the middleware tells of the one that does not fit.
    best_effort = publisher('best_effort')
    wait_until(lambda: images.reliability == 'best_effort')
    wait_until(lambda: best_effort.get_subscription_count() == 1
               and reliable.get_subscription_count() == 1)
    for publisher_, name in ((best_effort, 'b'), (reliable, 'c')):
        send(publisher_, name)
        wait_until(lambda name=name: name in came)

    ros_node.destroy_publisher(best_effort)
    wait_until(lambda: images.follow() or images.reliability == 'reliable')
    wait_until(lambda: reliable.get_subscription_count() == 1)
    send(reliable, 'd')
    wait_until(lambda: 'd' in came)
    assert came == ['a', 'b', 'c', 'd'] and images.lost == 0


def test_publishers_of_another_type_do_not_count(images, publisher, other_node, wait_until):
    images, _ = images
    publisher('best_effort', CompressedImage)
    wait_until(lambda: other_node.count_publishers('/image') == 1)
    images.follow()
    assert images.reliability == 'reliable'


def test_gaps_are_counted_for_each_publisher():
    gaps = SequenceGaps()
    for publisher, number in ((b'a', 7), (b'a', 8), (b'b', 1), (b'a', 11), (b'b', 4), (b'b', 5)):
        gaps.see(publisher, number)
    assert gaps.total == 2 + 2
    gaps.see(b'a', 1)  # began anew
    gaps.see(b'a', 2)
    assert gaps.total == 4


def test_publishers_that_come_and_go_are_forgotten():
    gaps = SequenceGaps()
    for index in range(1000):
        gaps.see(str(index).encode(), 5)
    assert gaps.total == 0 and len(gaps._latest) == SequenceGaps._MOST
