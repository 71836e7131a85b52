"""The subscription to a camera's images, which follows what their publishers offer."""

from __future__ import annotations

from collections.abc import Callable
import contextlib
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from mtl_perception.nodes import qos
from mtl_perception.nodes.distributions import (
    CALLBACKS_GET_INFO,
    SubscriptionEventCallbacks,
    UnsupportedEventTypeError,
)

IMAGE_TYPE = 'sensor_msgs/msg/Image'
COMPRESSED_TYPE = 'sensor_msgs/msg/CompressedImage'

_KINDS = {'raw': (Image, IMAGE_TYPE), 'compressed': (CompressedImage, COMPRESSED_TYPE)}
"""Transport -> class and name of its messages."""


@dataclass(frozen=True)
class Route:
    """Topic, type and transport of images."""

    topic: str
    transport: str
    """'raw' or 'compressed'."""
    reliability: str
    """'best_effort' or 'reliable'."""

    @property
    def type(self) -> str:
        """Name of the type of the messages."""
        return _KINDS[self.transport][1]


class ImageInput:
    """
    Receives the images of a topic, raw or compressed.

    Compressed images are those of TOPIC/compressed, as image_transport names it, or of the topic
    itself where it carries such. Of 'auto' transport, raw images are taken where they are
    published, else compressed ones; what has no publisher is waited for as raw images.

    Of 'auto' reliability, it is reliable while all publishers of the topic are, since an image
    that is larger than its sender's shared memory is lost otherwise, and best effort while one
    publisher offers no more, since the two would not connect otherwise. Without a publisher it is
    reliable: the middleware reports a best-effort publisher that appears then, which is answered
    at once. Everything here runs in the executor's thread.
    """

    def __init__(
            self, node: Node, topic: str, transport: str, reliability: str, depth: int,
            on_image: Callable[[Any], None]) -> None:
        """
        Subscribe to a topic, given as a name that is not resolved yet.

        `transport` is 'auto', 'raw' or 'compressed', `reliability` 'auto', 'best_effort' or
        'reliable', `depth` in messages; `on_image` gets Image or CompressedImage messages.
        """
        self._node = node
        self._transport = transport
        self._wanted = reliability
        self._depth = depth
        self._on_image = on_image
        self._topic = node.resolve_topic_name(topic)
        self._told_lost = 0
        self._gaps = SequenceGaps()
        self._alone = True
        self.route = Route(self._topic, 'raw', 'reliable')
        """Where the subscription is at present, and what it asks for."""
        self.route = self._fitting()
        self._subscription: Subscription | None = self._subscribe()

    @property
    def is_paused(self) -> bool:
        """Whether no images are received until `resume`."""
        return self._subscription is None

    @property
    def lost(self) -> int:
        """
        Images lost on the way so far.

        By the gaps between the sequence numbers of those that came, which are exact but begin with
        the first, or by the count of the middleware, which has those before it but not those that
        the publisher or the queue of this subscription gave up: whichever is more.
        """
        return max(self._told_lost, self._gaps.total)

    def follow(self) -> None:
        """Check the publishers, and subscribe again where their offer has changed."""
        route = self._fitting()
        if route == self.route:
            return
        moves = (route.topic, route.transport) != (self.route.topic, self.route.transport)
        self.route = route
        if self._subscription is None:
            return
        if moves:
            self.pause()
            self.resume()
        else:
            former, self._subscription = self._subscription, self._subscribe()
            self._node.destroy_subscription(former)
        self._node.get_logger().info(
            f'{route.topic} is received {route.transport}, {route.reliability} from now on')

    def publishers(self) -> int:
        """Return the number of publishers of the topics, of any type."""
        return sum(self._node.count_publishers(topic) for topic in self._topics())

    def pause(self) -> None:
        """Unsubscribe until `resume`, so that images are not even sent here."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def resume(self) -> None:
        """
        Subscribe again; what was sent meanwhile does not count as lost.

        Where that cannot be yet, `is_paused` stays true.
        """
        if self._subscription is None:
            self._gaps.forget()
            self.route = self._fitting()
            # RCLError is a RuntimeError, and has no public name in Humble. A participant cannot
            # have two types of one topic, and the executor may hold the former subscription yet.
            with contextlib.suppress(RuntimeError):
                self._subscription = self._subscribe()

    def close(self) -> None:
        """Unsubscribe, finally."""
        self.pause()

    def _topics(self) -> list[str]:
        """Return the topics that may carry the images."""
        compressed = f'{self._topic}/compressed'
        return {'raw': [self._topic], 'compressed': [compressed, self._topic],
                'auto': [self._topic, compressed]}[self._transport]

    def _fitting(self) -> Route:
        """Return the route that suits the current publishers."""
        offers: dict[tuple[str, str], list[ReliabilityPolicy]] = {}
        for topic in self._topics():
            for info in self._node.get_publishers_info_by_topic(topic):
                for transport, (_, kind) in _KINDS.items():
                    if info.topic_type == kind and self._transport in ('auto', transport):
                        offers.setdefault((topic, transport), []).append(
                            info.qos_profile.reliability)
        if offers:
            # Raw ones first, then as `_topics` has them.
            topic, transport = min(offers, key=lambda offer: offer[1] != 'raw')
        else:
            topic = self._topics()[0]
            transport = 'raw' if self._transport == 'auto' else self._transport
        offered = offers.get((topic, transport), [])
        self._alone = len(offered) == 1
        reliability = self._wanted
        if reliability == 'auto':
            reliability = 'best_effort' if ReliabilityPolicy.BEST_EFFORT in offered else 'reliable'
        return Route(topic, transport, reliability)

    def _subscribe(self) -> Subscription:
        profile = qos.stream(self.route.reliability, self._depth)
        kind, _ = _KINDS[self.route.transport]
        callback = self._on_image_with_info if CALLBACKS_GET_INFO else self._on_image
        events = SubscriptionEventCallbacks(
            # Otherwise rclpy's own callback logs the incompatibility.
            incompatible_qos=self._on_incompatible if self._wanted == 'auto' else None,
            message_lost=self._on_lost,
            # Each callback costs its share of every spin; silence is explained elsewhere.
            use_default_callbacks=self._wanted != 'auto')
        try:
            return self._node.create_subscription(
                kind, self.route.topic, callback, profile, event_callbacks=events)
        except UnsupportedEventTypeError:
            # Some middlewares know neither; `follow` is called now and then as well.
            return self._node.create_subscription(kind, self.route.topic, callback, profile)

    def _on_incompatible(self, _: Any) -> None:
        # Not here: the subscription that raised this event would be destroyed.
        if (executor := self._node.executor) is not None:
            executor.create_task(self.follow)

    def _on_lost(self, event: Any) -> None:
        self._told_lost += event.total_count_change

    def _on_image_with_info(self, message: Any, info: Any) -> None:
        number = info.get('publication_sequence_number')
        gid = info.get('publisher_gid')  # not in Jazzy: numbers of several publishers mix there
        if number is not None and (gid or self._alone):
            self._gaps.see(gid['data'] if gid else b'', number)
        self._on_image(message)


class SequenceGaps:
    """Counts the messages missing between received ones, for each publisher separately."""

    _MOST = 64
    """Most publishers that are tracked: they appear and disappear."""

    def __init__(self) -> None:
        self._latest: dict[bytes, int] = {}
        self.total = 0

    def see(self, publisher: bytes, number: int) -> None:
        """Record the sequence number of a message: 1, 2, 3, ... for each publisher."""
        latest = self._latest.pop(publisher, number - 1)
        # A lower number is that of a publisher that began anew under the same id.
        self.total += max(0, number - latest - 1)
        self._latest[publisher] = number
        if len(self._latest) > self._MOST:
            del self._latest[next(iter(self._latest))]

    def forget(self) -> None:
        """Begin anew with the next message of each publisher; the total stays."""
        self._latest.clear()
