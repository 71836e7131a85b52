"""What is measured: networks, each opened by a process, and the ways in which they are asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

MODEL, PEER, BARE = 'model', 'peer', 'bare'
"""Kinds of networks: a model file in our pipeline, a peer, and a model file in its library's own
loop."""

MULTITASK, DETECTION, SEGMENTATION = 'multitask', 'detection', 'segmentation'
SEQUENTIAL, PARALLEL = 'sequential', 'parallel'
"""One after the other in one process; at once in a process each."""


@dataclass(frozen=True)
class Network:
    """What a process opens; JSON carries it there."""

    kind: str = MODEL
    """`MODEL`, `PEER` or `BARE`."""
    path: str = ''
    """The model file; of a peer, its exported file where it has one."""
    peer: str = ''
    """Fields of a ``mtl_perception.benchmark.peers.Peer`` as JSON."""
    runtime: str = 'auto'
    device: str = 'auto'
    precision: str = 'auto'
    threads: int = 0
    """These four as in ``RuntimeOptions``."""
    tasks: tuple[str, ...] = ()
    """What it answers: some of 'detection' and 'segmentation'."""
    cache: str = ''
    """Folder for what is compiled for this machine; '': the user's."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; `from_dict` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Network:
        """Return the network that `to_dict` has written; TypeError for other values."""
        known = {item.name for item in fields(cls)}
        if not set(values) <= known:
            raise TypeError(f'unknown entries {sorted(set(values) - known)}')
        return cls(**{**values, 'tasks': tuple(values.get('tasks', ()))})


@dataclass(frozen=True)
class Subject:
    """Networks that answer a frame together."""

    name: str
    """Unique in a benchmark, such as 'multitask, onnxruntime fp32'."""
    what: str
    """`MULTITASK`, `DETECTION`, `SEGMENTATION`, `SEQUENTIAL`, `PARALLEL` or a peers' word."""
    networks: tuple[Network, ...]
    parallel: bool = False
    """Each network in a process of its own, all asked at once; else one process has them all."""

    @property
    def processes(self) -> tuple[tuple[Network, ...], ...]:
        """The networks of each process; subjects with equal ones may share the process."""
        return tuple((network,) for network in self.networks) if self.parallel else (
            self.networks,)
