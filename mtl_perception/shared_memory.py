"""
Shared memory that killed processes left behind.

Fast DDS removes the segment of a process when that ends in good order, and nobody does when it is
killed: with our profile that is 17 MB of the machine's memory each time, until it is switched off.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
import re
import time

SHARED_MEMORY = Path('/dev/shm')

_LOCK = re.compile(r'(fastdds|fastrtps)_[0-9a-f]{16}_el')
"""The file beside a segment that its process holds locked, of Fast DDS 3 and 2."""

_SETTLED = 10.0
"""Seconds until a lock is checked: a process makes the file before it locks it."""


def remove_dead_segments(folder: Path = SHARED_MEMORY) -> int:
    """
    Remove this user's segments whose processes are gone; return the bytes that this set free.

    As `fastdds shm clean` does, by the locks: the system opens them when a process ends, however
    it does.
    """
    freed = 0
    try:
        locks = [path for path in folder.iterdir() if _LOCK.fullmatch(path.name)]
    except OSError:
        return 0
    for lock in locks:
        segment = lock.with_name(lock.name.removesuffix('_el'))
        try:
            status = lock.lstat()
            if status.st_uid != os.geteuid() or time.time() - status.st_mtime < _SETTLED:
                continue
            handle = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            size = segment.lstat().st_size
            segment.unlink()
            freed += size
            lock.unlink()
        except OSError:
            pass  # somebody's who lives, or who was quicker
        finally:
            os.close(handle)
    return freed
