"""
Signals in the first moments of a node's process.

Imports next to nothing, because Python answers SIGINT with a traceback until the first line of
ours has run.
"""

from __future__ import annotations

import signal

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def hold_signals() -> None:
    """Block signals that end the process until `process.run_node` handles them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
