"""
Settings of glibc's malloc for a process that repeatedly handles large arrays.

glibc returns large freed blocks to the system at once and allocates them again for the next frame
or step, and the system then clears them page by page: this took most of the time of receiving an
image and an eighth of that of a training step.
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
    Return freed memory to the system, once after a start, not between frames.

    Memory freed after loading a model would otherwise be kept. Does nothing if the C library is
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
    Keep freed memory for reuse: up to 256 MiB, in blocks up to 32 MiB.

    With `everything` there is no limit, for a process that may use all memory of the machine. Does
    nothing if the C library is not glibc.
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
