"""
Signals in the first moments of a node's process.

Imports next to nothing, because Python answers SIGINT with a traceback until the first line of
ours has run.
"""

from __future__ import annotations

import signal

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def hold_signals() -> None:
    """Let signals that end the process wait until `process.run_node` looks after them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
