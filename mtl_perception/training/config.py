"""What `train` and `distill` take, the files that they write and the reasons why they end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mtl_perception.errors import ConfigError
from mtl_perception.models.backbones import NO_WEIGHTS
from mtl_perception.training.options import TrainingOptions

MODEL_FILE = 'model.pt'
"""The trained model (moving average, FP16), for `mtl export`, `evaluate` and `predict`."""

BEST_FILE = 'best.pt'
"""The model (moving average, FP16) of the evaluation with the best score."""

STATE_FILE = 'last.pt'
"""The run's whole state, from which it is resumed."""

FINISHED, STOPPED, NO_BETTER, OUT_OF_TIME = 'finished', 'stopped', 'no better', 'out of time'
"""
Why a run ended: all steps were taken, a signal came, the score did not improve, or the minutes of
the options were used. All but one that a signal stopped are complete.
"""

Report = Callable[[str], None]
"""Takes a line of text for the user."""

TASKS = ('both', 'detection', 'segmentation')
DEVICES = ('auto', 'cpu', 'cuda')


@dataclass(frozen=True)
class NetworkOptions:
    """
    Fields of `ModelSpec` that differ from the default; None: the default.

    The default is that of the model that the run starts from, else that of the architecture.
    """

    architecture: str | None = None
    backbone: str | None = None
    input_size: tuple[int, int] | None = None
    """Width and height in pixels."""
    finest_level: int | None = None
    neck_channels: int | None = None
    fine_channels: int | None = None
    fine_towers: str | None = None
    towers: str | None = None
    tower_channels: int | None = None
    fcn_stride: int | None = None


@dataclass(frozen=True)
class TeacherPaths:
    """Checkpoints of the teachers of a distillation; None: no teacher of that task."""

    detection: Path | None = None
    segmentation: Path | None = None

    def given(self) -> tuple[Path, ...]:
        """Return the paths of the teachers that are given."""
        return tuple(path for path in (self.detection, self.segmentation) if path is not None)


@dataclass(frozen=True)
class TrainConfig:
    """A training run. Raises ConfigError for values that are not supported."""

    manifest: Path
    """Manifest of the data sets (YAML)."""
    output: Path
    """Folder of the run's files."""
    data: Path | None = None
    """Folder of the data sets; None: `$MTL_DATA`, else `root` of the manifest."""
    skip_bad: bool = False
    """Leave out broken images and annotations instead of raising DataError."""
    resume: bool = False
    """Continue the run in `output`."""
    tasks: str = 'both'
    """One of `TASKS`."""
    start: Path | None = None
    """Checkpoint whose weights are transferred as far as they fit."""
    like: Mapping[str, str] = field(default_factory=dict)
    """New class -> class of `start` whose predictor it starts from; others go by their names."""
    weights: str = NO_WEIGHTS
    """Initial weights of the backbone: a file, torchvision's name of weights, or none."""
    network: NetworkOptions = field(default_factory=NetworkOptions)
    device: str = 'auto'
    """One of `DEVICES`; auto: CUDA where there is a device."""
    training: TrainingOptions = field(default_factory=TrainingOptions)
    teachers: TeacherPaths = field(default_factory=TeacherPaths)

    def __post_init__(self) -> None:
        for name, choices in (('tasks', TASKS), ('device', DEVICES)):
            if getattr(self, name) not in choices:
                raise ConfigError(
                    f'{name} {getattr(self, name)!r} is none of {", ".join(choices)}')
        if self.start is not None and self.weights != NO_WEIGHTS:
            raise ConfigError('a run starts either from a model or from weights of the backbone')
        if self.like and self.start is None:
            raise ConfigError('classes are like those of a model to start from: give --from')
