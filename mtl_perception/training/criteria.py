"""The detection losses of the architectures, and the assignments that each offers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

from mtl_perception.errors import ConfigError
from mtl_perception.training.assignment import assign_atss, assign_task_aligned
from mtl_perception.training.losses import detection_loss, DetectionLoss, DetectionTruth
from mtl_perception.training.multibox import multibox_loss
from mtl_perception.training.options import DEFAULT_ASSIGNMENT


class Criterion(Protocol):
    """A detection loss."""

    def __call__(self, outputs: Any, truths: Sequence[DetectionTruth]) -> DetectionLoss:
        """Return the losses of a batch, whose `outputs` are of the architecture's own type."""


CRITERIA: dict[str, dict[str, Criterion]] = {
    'quality_focal': {
        'tal': partial(detection_loss, assign=assign_task_aligned),
        'atss': partial(detection_loss, assign=assign_atss),
    },
    'multibox': {'multibox': multibox_loss},
}
"""By `Architecture.CRITERION` and the name of the assignment; the first is the default."""

ASSIGNMENTS = (DEFAULT_ASSIGNMENT, *(name for offered in CRITERIA.values() for name in offered))


def choose_criterion(name: str, assignment: str) -> Criterion:
    """Return criterion `name` with `assignment`; ConfigError where it does not offer that one."""
    offered = CRITERIA[name]
    if assignment == DEFAULT_ASSIGNMENT:
        return next(iter(offered.values()))
    if assignment not in offered:
        raise ConfigError(f'assignment {assignment}: the loss {name} of this architecture has '
                          f'{" or ".join(offered)}')
    return offered[assignment]
