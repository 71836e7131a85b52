"""What an architecture is to the rest of the package: the base of all networks."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar, NamedTuple

from torch import nn, Tensor

from mtl_perception.models.outputs import NetworkOutputs


class ClassRows(NamedTuple):
    """Parameters whose leading dimension goes over the classes of a task."""

    prefix: str
    """Of the parameters' names: all of them (weight, bias) have this layout."""
    before: int = 0
    """Leading rows that belong to no class, such as those of SSD's background."""
    each: int = 1
    """Rows of one class; they lie together."""

    def rows(self, index: int) -> slice:
        """Return the rows of class `index`."""
        start = self.before + index * self.each
        return slice(start, start + self.each)


class Architecture(nn.Module):
    """
    A multitask network made of a `ModelSpec`; a task without a label set costs nothing.

    Direct children are `backbone` and the parts that `mtl info` prices one by one.
    """

    BACKBONE: ClassVar[str]
    INPUT_SIZE: ClassVar[tuple[int, int]]
    """Defaults of `mtl train`: backbone, width and height in pixels."""
    OPTIONS: ClassVar[tuple[str, ...]]
    """Fields of the spec that only some architectures have, and this one has."""
    CRITERION: ClassVar[str]
    """Name of the detection loss in `training.criteria` that this architecture learns by."""

    def forward(self, images: Tensor, tasks: Collection[str] | None = None) -> NetworkOutputs:
        """
        Return the outputs for normalised RGB images [B, 3, H, W] of any size from 32x32.

        Of `tasks` alone, where they are given: the heads of others are not run.
        """
        raise NotImplementedError

    @property
    def class_parameters(self) -> dict[str, tuple[ClassRows, ...]]:
        """The parameters that are per class, of each task that is switched on."""
        raise NotImplementedError
