"""Why no images arrive, as far as the waiting node can find out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rclpy.node import Node

from mtl_perception.nodes.image_input import COMPRESSED_TYPE, IMAGE_TYPE

VIDEO_TYPES = ('ffmpeg_image_transport_msgs/msg/FFMPEGPacket', 'foxglove_msgs/msg/CompressedVideo',
               'theora_image_transport/msg/Packet')
"""Types of packets of a video, each of which means something only after all before it."""

_NO_VIDEO = ('packets of a video are not received: have the driver publish raw or compressed '
             'images, or `ros2 run image_transport republish` make them')

_MOST = 6
"""Most topics or publishers that are named; of more, the number is given."""


@dataclass(frozen=True)
class Offer:
    """A publisher of the image topic."""

    node: str
    """Fully qualified."""
    type: str
    reliability: str
    """'reliable' or 'best_effort', as rclpy names it in lower case."""
    durability: str


@dataclass(frozen=True)
class Surroundings:
    """What there is around a topic."""

    topic: str
    offers: tuple[Offer, ...]
    elsewhere: tuple[tuple[str, str], ...]
    """Name and type of other topics on which images are published."""
    type: str = IMAGE_TYPE
    """The type that the node receives there."""

    @property
    def images(self) -> list[Offer]:
        """The publishers of the type that the node receives."""
        return [offer for offer in self.offers if offer.type == self.type]


def look_around(node: Node, topic: str, kind: str = IMAGE_TYPE) -> Surroundings:
    """Return the surroundings of the resolved `topic` for a subscriber to messages of `kind`."""
    own = node.get_fully_qualified_name()
    offers = []
    for info in node.get_publishers_info_by_topic(topic):
        offers.append(Offer(
            f'{info.node_namespace.rstrip("/")}/{info.node_name}', info.topic_type,
            info.qos_profile.reliability.name.lower(), info.qos_profile.durability.name.lower()))
    # Our own images are no input, and a topic that is only subscribed to carries nothing.
    elsewhere = [
        (name, kind) for name, kinds in node.get_topic_names_and_types() for kind in kinds
        if kind in (IMAGE_TYPE, COMPRESSED_TYPE, *VIDEO_TYPES) and name != topic
        and not name.startswith(f'{own}/') and node.count_publishers(name)]
    return Surroundings(topic, tuple(offers), tuple(sorted(elsewhere)), kind)


def explain_silence(around: Surroundings, reliability: str, lost: int, remedy: str) -> str:
    """
    Return why no images arrive, and the remedy, in one line.

    `reliability` is what the subscription asks for, `lost` the number of images that the
    middleware saw getting lost lately, `remedy` the setting that gives a publisher room for them.
    """
    if not around.offers:
        return f'it has no publisher; {_elsewhere(around)}'
    images = around.images
    if not images:
        kinds = sorted({offer.type for offer in around.offers})
        text = (f'it carries {" and ".join(kinds)} (from {_nodes(around.offers)}), '
                f'not {around.type}')
        if {IMAGE_TYPE, COMPRESSED_TYPE} & {*kinds}:
            text += '; set parameter image_transport to auto'
        elif {*VIDEO_TYPES} & {*kinds}:
            text += f'; {_NO_VIDEO}'
        return f'{text}; {_elsewhere(around)}'
    if reliability == 'reliable' and not any(_reliable(offer) for offer in images):
        return (f'the quality of service does not fit: this node asks for reliable, volatile, and '
                f'{_profiles(images)}; set parameter reliability to auto')
    if lost:
        return f'{lost} were lost on the way: {explain_loss(images, remedy)}'
    text = f'{_profiles(images)}, but nothing arrives: see `ros2 topic hz {around.topic}`'
    if not all(_reliable(offer) for offer in images):
        text += f'; large best-effort images on Fast DDS need {remedy} there'
    return text


def explain_loss(images: Sequence[Offer], remedy: str) -> str:
    """Return what to do about images that get lost between these publishers and this node."""
    deaf = [offer for offer in images if not _reliable(offer)]
    if deaf:
        return (f'best effort has no second try; have {_nodes(deaf)} publish reliably, or on Fast '
                f'DDS set {remedy} there')
    return f'{_nodes(images) or "the publisher"}, the network or this host cannot keep up'


def _reliable(offer: Offer) -> bool:
    return offer.reliability == 'reliable'


def _elsewhere(around: Surroundings) -> str:
    if not around.elsewhere:
        return 'no other topic of images is published'
    found = 'images are published on ' + _some([
        f'{name} ({kind.rpartition("/")[2]})' for name, kind in around.elsewhere])
    if all(kind in VIDEO_TYPES for _, kind in around.elsewhere):
        found += f'; {_NO_VIDEO}'
    return found


def _nodes(offers: Sequence[Offer]) -> str:
    return _some(sorted({offer.node for offer in offers}))


def _profiles(offers: Sequence[Offer]) -> str:
    return _some([f'{offer.node} offers {offer.reliability}, {offer.durability}'
                  for offer in offers])


def _some(texts: Sequence[str]) -> str:
    more = len(texts) - _MOST
    return ', '.join(texts[:_MOST]) + (f' and {more} more' if more > 0 else '')
