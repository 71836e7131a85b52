"""Transfer of matching weights from another model, class by class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mtl_perception.errors import ModelError
from mtl_perception.labels import LabelSet
from mtl_perception.models.architecture import Architecture, ClassRows
from mtl_perception.models.checkpoint import read_checkpoint
from mtl_perception.models.factorize import separate_towers
from mtl_perception.spec import ModelSpec


@dataclass(frozen=True)
class Transfer:
    """The weights that were transferred from a checkpoint to a network."""

    transferred: int
    total: int
    """Number of tensors with weights of the checkpoint, wholly or partly, and of all tensors."""
    new_classes: tuple[str, ...]
    """Classes of the network that the checkpoint does not have; their predictors are random."""
    dropped_classes: tuple[str, ...]
    """Classes of the checkpoint that the network does not have."""
    random: tuple[str, ...]
    """Names of the tensors without a match, which keep their random weights."""

    def __str__(self) -> str:
        parts = [f'{self.transferred} of {self.total} tensors transferred']
        for what, names in (('new classes', self.new_classes),
                            ('omitted classes', self.dropped_classes)):
            if names:
                parts.append(f'{what}: {", ".join(names)}')
        if self.random:
            modules = dict.fromkeys('.'.join(name.split('.')[:2]) for name in self.random)
            parts.append(f'random weights in: {", ".join(modules)}')
        return '; '.join(parts)


@torch.no_grad()
def transfer_weights(network: Architecture, spec: ModelSpec, path: Path) -> Transfer:
    """
    Load the weights of the checkpoint `path` that match `network`, which has the spec `spec`.

    A tensor matches if it has the same name and shape. The tensors in `network.class_parameters`
    have rows for each class, which are transferred by the classes' names. Separable towers are
    initialised by factorising full towers of the checkpoint. Raises ModelError if the file is not
    a checkpoint or none of its weights match.
    """
    source, weights = read_checkpoint(path)
    if (source.towers, spec.towers) == ('full', 'separable'):
        weights = separate_towers(weights)
    transferred = 0
    random = []
    target = network.state_dict()
    for key, value in target.items():
        task, rows = next(((task, rows) for task, layouts in network.class_parameters.items()
                           for rows in layouts if key.startswith(rows.prefix)), (None, None))
        found = weights.get(key)
        if task is not None and rows is not None and found is not None:
            fits = _copy_rows(value, getattr(spec, task), found, getattr(source, task), rows)
        else:
            fits = found is not None and found.shape == value.shape
            if fits:
                value.copy_(found)
        transferred += fits
        if not fits:
            random.append(key)
    if not transferred:
        raise ModelError(f'{path}: no weight of this {source.architecture} with {source.backbone} '
                         f'fits a {spec.architecture} with {spec.backbone}')
    ours, theirs = ([name for task in ('detection', 'segmentation') if getattr(one, task)
                     for name in getattr(one, task).names] for one in (spec, source))
    return Transfer(
        transferred, len(target), tuple(name for name in ours if name not in theirs),
        tuple(name for name in theirs if name not in ours), tuple(random))


def _copy_rows(target: Tensor, ours: LabelSet, found: Tensor, theirs: LabelSet | None,
               rows: ClassRows) -> bool:
    """Copy the rows of common classes and of no class; return whether there are any."""
    if theirs is None or found.shape[1:] != target.shape[1:] \
            or len(found) != rows.rows(len(theirs) - 1).stop:
        return False
    target[:rows.before].copy_(found[:rows.before])
    common = [name for name in ours.names if name in theirs.names]
    for name in common:
        target[rows.rows(ours.index(name))].copy_(found[rows.rows(theirs.index(name))])
    return bool(common) or rows.before > 0
