"""
Several processes that train one network, as `torchrun` starts them.

Every step's pictures are dealt out to the processes. Losses are sums over pictures divided by
counts, so sums stay a process's own and counts are added up over all of them: N processes with a
share of the pictures each get the gradients of one process with all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
from dataclasses import dataclass
import os

import torch
from torch import distributed, Tensor

from mtl_perception.errors import ConfigError


@dataclass(frozen=True)
class World:
    """The processes of a run, and which of them this is."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Number of this process on its machine: the CUDA device that it takes."""

    @property
    def is_first(self) -> bool:
        """Whether this is the process that reports, evaluates and saves."""
        return self.rank == 0

    def sum(self, value: Tensor) -> Tensor:
        """Return the sum of `value` over all processes, without a graph."""
        if self.size == 1:
            return value.detach()
        total = value.detach().clone()
        distributed.all_reduce(total)
        return total

    def any(self, flag: bool, device: torch.device) -> bool:
        """Return whether `flag` is set in any process."""
        if self.size == 1:
            return flag
        return bool(self.sum(torch.tensor(float(flag), device=device)) > 0)

    def wait(self) -> None:
        """Return when all processes have come here."""
        if self.size > 1:
            distributed.barrier()

    def share(self, items: list) -> list:
        """Return this process's share of `items`, every `size`-th of them."""
        return items[self.rank::self.size]


@contextlib.contextmanager
def joined_world(cuda: bool) -> Iterator[World]:
    """
    Join the processes that torchrun started (it says so in the environment); else be alone.

    Raises ConfigError where the environment is not what torchrun sets.
    """
    if 'WORLD_SIZE' not in os.environ:
        yield World()
        return
    try:
        world = World(*(int(os.environ[name]) for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK')))
    except (KeyError, ValueError):
        raise ConfigError('WORLD_SIZE is set, but RANK and LOCAL_RANK are not as torchrun sets '
                          'them; start with torchrun, or unset WORLD_SIZE') from None
    if world.size == 1:
        yield world
        return
    if cuda:
        torch.cuda.set_device(world.local_rank)
    distributed.init_process_group('nccl' if cuda else 'gloo')
    try:
        yield world
    finally:
        distributed.destroy_process_group()
