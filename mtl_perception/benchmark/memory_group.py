"""
Control groups of Linux (cgroup v2) that limit the memory of several processes together.

Interface: https://docs.kernel.org/admin-guide/cgroup-v2.html. A group can be created below one
that is delegated to this user (systemd does this for a user's services and scopes) and passes the
controller `memory` on to its children. A group with processes cannot start to do so, so the
ancestors of this process's group are tried too. Existing groups are not changed.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
import subprocess
import sys
import time
from types import TracebackType

_MOUNTS, _OWN = Path('/proc/self/mountinfo'), Path('/proc/self/cgroup')
_PROCESSES = 'cgroup.procs'


class MemoryGroup:
    """A group with a memory limit and without swap; removed at the end of the `with` block."""

    def __init__(self, parent: Path, limit_bytes: int) -> None:
        """Create the group below the group `parent`; OSError if that is not permitted."""
        self._folder = parent / f'mtl_benchmark.{os.getpid()}.{time.monotonic_ns()}'
        self._folder.mkdir()
        try:
            (self._folder / 'memory.max').write_text(str(limit_bytes))
            # Without swap accounting this file is missing, and swap is not charged.
            with contextlib.suppress(FileNotFoundError):
                (self._folder / 'memory.swap.max').write_text('0')
        except OSError:
            self._folder.rmdir()
            raise

    def __enter__(self) -> MemoryGroup:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        # The kernel releases killed processes with a delay.
        for _ in range(100):
            with contextlib.suppress(OSError):
                self._folder.rmdir()
                return
            time.sleep(0.02)

    def add(self, pid: int) -> None:
        """Move a process into the group; memory allocated earlier is not counted."""
        (self._folder / _PROCESSES).write_text(str(pid))


def parent_group() -> Path | None:
    """Return a group below which `MemoryGroup` works, tried with a process, or None."""
    folder = _own_folder()
    if folder is None:
        return None
    mount, own = folder
    for parent in (own, *own.parents):
        if not parent.is_relative_to(mount):
            return None
        with contextlib.suppress(OSError):
            if 'memory' not in (parent / 'cgroup.subtree_control').read_text().split():
                continue
            with MemoryGroup(parent, 1 << 30) as group, subprocess.Popen(
                    [sys.executable, '-c', 'input()'], stdin=subprocess.PIPE,
                    stderr=subprocess.DEVNULL) as probe:
                try:
                    group.add(probe.pid)
                    return parent
                finally:
                    probe.kill()
    return None


def _own_folder() -> tuple[Path, Path] | None:
    """Return the mount point of cgroup v2, and the folder of this process's group."""
    try:
        lines = _MOUNTS.read_text(encoding='utf-8').splitlines()
        groups = _OWN.read_text(encoding='utf-8').splitlines()
    except OSError:
        return None
    # Optional fields end with a hyphen, followed by the type of the file system.
    mounts = [line.split()[4] for line in lines if ' - cgroup2 ' in line]
    own = [line[3:] for line in groups if line.startswith('0::')]
    if not (mounts and own):
        return None
    mount = Path(mounts[0])
    return mount, mount / own[0].lstrip('/')
