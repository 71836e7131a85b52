"""
The end of a node together with the launch that started it, however that ends.

`ros2 launch` ends its nodes when it is asked to end by Ctrl-C. Killed, or asked by SIGTERM, it
leaves them behind; so the kernel is asked to end a node when its parent is gone.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
import signal

LAUNCH_PID = 'MTL_LAUNCH_PID'
"""Environment variable with the process id of the launch; who starts a node by hand has none."""

# From Linux's prctl.h.
_PR_SET_PDEATHSIG = 1


def end_with_launch() -> bool:
    """
    Request SIGTERM for the end of the launch that started this process.

    Returns False where it has ended already. The variable goes out of the environment: processes
    that this one starts are its own matter.
    """
    text = os.environ.pop(LAUNCH_PID, '')
    if not text.isdigit():
        return True
    try:
        # Sent when the thread that started this process ends: launch's main thread.
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    except (AttributeError, OSError):
        return True
    return _is_ancestor(int(text))


def _is_ancestor(pid: int) -> bool:
    """Return whether a process is above this one; a launch prefix may stand between the two."""
    above = os.getppid()
    while above != pid:
        try:
            # `pid (name) state parent`, where the name may hold anything.
            above = int(Path(f'/proc/{above}/stat').read_text(
                encoding='utf-8', errors='replace').rpartition(')')[2].split()[1])
        except (OSError, ValueError, IndexError):
            return False
        if above <= 1:
            return pid == above
    return True
