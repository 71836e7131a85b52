"""The subscription to the images, whose quality of service follows that of their publishers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import Image

from mtl_perception.nodes import qos
from mtl_perception.nodes.distributions import (
    CALLBACKS_GET_INFO,
    SubscriptionEventCallbacks,
    UnsupportedEventTypeError,
)

IMAGE_TYPE = 'sensor_msgs/msg/Image'


class ImageInput:
    """
    Receives images of the topic `image`.

    Of 'auto' reliability, it is reliable while all publishers of the topic are, since an image
    that is larger than its sender's shared memory is lost otherwise, and best effort while one
    publisher offers no more, since the two would not connect otherwise. Without a publisher it is
    reliable: the middleware tells of a best-effort publisher that comes then, which is answered at
    once. Everything here runs in the executor's thread.
    """

    def __init__(
            self, node: Node, reliability: str, depth: int,
            on_image: Callable[[Image], None]) -> None:
        """Subscribe; `reliability` is 'auto', 'best_effort' or 'reliable', `depth` in messages."""
        self._node = node
        self._wanted = reliability
        self._depth = depth
        self._on_image = on_image
        self._topic = node.resolve_topic_name('image')
        self._told_lost = 0
        self._gaps = SequenceGaps()
        self._alone = True
        self.reliability = self._fitting()
        """What the subscription asks for at present: 'best_effort' or 'reliable'."""
        self._subscription: Subscription | None = self._subscribe()

    @property
    def is_paused(self) -> bool:
        """Whether no images are received for the moment."""
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
        """Look at the publishers and subscribe anew where that calls for another reliability."""
        reliability = self._fitting()
        if reliability == self.reliability:
            return
        self.reliability = reliability
        if self._subscription is None:
            return
        former, self._subscription = self._subscription, self._subscribe()
        self._node.destroy_subscription(former)
        self._node.get_logger().info(f'{self._topic} is received {reliability} from now on')

    def publishers(self) -> int:
        """Return the number of publishers of the topic, of whatever type."""
        return self._node.count_publishers(self._topic)

    def pause(self) -> None:
        """Unsubscribe until `resume`, so that images are not even sent here."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def resume(self) -> None:
        """Subscribe again; what was sent meanwhile does not count as lost."""
        if self._subscription is None:
            self._gaps.forget()
            self.reliability = self._fitting()
            self._subscription = self._subscribe()

    def close(self) -> None:
        """Unsubscribe for good."""
        self.pause()

    def _fitting(self) -> str:
        """Return the reliability to ask for among the publishers of now."""
        offered = [
            info.qos_profile.reliability
            for info in self._node.get_publishers_info_by_topic(self._topic)
            if info.topic_type == IMAGE_TYPE]
        self._alone = len(offered) == 1
        if self._wanted != 'auto':
            return self._wanted
        return 'best_effort' if ReliabilityPolicy.BEST_EFFORT in offered else 'reliable'

    def _subscribe(self) -> Subscription:
        profile = qos.stream(self.reliability, self._depth)
        callback = self._on_image_with_info if CALLBACKS_GET_INFO else self._on_image
        events = SubscriptionEventCallbacks(
            # Otherwise rclpy's own callback logs the incompatibility.
            incompatible_qos=self._on_incompatible if self._wanted == 'auto' else None,
            message_lost=self._on_lost,
            # Each callback costs its share of every spin; silence is explained elsewhere.
            use_default_callbacks=self._wanted != 'auto')
        try:
            return self._node.create_subscription(
                Image, 'image', callback, profile, event_callbacks=events)
        except UnsupportedEventTypeError:
            # Some middlewares know neither; `follow` is called now and then as well.
            return self._node.create_subscription(Image, 'image', callback, profile)

    def _on_incompatible(self, _: Any) -> None:
        # Not from here: the subscription that tells this would be destroyed.
        if (executor := self._node.executor) is not None:
            executor.create_task(self.follow)

    def _on_lost(self, event: Any) -> None:
        self._told_lost += event.total_count_change

    def _on_image_with_info(self, message: Image, info: Any) -> None:
        number = info.get('publication_sequence_number')
        gid = info.get('publisher_gid')  # not in Jazzy: numbers of several publishers mix there
        if number is not None and (gid or self._alone):
            self._gaps.see(gid['data'] if gid else b'', number)
        self._on_image(message)


class SequenceGaps:
    """Counts the messages that lack between those that come, for each publisher by itself."""

    _MOST = 64
    """Publishers that are remembered: they come and go."""

    def __init__(self) -> None:
        self._latest: dict[bytes, int] = {}
        self.total = 0

    def see(self, publisher: bytes, number: int) -> None:
        """Take the number of a message: 1, 2, 3, ... by each publisher as it sends them."""
        latest = self._latest.pop(publisher, number - 1)
        # A lower number is that of a publisher that began anew under the same id.
        self.total += max(0, number - latest - 1)
        self._latest[publisher] = number
        if len(self._latest) > self._MOST:
            del self._latest[next(iter(self._latest))]

    def forget(self) -> None:
        """Begin anew with the next message of each publisher; the total stays."""
        self._latest.clear()
