"""Base class of all networks: the interface of an architecture."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar, NamedTuple

from torch import nn, Tensor

from mtl_perception.models.outputs import NetworkOutputs


class ClassRows(NamedTuple):
    """Parameters whose leading dimension is that of the classes of a task."""

    prefix: str
    """Prefix of the parameters' names; all of them (weight, bias) have this layout."""
    before: int = 0
    """Number of leading rows that belong to no class, such as SSD's background."""
    each: int = 1
    """Number of rows of one class, which are adjacent."""

    def rows(self, index: int) -> slice:
        """Return the rows of class `index`."""
        start = self.before + index * self.each
        return slice(start, start + self.each)


class Architecture(nn.Module):
    """
    A multitask network built from a `ModelSpec`; a task without label set has no layers.

    Direct children are `backbone` and the parts whose cost `mtl info` lists.
    """

    BACKBONE: ClassVar[str]
    INPUT_SIZE: ClassVar[tuple[int, int]]
    """Defaults of `mtl train`: backbone, width and height in pixels."""
    OPTIONS: ClassVar[tuple[str, ...]]
    """Optional fields of the spec that this architecture supports."""
    CRITERION: ClassVar[str]
    """Name of this architecture's detection loss in `training.criteria`."""

    def forward(self, images: Tensor, tasks: Collection[str] | None = None) -> NetworkOutputs:
        """
        Return the outputs for normalised RGB images [B, 3, H, W] of any size from 32x32.

        If `tasks` is given, only their heads are run.
        """
        raise NotImplementedError

    @property
    def class_parameters(self) -> dict[str, tuple[ClassRows, ...]]:
        """The per-class parameters of each enabled task."""
        raise NotImplementedError
