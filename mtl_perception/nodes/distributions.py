"""What rclpy offers differently from distribution to distribution."""

from __future__ import annotations

from collections.abc import Callable
import inspect
from typing import Any

from rclpy.subscription import Subscription

try:
    from rclpy.event_handler import (
        PublisherEventCallbacks,
        SubscriptionEventCallbacks,
        UnsupportedEventTypeError,
    )
except ImportError:  # Humble
    from rclpy.qos_event import (
        PublisherEventCallbacks,
        SubscriptionEventCallbacks,
        UnsupportedEventTypeError,
    )

CALLBACKS_GET_INFO = hasattr(Subscription, 'CallbackType')
"""Whether callbacks receive the information about a message; those of Humble do not."""


def matched_callbacks(on_change: Callable[[], None]) -> PublisherEventCallbacks | None:
    """
    Return the event callbacks of a publisher for a subscriber that appears or disappears.

    None where rclpy does not know of that, as in Humble.
    """
    known: Any = PublisherEventCallbacks
    if 'matched' not in inspect.signature(known).parameters:
        return None
    callbacks: PublisherEventCallbacks = known(matched=lambda _: on_change())
    return callbacks


__all__ = [
    'CALLBACKS_GET_INFO',
    'SubscriptionEventCallbacks',
    'UnsupportedEventTypeError',
    'matched_callbacks',
]
