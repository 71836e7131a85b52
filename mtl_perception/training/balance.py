"""
How the tasks' losses become the gradients of one step.

The default is a fixed ratio. The others are there to be compared with it: learned weights, and
gradients that are kept from undoing each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn, Tensor

from mtl_perception.errors import ConfigError


class FixedRatio(nn.Module):
    """The sum of the losses, as they are weighted in the options."""

    one_graph = True
    """Whether one call of `backward` makes all gradients, as DistributedDataParallel needs it."""

    def weighted(self, losses: dict[str, Tensor]) -> Tensor:
        """Return the scalar whose gradients are wanted, from the loss of each task."""
        return torch.stack(list(losses.values())).sum()

    def backward(self, losses: dict[str, Tensor], parameters: Sequence[nn.Parameter],
                 scale: float = 1.0) -> None:
        """Add the gradients of the tasks' losses, times `scale`, to those of `parameters`."""
        (self.weighted(losses) * scale).backward()


class Uncertainty(FixedRatio):
    """
    Learned weights: each task's loss is divided by a variance that is learned with the network.

    Kendall, Gal and Cipolla, arXiv:1705.07115: exp(-s) L + s / 2 with s the log of the variance.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_variance = nn.ParameterDict({
            task: nn.Parameter(torch.zeros(())) for task in ('detection', 'segmentation')})

    def weighted(self, losses: dict[str, Tensor]) -> Tensor:
        """Return the sum of the losses with their learned weights and the price of those."""
        return torch.stack([
            torch.exp(-self.log_variance[task]) * loss + self.log_variance[task] / 2
            for task, loss in losses.items()]).sum()


class ProjectedGradients(FixedRatio):
    """
    Gradients of two tasks that point against each other lose the part that does (PCGrad).

    Yu and others, arXiv:2001.06782. What conflicts is looked at over all parameters that both
    tasks reach, as one vector. Costs a second pass back through the shared layers.
    """

    one_graph = False

    def backward(self, losses: dict[str, Tensor], parameters: Sequence[nn.Parameter],
                 scale: float = 1.0) -> None:
        """Add the projected gradients to those of `parameters`."""
        gradients = [
            torch.autograd.grad(loss * scale, parameters, retain_graph=True, allow_unused=True)
            for loss in losses.values() if loss.requires_grad]
        if len(gradients) == 2:
            gradients = self._projected(*gradients)
        for index, parameter in enumerate(parameters):
            parts = [found[index] for found in gradients if found[index] is not None]
            if parts:
                total = torch.stack(parts).sum(dim=0) if len(parts) > 1 else parts[0]
                parameter.grad = total if parameter.grad is None else parameter.grad + total

    @staticmethod
    def _projected(first: Sequence[Tensor | None], second: Sequence[Tensor | None]
                   ) -> list[list[Tensor | None]]:
        shared = [(a, b) for a, b in zip(first, second, strict=True)
                  if a is not None and b is not None]
        product = sum((float((a * b).sum()) for a, b in shared), 0.0)
        if product >= 0:
            return [list(first), list(second)]
        squares = [max(sum(float((pair[k] ** 2).sum()) for pair in shared), 1e-20)
                   for k in (0, 1)]
        one: list[Tensor | None] = []
        other: list[Tensor | None] = []
        for a, b in zip(first, second, strict=True):
            both = a is not None and b is not None
            one.append(a - product / squares[1] * b if both else a)  # type: ignore[operator]
            other.append(b - product / squares[0] * a if both else b)  # type: ignore[operator]
        return [one, other]


BALANCES: dict[str, type[FixedRatio]] = {
    'fixed': FixedRatio, 'uncertainty': Uncertainty, 'pcgrad': ProjectedGradients}


def build_balance(name: str) -> FixedRatio:
    """Return the balance `name`; ConfigError lists the known ones otherwise."""
    if name not in BALANCES:
        raise ConfigError(f'balance {name!r} is none of {", ".join(BALANCES)}')
    return BALANCES[name]()
