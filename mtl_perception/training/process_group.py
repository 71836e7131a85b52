"""
The processes that train one network together, and what they share.

Every step's images are divided among the processes. Losses are sums over images divided by
counts: sums stay within a process and counts are added up over all of them, so N processes with a
share of the images each get the gradients of one process with all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import distributed, Tensor


@dataclass(frozen=True)
class ProcessGroup:
    """The rank of this process and the number of processes."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that reports, evaluates and saves."""
        return self.rank == 0

    def sum(self, value: Tensor) -> Tensor:
        """Return the sum of `value` over all processes, without a graph."""
        total = value.detach()
        if self.size > 1:
            total = total.clone()
            distributed.all_reduce(total)
        return total

    def any(self, flag: bool, device: torch.device) -> bool:
        """Return whether `flag` is set in any process."""
        if self.size == 1:
            return flag
        return bool(self.sum(torch.tensor(float(flag), device=device)) > 0)

    def share(self, items: list) -> list:
        """Return this process's share of `items`, every `size`-th of them."""
        return items[self.rank::self.size]

    def smallest_share(self, count: int) -> int:
        """Return the number of items in the smallest share of `count` items."""
        return count // self.size


ALONE = ProcessGroup()
"""The group of a run in one process."""
