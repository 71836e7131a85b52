"""
Removal of shared memory of killed processes.

Fast DDS removes the segment of a process at its normal exit, but not when it is killed: with our
profile each kill would leave 17 MB in use until a reboot.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
import re
import time

SHARED_MEMORY = Path('/dev/shm')

_LOCK = re.compile(r'(fastdds|fastrtps)_[0-9a-f]{16}_el')
"""The file beside a segment that its process keeps locked, for Fast DDS 3 and 2."""

_SETTLED = 10.0
"""Seconds until a lock is checked: a process creates the file before locking it."""


def remove_dead_segments(folder: Path = SHARED_MEMORY) -> int:
    """
    Remove this user's segments of ended processes; return the number of freed bytes.

    They are detected by the locks, as in `fastdds shm clean`: the system releases these at the end
    of a process in any case.
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
            pass  # in use, or already removed by another process
        finally:
            os.close(handle)
    return freed
