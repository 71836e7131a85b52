"""
Memory of a process that handles large arrays over and over.

glibc gives a large freed block back to the system at once and asks for it anew at the next frame
or step, and the system then clears it page by page: that took most of the time of receiving an
image and an eighth of a training step's.
"""

from __future__ import annotations

import ctypes

# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -2, -3, -4
_MMAP_THRESHOLD_MAX = 4 * 1024 * 1024 * ctypes.sizeof(ctypes.c_long)
_MIB = 1024 * 1024
_NEVER = -1


def give_back_freed_memory() -> None:
    """
    Give what this process has freed back to the system, once: after a start, not between frames.

    What loading a model leaves behind would otherwise stay. Does nothing where the C library is
    not glibc.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        return
    trim.argtypes = [ctypes.c_size_t]
    trim(0)


def keep_freed_memory(everything: bool = False) -> None:
    """
    Keep what this process frees for its next use: up to 256 MiB of it, in blocks up to 32 MiB.

    With `everything` there is no limit, for a process that may have the machine's memory. Does
    nothing where the C library is not glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD_MAX)
    mallopt(_M_TRIM_THRESHOLD, _NEVER if everything else 256 * _MIB)
    mallopt(_M_TOP_PAD, 16 * _MIB)
    if everything:
        mallopt(_M_MMAP_MAX, 0)
