"""
Detection of GPU driver and BF16 support without loading a runtime's package.

A runtime's package takes 10 to 40 MB of memory and 0.1 s of start time, so `auto` does not load
one just to find no GPU. The checks may report a GPU that does not work, but miss none.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
import platform

CUDA_DRIVER = 'libcuda.so.1'
"""The library of NVIDIA's driver, which CUDA loads by this name."""

_CPU_INFO = Path('/proc/cpuinfo')
_BF16_FLAGS = {'avx512f', 'avx_ne_convert'}
"""Every x86 CPU on which OpenVINO computes in BF16 has one of these: its precision_support.cpp."""


def has_cuda_driver() -> bool:
    """Return whether NVIDIA's CUDA driver is installed."""
    return loads(CUDA_DRIVER)


def may_compute_bf16(info: Path = _CPU_INFO) -> bool:
    """Return False if the CPU certainly has no BF16 support; `info` is Linux's cpuinfo file."""
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
