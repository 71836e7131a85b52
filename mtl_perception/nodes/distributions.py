"""What rclpy offers differently from distribution to distribution."""

from __future__ import annotations

from rclpy.subscription import Subscription

try:
    from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks, UnsupportedEventTypeError

CALLBACKS_GET_INFO = hasattr(Subscription, 'CallbackType')
"""Whether callbacks get the information that comes with a message; those of Humble do not."""

__all__ = ['CALLBACKS_GET_INFO', 'SubscriptionEventCallbacks', 'UnsupportedEventTypeError']
