"""Subjects of the measurement: networks and the ways in which processes run them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

MODEL, PEER, BARE = 'model', 'peer', 'bare'
"""Kinds of networks: a model file in our pipeline, a peer, and a model file run by its library."""

MULTITASK, DETECTION, SEGMENTATION = 'multitask', 'detection', 'segmentation'
SEQUENTIAL, PARALLEL = 'sequential', 'parallel'
"""One after the other in one process; at once in separate processes."""


@dataclass(frozen=True)
class Network:
    """A network to be opened by a process, to which it is passed as JSON."""

    kind: str = MODEL
    """`MODEL`, `PEER` or `BARE`."""
    path: str = ''
    """The model file; for a peer its exported file, if any."""
    peer: str = ''
    """Fields of a ``mtl_perception.benchmark.peers.Peer`` as JSON."""
    runtime: str = 'auto'
    device: str = 'auto'
    precision: str = 'auto'
    threads: int = 0
    """These four as in ``RuntimeOptions``."""
    tasks: tuple[str, ...] = ()
    """Its tasks: 'detection', 'segmentation' or both."""
    cache: str = ''
    """Folder for compiled models; '': the user's."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; `from_dict` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Network:
        """Return the network of the values of `to_dict`; TypeError for other values."""
        known = {item.name for item in fields(cls)}
        if not set(values) <= known:
            raise TypeError(f'unknown entries {sorted(set(values) - known)}')
        return cls(**{**values, 'tasks': tuple(values.get('tasks', ()))})


@dataclass(frozen=True)
class Subject:
    """Networks that process a frame together."""

    name: str
    """Unique in a benchmark, such as 'multitask, onnxruntime fp32'."""
    what: str
    """`MULTITASK`, `DETECTION`, `SEGMENTATION`, `SEQUENTIAL`, `PARALLEL` or a pair of peers."""
    networks: tuple[Network, ...]
    parallel: bool = False
    """Whether each network has its own process, all run at once; else one process has all."""

    @property
    def processes(self) -> tuple[tuple[Network, ...], ...]:
        """The networks of each process; subjects with equal ones may share the process."""
        return tuple((network,) for network in self.networks) if self.parallel else (
            self.networks,)
