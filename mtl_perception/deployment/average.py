"""
The mean of the weights of models with a common start, which is often better than each of them.

A model that was fine-tuned loses some of what the one it started from knew about other images;
their mean keeps it, at no cost in use (WiSE-FT, arXiv:2109.01903; model soups, arXiv:2203.05482).
That holds where a path of low loss joins them: for runs from the same model, not for runs from
different random weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
import math
from pathlib import Path
from typing import Any

from mtl_perception.errors import ConfigError
from mtl_perception.models.checkpoint import load_checkpoint, save_checkpoint


@dataclass(frozen=True)
class AverageConfig:
    """Which models are averaged. Raises ConfigError for fewer than two, or for bad shares."""

    checkpoints: tuple[Path, ...]
    """Checkpoints (.pt) of the same network for the same classes."""
    output: Path
    """Checkpoint to write."""
    shares: tuple[float, ...] = ()
    """Share of each model, of any positive sum; empty: equal ones."""

    def __post_init__(self) -> None:
        if len(self.checkpoints) < 2:
            raise ConfigError('a mean needs two models or more')
        if self.shares and len(self.shares) != len(self.checkpoints):
            raise ConfigError(f'{len(self.shares)} shares of {len(self.checkpoints)} models')
        if not all(math.isfinite(share) and share >= 0 for share in self.shares) or (
                self.shares and not sum(self.shares)):
            raise ConfigError('shares are numbers from 0 on, not all of them 0: '
                              + ', '.join(f'{share:g}' for share in self.shares))

    def fractions(self) -> tuple[float, ...]:
        """Return the share of each model, with a sum of 1."""
        shares = self.shares or (1.0,) * len(self.checkpoints)
        return tuple(share / sum(shares) for share in shares)


def average(config: AverageConfig) -> tuple[float, ...]:
    """
    Write the mean of the models' weights and batch norm statistics; return the shares.

    Classes, colours and provenance are those of the last model. Raises ModelError for a broken
    checkpoint, ConfigError for different networks.
    """
    fractions = config.fractions()
    spec, network = load_checkpoint(config.checkpoints[-1])
    mean: dict[str, Any] = {}
    for path, fraction in zip(config.checkpoints, fractions, strict=True):
        other, weights = load_checkpoint(path)
        if replace(other, provenance={}) != replace(spec, provenance={}):
            raise ConfigError(f'{path} and {config.checkpoints[-1]} differ in network or classes '
                              '(mtl info): their weights have no mean')
        for name, value in weights.state_dict().items():
            if not value.is_floating_point():
                mean[name] = value  # numbers of batches, which nothing in use depends on
            elif name in mean:
                mean[name] += fraction * value
            else:
                mean[name] = fraction * value
    network.load_state_dict(mean)
    parts = ', '.join(f'{fraction:.3g} {path.name}' for path, fraction in zip(
        config.checkpoints, fractions, strict=True))
    save_checkpoint(network, replace(spec, provenance={**spec.provenance, 'mean of': parts}),
                    config.output)
    return fractions
