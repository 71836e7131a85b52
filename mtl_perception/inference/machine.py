"""
What a runtime would find on this machine, seen without loading its package.

A package of a runtime takes 10 to 40 MB of a process and 0.1 s of its start, so `auto` does not
load one only to find no GPU. This check may report a GPU that does not work, but misses none.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
import platform

CUDA_DRIVER = 'libcuda.so.1'
"""The library of NVIDIA's driver, which CUDA itself looks for by this name."""

_CPU_INFO = Path('/proc/cpuinfo')
_BF16_FLAGS = {'avx512f', 'avx_ne_convert'}
"""One of these has every x86 CPU on which OpenVINO computes in BF16: its precision_support.cpp."""


def has_cuda_driver() -> bool:
    """Return whether CUDA has its driver; without one no GPU of NVIDIA's can be used."""
    return loads(CUDA_DRIVER)


def may_compute_bf16(info: Path = _CPU_INFO) -> bool:
    """Return False where the CPU certainly does not compute in BF16; `info` is Linux's file."""
    if platform.machine() not in ('x86_64', 'AMD64'):
        return True
    try:
        lines = info.read_text(encoding='utf-8', errors='replace').splitlines()
    except OSError:
        return True
    for line in lines:
        name, _, flags = line.partition(':')
        if name.strip() == 'flags':
            return not _BF16_FLAGS.isdisjoint(flags.split())
    return True


def loads(library: str) -> bool:
    """Return whether the dynamic loader finds the library."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
