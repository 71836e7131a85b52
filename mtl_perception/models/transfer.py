"""Transfer of matching weights from another model, class by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mtl_perception.errors import ConfigError, ModelError
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
    classes: tuple[str, ...]
    """Classes whose predictors were transferred, 'NEW like OLD' for one that had another name."""
    new_classes: tuple[str, ...]
    """Classes of the network that the checkpoint does not have; their predictors are random."""
    dropped_classes: tuple[str, ...]
    """Classes of the checkpoint that no class of the network starts from."""
    random: tuple[str, ...]
    """Names of the tensors without a match, which keep their random weights."""

    def __str__(self) -> str:
        parts = [f'{self.transferred} of {self.total} tensors transferred']
        for what, names in (('classes', self.classes), ('new classes', self.new_classes),
                            ('omitted classes', self.dropped_classes)):
            if names:
                parts.append(f'{what}: {", ".join(names)}')
        if self.random:
            modules = dict.fromkeys('.'.join(name.split('.')[:2]) for name in self.random)
            parts.append(f'random weights in: {", ".join(modules)}')
        return '; '.join(parts)


@torch.no_grad()
def transfer_weights(network: Architecture, spec: ModelSpec, path: Path,
                     like: Mapping[str, str] | None = None) -> Transfer:
    """
    Load the weights of the checkpoint `path` that match `network`, which has the spec `spec`.

    A tensor matches if it has the same name and shape. The tensors in `network.class_parameters`
    have rows for each class, which are transferred by the classes' names, or, for a class in
    `like`, from the class of the checkpoint that it names. Separable towers are initialised by
    factorising full towers of the checkpoint. Raises ModelError if the file is not a checkpoint
    or none of its weights match, ConfigError for unknown classes in `like`.
    """
    source, weights = read_checkpoint(path)
    origins = {task: _origins(getattr(spec, task), getattr(source, task), like or {})
               for task in spec.tasks}
    _check_like(like or {}, spec, source, path)
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
            fits = _copy_rows(value, found, getattr(source, task), origins[task], rows)
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
    known = [(name, origin) for task in spec.tasks
             for name, origin in zip(getattr(spec, task).names, origins[task], strict=True)]
    used = {origin for _, origin in known}
    return Transfer(
        transferred, len(target),
        tuple(name if name == origin else f'{name} like {origin}'
              for name, origin in known if origin is not None),
        tuple(name for name, origin in known if origin is None),
        tuple(name for name in _names(source) if name not in used), tuple(random))


def _names(spec: ModelSpec) -> list[str]:
    return [name for task in spec.tasks for name in getattr(spec, task).names]


def _origins(ours: LabelSet, theirs: LabelSet | None, like: Mapping[str, str]
             ) -> list[str | None]:
    """Return, for each class of `ours`, the class of `theirs` that it starts from."""
    origins = [like.get(name, name) for name in ours.names]
    return [name if theirs and name in theirs.names else None for name in origins]


def _check_like(like: Mapping[str, str], spec: ModelSpec, source: ModelSpec, path: Path) -> None:
    for new, old in like.items():
        if new not in _names(spec):
            raise ConfigError(f'like {new}={old}: the manifest has no class {new}; its classes '
                              f'are {", ".join(_names(spec))}')
        tasks = [task for task in spec.tasks if new in getattr(spec, task).names]
        theirs = [name for task in tasks if getattr(source, task)
                  for name in getattr(source, task).names]
        if old not in theirs:
            raise ConfigError(f'like {new}={old}: {path} has no class {old} for '
                              f'{" and ".join(tasks)}; its classes are '
                              f'{", ".join(theirs) or "none"}')


def _copy_rows(target: Tensor, found: Tensor, theirs: LabelSet | None,
               origins: Sequence[str | None], rows: ClassRows) -> bool:
    """Copy the rows of known classes and of no class; return whether there are any."""
    if theirs is None or found.shape[1:] != target.shape[1:] \
            or len(found) != rows.rows(len(theirs) - 1).stop:
        return False
    target[:rows.before].copy_(found[:rows.before])
    for number, name in enumerate(origins):
        if name is not None:
            target[rows.rows(number)].copy_(found[rows.rows(theirs.index(name))])
    return any(origins) or rows.before > 0
