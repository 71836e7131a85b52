"""
Loss weighting: how the tasks' losses become the gradients of one step.

The default is a fixed ratio. The others are there to be compared with it: learned weights,
gradients from which the conflicting part is removed, and gradients of equal size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn, Tensor

from mtl_perception.errors import ConfigError

Backward = Callable[..., None]
"""Adds the gradients of a scalar to those of the parameters, as `Tensor.backward` does."""


class FixedRatio(nn.Module):
    """The sum of the losses, with the weights of the options."""

    one_graph = True
    """Whether all gradients come from one backward pass, as DistributedDataParallel requires."""

    def weighted(self, losses: dict[str, Tensor]) -> Tensor:
        """Return the scalar whose gradients are wanted, from the loss of each task."""
        return torch.stack(list(losses.values())).sum()

    def backward(self, losses: dict[str, Tensor], parameters: Sequence[nn.Parameter],
                 backward: Backward, scale: float = 1.0) -> None:
        """Add the gradients of the tasks' losses, times `scale`, to those of `parameters`."""
        backward(self.weighted(losses) * scale)


class Uncertainty(FixedRatio):
    """
    Learned weights: each task's loss is divided by a variance that is trained with the network.

    Kendall, Gal and Cipolla, arXiv:1705.07115: exp(-s) L + s / 2 with s the log of the variance.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_variance = nn.ParameterDict({
            task: nn.Parameter(torch.zeros(())) for task in ('detection', 'segmentation')})

    def weighted(self, losses: dict[str, Tensor]) -> Tensor:
        """Return the sum of the weighted losses and of the penalty s / 2 of each task."""
        return torch.stack([
            torch.exp(-self.log_variance[task]) * loss + self.log_variance[task] / 2
            for task, loss in losses.items()]).sum()


Gradients = Sequence[Tensor | None]
"""Of one task, by parameter; None for one that the task does not reach."""


class SeparateGradients(FixedRatio):
    """
    The tasks' gradients are computed one after the other and combined by a rule.

    Costs a second backward pass through the shared layers.
    """

    one_graph = False

    def combined(self, first: Gradients, second: Gradients) -> tuple[Gradients, Gradients]:
        """Return the tasks' gradients, of which the sum is taken."""
        raise NotImplementedError

    def backward(self, losses: dict[str, Tensor], parameters: Sequence[nn.Parameter],
                 backward: Backward, scale: float = 1.0) -> None:
        """Add the combined gradients to those of `parameters`."""
        before = [parameter.grad for parameter in parameters]
        gradients: list[Gradients] = []
        for loss in losses.values():
            if loss.requires_grad:
                for parameter in parameters:
                    parameter.grad = None
                backward(loss * scale, retain_graph=True)
                gradients.append([parameter.grad for parameter in parameters])
        if len(gradients) == 2:
            gradients = list(self.combined(*gradients))
        for parameter, *found in zip(parameters, before, *gradients, strict=True):
            parts = [part for part in found if part is not None]
            parameter.grad = sum(parts[1:], parts[0]) if parts else None


class ProjectedGradients(SeparateGradients):
    """
    Where the gradients of two tasks conflict, the conflicting part is removed (PCGrad).

    Yu and others, arXiv:2001.06782. The conflict is determined over all parameters that both
    tasks reach, as one vector.
    """

    def combined(self, first: Gradients, second: Gradients) -> tuple[Gradients, Gradients]:
        """Return the gradients without their conflicting parts."""
        shared = _shared(first, second)
        product = sum((float((a * b).sum()) for a, b in shared), 0.0)
        if product >= 0:
            return first, second
        squares = [norm ** 2 for norm in _norms(shared)]
        one: list[Tensor | None] = []
        other: list[Tensor | None] = []
        for a, b in zip(first, second, strict=True):
            both = a is not None and b is not None
            one.append(a - product / squares[1] * b if both else a)  # type: ignore[operator]
            other.append(b - product / squares[0] * a if both else b)  # type: ignore[operator]
        return one, other


class NormalizedGradients(SeparateGradients):
    """
    The tasks' gradients have the same norm in the layers that both reach: the mean of the two.

    That is what GradNorm (Chen and others, arXiv:1711.02257) learns weights for, at equal rates
    of training; here it holds at every step. Layers of one task keep its gradient.
    """

    def combined(self, first: Gradients, second: Gradients) -> tuple[Gradients, Gradients]:
        """Return the gradients, scaled in the shared layers."""
        norms = _norms(_shared(first, second))
        mean = sum(norms) / 2
        one: list[Tensor | None] = []
        other: list[Tensor | None] = []
        for a, b in zip(first, second, strict=True):
            both = a is not None and b is not None
            one.append(a * (mean / norms[0]) if both else a)  # type: ignore[operator]
            other.append(b * (mean / norms[1]) if both else b)  # type: ignore[operator]
        return one, other


def _shared(first: Gradients, second: Gradients) -> list[tuple[Tensor, Tensor]]:
    return [(a, b) for a, b in zip(first, second, strict=True)
            if a is not None and b is not None]


def _norms(shared: Sequence[tuple[Tensor, Tensor]]) -> list[float]:
    """Return the norm of each task's gradient as one vector; never 0."""
    return [max(sum(float((pair[task] ** 2).sum()) for pair in shared), 1e-20) ** 0.5
            for task in (0, 1)]


LOSS_WEIGHTINGS: dict[str, type[FixedRatio]] = {
    'fixed': FixedRatio, 'uncertainty': Uncertainty, 'pcgrad': ProjectedGradients,
    'normalized': NormalizedGradients}


def build_loss_weighting(name: str) -> FixedRatio:
    """Return the loss weighting `name`; ConfigError lists the known ones otherwise."""
    if name not in LOSS_WEIGHTINGS:
        raise ConfigError(f'loss weighting {name!r} is none of {", ".join(LOSS_WEIGHTINGS)}')
    return LOSS_WEIGHTINGS[name]()
