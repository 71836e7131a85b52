"""Description of the machine, and conditions that affect its times."""

from __future__ import annotations

from collections.abc import Iterable
import contextlib
from importlib import metadata
import os
from pathlib import Path
import platform
import time
from typing import Any

from mtl_perception.inference.runtime import usable_cores

_FLAGS = ('sse4_2', 'avx', 'avx2', 'fma', 'f16c', 'avx_vnni', 'avx512', 'amx', 'bf16', 'neon',
          'asimd', 'asimddp', 'i8mm', 'sve', 'fphp', 'asimdhp')
"""Prefixes of the flags of /proc/cpuinfo that affect the speed of networks."""

_PACKAGES = ('numpy', 'opencv-python', 'opencv-python-headless', 'onnxruntime', 'onnxruntime-gpu',
             'openvino', 'tensorrt', 'tensorrt-rtx-cu13', 'torch', 'torchvision')

OTHERS_AT_MOST = 0.10
"""Share of the cores used by other processes above which times are not reliable."""

_TICKS = 'SC_CLK_TCK'


def describe() -> dict[str, Any]:
    """Return facts about CPU, memory, GPU, governor and versions; None if unknown."""
    memory = _pairs(_read('/proc/meminfo'))
    return {
        **_cpu(), 'cores': usable_cores(), 'cores_of_machine': os.cpu_count(),
        'cpu_quota': cpu_quota(),
        'memory_bytes': _kilobytes(memory.get('MemTotal')),
        'memory_available_bytes': _kilobytes(memory.get('MemAvailable')),
        'governor': _frequency('scaling_governor'),
        'frequency_khz': _number(_frequency('scaling_cur_freq')),
        'frequency_max_khz': _number(_frequency('cpuinfo_max_freq')),
        'gpu': gpu(), 'system': platform.platform(), 'architecture': platform.machine(),
        'versions': {'python': platform.python_version(), **versions()}}


def versions() -> dict[str, str]:
    """Return the versions of the relevant packages without loading them."""
    found = {}
    for name in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def gpu() -> str | None:
    """Return the name of the first NVIDIA GPU, or of a Jetson; None if there is none."""
    for path in sorted(Path('/proc/driver/nvidia/gpus').glob('*/information')):
        model = _pairs(_read(path)).get('Model')
        if model:
            return model
    board = _read('/proc/device-tree/model').strip('\0\n ')
    return board if 'jetson' in board.lower() else None


def cpu_quota() -> float | None:
    """Return the number of cores allowed by the cgroup (v2 or v1); None: no limit."""
    parts = _read('/sys/fs/cgroup/cpu.max').split()
    if len(parts) != 2:
        parts = [_read(f'/sys/fs/cgroup/cpu/cpu.cfs_{name}_us').strip()
                 for name in ('quota', 'period')]
    quota, period = (_number(part) for part in parts)
    return quota / period if quota and period and quota > 0 else None


class OtherWork:
    """
    Share of this process's cores used by other processes during a measurement.

    Other cores of the machine, idle or not, are not counted.
    """

    def __init__(self, pids: Iterable[int]) -> None:
        """Start; `pids` are the other processes of the benchmark."""
        self._pids = (os.getpid(), *pids)
        self._begun = time.monotonic()
        self._busy, self._own = _busy_seconds(), self._own_seconds()

    def share(self) -> float | None:
        """Return the share of the cores' time since the start, 0..1; None: unknown."""
        busy = _busy_seconds()
        if busy is None or self._busy is None:
            return None
        # Processes that have ended would be missing: call this before they end.
        own = self._own_seconds() - self._own
        elapsed = (time.monotonic() - self._begun) * usable_cores()
        return min(max((busy - self._busy - own) / elapsed, 0.0), 1.0) if elapsed > 0 else None

    def _own_seconds(self) -> float:
        return sum(map(_cpu_seconds, self._pids))


def load() -> list[float]:
    """Return the machine's load averages over 1, 5 and 15 minutes."""
    with contextlib.suppress(OSError):
        return list(os.getloadavg())
    return []


def warnings(facts: dict[str, Any], others: dict[str, float | None]) -> list[str]:
    """
    Return the conditions that make the times unreliable, one line each.

    `facts` are those of `describe`; `others` maps a measurement to its ``OtherWork.share``.
    """
    found = []
    busy = {name: share for name, share in others.items()
            if share is not None and share > OTHERS_AT_MOST}
    if busy:
        worst = max(busy.values())
        found.append(f'other processes took up to {worst:.0%} of the cores during '
                     f'{", ".join(busy)}: the times are not reliable; repeat on an idle machine')
    if facts['governor'] == 'powersave':
        found.append('the CPU governor is powersave; set it to performance')
    if facts['cores'] == 1:
        found.append('one core only: two networks at once share it')
    quota = facts['cpu_quota']
    if quota is not None and quota < facts['cores']:
        found.append(f'the cgroup limits this process to {quota:g} of {facts["cores"]} cores and '
                        f'stops it when they are used up')
    return found


def _busy_seconds() -> float | None:
    """Return the busy seconds of this process's cores since the machine's start."""
    cores = os.sched_getaffinity(0) if hasattr(os, 'sched_getaffinity') else set()
    total = None
    for line in _read('/proc/stat').splitlines():
        name, *values = line.split()
        if name[:3] != 'cpu' or not name[3:].isdigit() or int(name[3:]) not in cores:
            continue
        # user nice system idle iowait irq softirq steal
        ticks = [int(value) for value in values[:8]]
        total = (total or 0) + sum(ticks) - ticks[3] - ticks[4]
    return None if total is None else total / os.sysconf(_TICKS)


def _cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and its ended children; 0 if it has ended."""
    # `pid (name) state ...`, where the name may contain any character.
    parts = _read(f'/proc/{pid}/stat').rpartition(')')[2].split()
    return sum(map(int, parts[11:15])) / os.sysconf(_TICKS) if len(parts) > 15 else 0.0


def _cpu() -> dict[str, Any]:
    text = _read('/proc/cpuinfo')
    first = _pairs(text.partition('\n\n')[0])
    flags = (first.get('flags') or first.get('Features') or '').split()
    name = first.get('model name') or _read('/proc/device-tree/model').strip('\0\n ') or None
    return {'cpu': name, 'flags': sorted(
        flag for flag in flags if flag.startswith(_FLAGS) or 'bf16' in flag or 'vnni' in flag)}


def _frequency(name: str) -> str | None:
    return _read(f'/sys/devices/system/cpu/cpu0/cpufreq/{name}').strip() or None


def _pairs(text: str) -> dict[str, str]:
    """Return the lines `name : value` of a text."""
    pairs = (line.partition(':') for line in text.splitlines())
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}


def _kilobytes(text: str | None) -> int | None:
    number = _number((text or '').partition(' ')[0])
    return None if number is None else number * 1024


def _number(text: str | None) -> int | None:
    try:
        return int(text or '')
    except ValueError:
        return None


def _read(path: str | Path) -> str:
    """Return the text of a system file; '' if it is missing."""
    try:
        return Path(path).read_text(encoding='utf-8', errors='replace')
    except OSError:
        return ''
