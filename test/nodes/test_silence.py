import pytest

from mtl_perception.nodes.silence import (
    explain_loss,
    explain_silence,
    Offer,
    Surroundings,
    VIDEO_TYPES,
)

IMAGE, COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
RELIABLE = Offer('/driver', IMAGE, 'reliable', 'volatile')
BEST_EFFORT = Offer('/front/camera', IMAGE, 'best_effort', 'volatile')
REMEDY = 'VARIABLE=/profile.xml'


def explained(*offers, elsewhere=(), reliability='reliable', lost=0):
    return explain_silence(Surroundings('/image', offers, elsewhere), reliability, lost, REMEDY)


def test_missing_publisher_is_reported():
    assert explained() == 'it has no publisher; no other topic of images is published'
    assert explained(elsewhere=(('/a/image_raw', IMAGE), ('/a/compressed', COMPRESSED))) == (
        'it has no publisher; images are published on /a/image_raw (Image), '
        '/a/compressed (CompressedImage)')


def test_only_some_of_many_topics_are_named():
    many = tuple((f'/camera_{number}', IMAGE) for number in range(40))
    text = explained(elsewhere=many)
    assert '/camera_0 (Image)' in text and text.endswith(' and 34 more')


def test_other_type_is_reported():
    text = explained(Offer('/driver', COMPRESSED, 'reliable', 'volatile'),
                     elsewhere=(('/image_raw', IMAGE),))
    assert f'it carries {COMPRESSED} (from /driver), not {IMAGE}' in text
    assert 'set parameter image_transport to auto' in text and '/image_raw (Image)' in text
    text = explained(Offer('/talker', 'std_msgs/msg/String', 'reliable', 'volatile'))
    assert 'it carries std_msgs/msg/String (from /talker)' in text and 'image_tr' not in text


@pytest.mark.parametrize('kind', VIDEO_TYPES)
def test_video_packets_are_rejected_with_remedy(kind):
    for text in (explained(Offer('/driver', kind, 'reliable', 'volatile')),
                 explained(elsewhere=(('/image/ffmpeg', kind),))):
        assert kind.rpartition('/')[2] in text and 'publish raw or compressed' in text


def test_incompatible_qos_is_reported_with_both_profiles():
    assert explained(BEST_EFFORT) == (
        'the quality of service does not fit: this node asks for reliable, volatile, and '
        '/front/camera offers best_effort, volatile; set parameter reliability to auto')
    assert 'fit' not in explained(BEST_EFFORT, reliability='best_effort')
    assert 'fit' not in explained(RELIABLE, BEST_EFFORT)


@pytest.mark.parametrize(('offers', 'words'), [
    ((BEST_EFFORT,), f'have /front/camera publish reliably, or on Fast DDS set {REMEDY} there'),
    ((RELIABLE,), '/driver, the network or this host cannot keep up'),
    ((RELIABLE, BEST_EFFORT), 'have /front/camera publish reliably'),
    ((), 'the publisher, the network or this host cannot keep up')])
def test_loss_is_reported(offers, words):
    assert words in explain_loss(offers, REMEDY)
    if offers:
        text = explained(*offers, reliability='best_effort', lost=12)
        assert text.startswith('12 were lost on the way: ') and words in text


def test_unexplained_silence_is_reported():
    text = explained(RELIABLE)
    assert text == (
        '/driver offers reliable, volatile, but nothing arrives: see `ros2 topic hz /image`')
    assert REMEDY in explained(BEST_EFFORT, reliability='best_effort')
