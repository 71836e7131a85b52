"""Cost of a network: parameters and multiply-accumulate operations of each part."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class PartCost:
    """Cost of one part of a network for one image."""

    part: str
    parameters: int
    macs: int
    """Multiply-accumulate operations of convolutions and matrix products."""


def part_costs(network: nn.Module, input_size: tuple[int, int]) -> list[PartCost]:
    """Return the cost of each direct child of `network` at `input_size` (width, height)."""
    width, height = input_size
    counter = FlopCounterMode(display=False, depth=1)
    network.eval()
    with torch.no_grad(), counter:
        network(torch.zeros(1, 3, height, width))
    counts = counter.get_flop_counts()
    root = type(network).__name__
    return [PartCost(name, sum(p.numel() for p in child.parameters()),
                     sum(counts.get(f'{root}.{name}', {}).values()) // 2)
            for name, child in network.named_children()]
