"""The quality of service of the nodes' topics."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy


def stream(reliability: str, depth: int) -> QoSProfile:
    """Return the profile of a stream: 'best_effort' or 'reliable', the last `depth` messages."""
    return QoSProfile(
        reliability=ReliabilityPolicy[reliability.upper()], history=HistoryPolicy.KEEP_LAST,
        depth=depth)


RESULTS = stream('reliable', 5)
"""Serves every subscriber; a slow one loses the older results."""

LATCHED = QoSProfile(
    reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL,
    history=HistoryPolicy.KEEP_LAST, depth=1)
"""Later subscribers receive the last message."""
