"""Diagnosis of the image input: problems with received or missing images, and remedies."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
import os
import re
import time

from rclpy.node import Node

from mtl_perception.nodes.image_input import ImageInput, Route
from mtl_perception.nodes.silence import explain_loss, explain_silence, look_around, Offer
from mtl_perception.nodes.stamps import StampMonitor, StampReport
from mtl_perception.transport import remedy

_LATELY = 10
"""Checks, one a second, over which losses count as recent."""

_TOLERATED = 0.05
"""Share of images that may be missing by their stamps: drivers skip some, too."""

_NEWS_AFTER = 10.0
"""Seconds after which a persisting problem is logged again."""

_CLOCK_STANDS = 2.0
"""Seconds after which a clock that does not advance is reported as stopped."""


@dataclass(frozen=True)
class InputReport:
    """The image topic as it is now."""

    topic: str
    publishers: int
    transport: str
    """'raw' or 'compressed'; empty: there is no subscription."""
    reliability: str
    """What the subscription asks for; empty: there is none."""
    lost: int | None
    """Images lost on the way since the node was activated; None while it is not."""
    stamps: StampReport
    troubles: tuple[str, ...]
    """What is wrong, a line each, the worst first."""
    news: tuple[str, ...]
    """Those of them that no report lately had: what is worth a line in a log."""


class InputHealth:
    """Monitors the images of a topic from activation on; all calls are made by one thread."""

    def __init__(self, node: Node, topic: str) -> None:
        """Store the name of the topic, not resolved yet."""
        self._node = node
        self._topic = node.resolve_topic_name(topic)
        self._stamps = StampMonitor()
        self._lost: deque[int] = deque([0], maxlen=_LATELY + 1)
        self._told: dict[str, float] = {}
        self._clock = 0
        self._clock_moved = time.monotonic()

    def age(self, stamp: int) -> float | None:
        """Return the seconds from a stamp (ns) to now by the node's clock; None: it has none."""
        return self._stamps.age(stamp, self._node.get_clock().now().nanoseconds)

    def interrupt(self) -> None:
        """Record that no images were received for a while because there were no subscribers."""
        self._stamps.interrupt()

    def look(self, images: ImageInput | None, silence: float | None) -> InputReport:
        """
        Return what can be seen, to be called once a second.

        `images` is None while the node is not active; `silence` are the seconds without an image
        where they are too many.
        """
        clock = self._clock_trouble()
        stamps = self._stamps.report()
        if images is None:
            return self._report(self._topic, None, None, stamps, [clock])
        topic = images.route.topic
        self._lost.append(images.lost)
        lately = self._lost[-1] - self._lost[0]
        troubles = []
        if silence is not None:
            around = look_around(self._node, topic, images.route.type)
            troubles.append(f'no image on {topic} for {silence:.1f} s: ' + explain_silence(
                around, images.route.reliability, lately, remedy(os.environ)))
        elif lately:
            troubles.append(
                f'{lately} images were lost on the way in the last {len(self._lost) - 1} s: '
                + explain_loss(self._image_offers(images), remedy(os.environ)))
        elif stamps.missing > max(2, _TOLERATED * stamps.expected):
            troubles.append(
                f'{stamps.missing} of {stamps.expected} images are missing by their stamps: lost '
                'on the way or not sent; ' + explain_loss(
                    self._image_offers(images), remedy(os.environ)))
        troubles += [stamps.trouble if silence is None else '', clock]
        return self._report(topic, images.route, images.lost, stamps, troubles)

    def _report(
            self, topic: str, route: Route | None, lost: int | None, stamps: StampReport,
            troubles: list[str]) -> InputReport:
        troubles = [trouble for trouble in troubles if trouble]
        now, news = time.monotonic(), []
        self._told = {
            kind: moment for kind, moment in self._told.items() if now - moment < _NEWS_AFTER}
        for trouble in troubles:
            # Numbers change from look to look.
            kind = re.sub(r'\d+', '', trouble)
            if kind not in self._told:
                self._told[kind] = now
                news.append(trouble)
        return InputReport(
            topic, self._node.count_publishers(topic), route.transport if route else '',
            route.reliability if route else '', lost, stamps, tuple(troubles), tuple(news))

    def _image_offers(self, images: ImageInput) -> list[Offer]:
        return look_around(self._node, images.route.topic, images.route.type).images

    def _clock_trouble(self) -> str:
        """Return what is wrong with a clock that does not run; the system's always does."""
        now, moment = self._node.get_clock().now().nanoseconds, time.monotonic()
        if now != self._clock:
            self._clock, self._clock_moved = now, moment
        if moment - self._clock_moved < _CLOCK_STANDS:
            return ''
        publishers = self._node.count_publishers('/clock')
        return ('use_sim_time is set, but /clock does not run'
                + (f', though it has {publishers} publisher(s)' if publishers else
                   ': it has no publisher'))
