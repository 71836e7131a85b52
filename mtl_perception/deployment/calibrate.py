"""
One default threshold that fits every class: scores shifted to where an evaluation was best.

A network learns scores whose best threshold differs between classes: rare and small objects score
lower. Adding a constant to the logits of a class moves its best threshold and keeps the order of
its scores. The constant becomes part of the bias of the class's predictor. A cell detects the
class with the highest score: where two compete for a cell, the other one may win now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
import json
import math
from pathlib import Path
from typing import Any

from mtl_perception.errors import ConfigError, DataError
from mtl_perception.inference.pipeline import PipelineOptions
from mtl_perception.models.checkpoint import load_checkpoint, save_checkpoint
from mtl_perception.spec import ModelSpec

MIN_OBJECTS = 20
"""The best threshold of fewer objects says nothing about others."""


@dataclass(frozen=True)
class CalibrateConfig:
    """Which model is calibrated by what. Raises ConfigError for a bad threshold."""

    checkpoint: Path
    """Checkpoint (.pt) of `mtl train`."""
    metrics: Path | None
    """
    `metrics.json` of `mtl evaluate` with this model, or with the ONNX file made from it.

    None where `best` is given.
    """
    output: Path
    """Checkpoint to write."""
    threshold: float = PipelineOptions.score_threshold
    """Score in 0..1 at which each class is to have its best F1."""
    best: Mapping[str, float] = field(default_factory=dict)
    """Best thresholds by class instead of those of an evaluation; others are not shifted."""

    def __post_init__(self) -> None:
        if (self.metrics is None) == (not self.best):
            raise ConfigError('calibration takes either metrics or the best thresholds of classes')
        for name, value in (('', self.threshold), *self.best.items()):
            if not 0 < value < 1:
                raise ConfigError(f'threshold {value}{f" of {name}" if name else ""} is not '
                                  'between 0 and 1')


@dataclass(frozen=True)
class ShiftedClass:
    """A class whose scores are shifted, or not."""

    name: str
    best: float | None
    """Score with the best F1; None: not shifted."""
    objects: int | None
    """
    Objects in the evaluation; of all classes of the group where it is in one. None: no evaluation.
    """


def calibrate(config: CalibrateConfig) -> tuple[ShiftedClass, ...]:
    """
    Write a checkpoint whose classes all have their best F1 at the threshold.

    The classes of a group that is scored as one (`score_groups`) are shifted alike, by the best
    threshold of the group, so that their order does not change; those of given thresholds are not.
    Raises ModelError for a broken checkpoint, ConfigError for a network whose scores are not
    sigmoids of its logits or that does not detect and for thresholds of other classes, DataError
    where the file is no evaluation of its classes.
    """
    spec, network = load_checkpoint(config.checkpoint)
    if spec.detection is None or spec.architecture != 'lean':
        raise ConfigError(f'{config.checkpoint}: only scores of lean networks that detect can be '
                          f'shifted; this is {spec.architecture} for {" and ".join(spec.tasks)}')
    found = (read_best(config.metrics, spec) if config.metrics is not None
             else given_best(config.best, spec.detection.names))
    weights = network.state_dict()
    target = _logit(config.threshold)
    shift = [0.0 if item.best is None else target - _logit(item.best) for item in found]
    for rows in network.class_parameters['detection']:
        bias = weights[f'{rows.prefix}bias']
        bias += bias.new_tensor(shift)
    moved = ', '.join(f'{item.name} {item.best:.3f}' for item in found if item.best is not None)
    save_checkpoint(network, replace(spec, provenance={
        **spec.provenance, 'scores': f'best F1 moved to {config.threshold:g} from: {moved}'}),
        config.output)
    return found


def given_best(best: Mapping[str, float], names: Sequence[str]) -> tuple[ShiftedClass, ...]:
    """Return each class of the model with its given threshold; ConfigError for other names."""
    for name in best:
        if name not in names:
            raise ConfigError(f'the model has no class {name!r}; it has {", ".join(names)}')
    return tuple(ShiftedClass(name, best.get(name), None) for name in names)


def read_best(path: Path, spec: ModelSpec) -> tuple[ShiftedClass, ...]:
    """Return the best threshold of each class of the model in an evaluation, all sets as one."""
    assert spec.detection is not None
    try:
        report = json.loads(path.read_text('utf-8'))['models'][0]
        scores: dict[str, Any] = report['overall']['detection']
        groups = {member: group for item in report['sets']
                  for group, members in item['groups'].items() for member in members}
        found = []
        for name in spec.detection.names:
            score = scores.get(groups.get(name, name))
            objects, best = (score['objects'], score['best']['threshold']) if score else (0, None)
            if best is not None and not (0 < best < 1 and objects >= MIN_OBJECTS):
                best = None
            found.append(ShiftedClass(name, best, objects))
    except OSError as error:
        raise DataError(f'{path}: {error.strerror}') from None
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise DataError(f'{path}: not a metrics.json of `mtl evaluate`: {error!r}') from None
    if all(item.best is None for item in found):
        raise DataError(f'{path}: has no class of the model with at least {MIN_OBJECTS} objects: '
                        f'{", ".join(spec.detection.names)}')
    return tuple(found)


def _logit(score: float) -> float:
    return math.log(score / (1 - score))
