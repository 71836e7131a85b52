"""
The specification of a model, from which it is built and which is stored in its file.

This module needs neither torch nor ROS: `models` builds a network from the spec and writes it into
checkpoints and ONNX files, from which `inference` reads it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, fields, replace
import json
from typing import Any

from mtl_perception.errors import ModelError
from mtl_perception.labels import LabelSet

METADATA_KEY = 'mtl_perception'
"""Key of the spec's JSON in an ONNX file's metadata and in a checkpoint."""

FORMAT = 4
"""Version of the JSON; files of later versions are rejected."""

MAX_INPUT_SIDE = 8192
MAX_CANDIDATES = 3840
"""Limit of TensorRT's TopK layer."""
MAX_CHANNELS = 1024

LABEL_STRIDES = (1, 2, 4)
TOWERS = ('full', 'separable')
FINE_TOWERS = ('two', 'one')


@dataclass(frozen=True)
class ModelSpec:
    """
    Architecture, backbone, sizes and label sets of a model.

    A task whose label set is None is disabled: its head is not built and the deployable graph has
    no outputs for it.
    """

    architecture: str = 'lean'
    backbone: str = 'mobilenet_v2'
    detection: LabelSet | None = None
    segmentation: LabelSet | None = None
    input_size: tuple[int, int] = (640, 640)
    """Width and height of the network's input in pixels."""
    neck_channels: int = 0
    """`lean`: channels of the pyramid's levels; 0 derives them from the backbone's width."""
    finest_level: int = 3
    """`lean`: finest level with default boxes: 3 is stride 8, 2 is stride 4 (small objects)."""
    fine_channels: int = 0
    """`lean`: channels of the level of stride 4 and of its towers; 0: those of the others."""
    fine_towers: str = 'two'
    """`lean`, stride 4: 'two' towers, for classes and for boxes, or 'one' for both."""
    towers: str = 'full'
    """`lean`, other strides: towers of 'full' or of depthwise 'separable' 3x3 convolutions."""
    tower_channels: int = 0
    """`lean`, other strides: channels of the towers; 0: those of the pyramid's levels."""
    fcn_stride: int = 0
    """`thesis`: 8, 16 or 32 pixels per score (FCN-8s, -16s, -32s); 0 is the thesis's, 16."""
    candidates: int = 1000
    """Number of boxes (K) in the outputs of the deployable graph, best first, before NMS."""
    label_stride: int = 4
    """Network pixels per pixel of the deployable graph's label map, one of `LABEL_STRIDES`."""
    pixel_classes: dict[str, str] = field(default_factory=dict)
    """
    Detection class -> class of its pixels in the label map, of those that have one.

    Oriented boxes of a class need it.
    """
    provenance: dict[str, str] = field(default_factory=dict)
    """Provenance of the weights: data, steps, date, version; free text by key."""

    def __post_init__(self) -> None:
        if self.detection is None and self.segmentation is None:
            raise ModelError('a model needs a label set for detection or for segmentation')
        if len(self.input_size) != 2 or not all(
                type(side) is int and 32 <= side <= MAX_INPUT_SIDE for side in self.input_size):
            raise ModelError(
                f'input_size {self.input_size} is not (width, height) in 32..{MAX_INPUT_SIDE}')
        if self.finest_level not in (2, 3):
            raise ModelError(f'finest_level {self.finest_level} is neither 2 nor 3')
        if self.fcn_stride not in (0, 8, 16, 32):
            raise ModelError(f'fcn_stride {self.fcn_stride} is none of 8, 16 and 32')
        if self.label_stride not in LABEL_STRIDES:
            raise ModelError(f'label_stride {self.label_stride} is none of 1, 2 and 4')
        if not 1 <= self.candidates <= MAX_CANDIDATES:
            raise ModelError(f'candidates {self.candidates} is not in 1..{MAX_CANDIDATES}')
        for name in ('neck_channels', 'fine_channels', 'tower_channels'):
            channels = getattr(self, name)
            if type(channels) is not int or channels % 8 or not 0 <= channels <= MAX_CHANNELS:
                raise ModelError(
                    f'{name} {channels!r} is not a multiple of 8 in 0..{MAX_CHANNELS}')
        for name, choices in (('fine_towers', FINE_TOWERS), ('towers', TOWERS)):
            if getattr(self, name) not in choices:
                raise ModelError(
                    f'{name} {getattr(self, name)!r} is none of {", ".join(choices)}')

        if self.detection is not None and self.segmentation is not None:
            for name, known in (
                    *((name, self.detection.names) for name in self.pixel_classes),
                    *((name, self.segmentation.names) for name in self.pixel_classes.values())):
                if name not in known:
                    raise ModelError(f'pixel_classes: {name!r:.80} is none of {", ".join(known)}')

    def pixel_class_of_each(self) -> list[int]:
        """
        Return `pixel_classes` by index of the detection class, -1 for those without one.

        All are -1 where one of the tasks is disabled.
        """
        names = self.detection.names if self.detection else ()
        if self.segmentation is None:
            return [-1] * len(names)
        return [self.segmentation.index(self.pixel_classes[name])
                if name in self.pixel_classes else -1 for name in names]

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the enabled tasks."""
        return tuple(task for task in ('detection', 'segmentation') if getattr(self, task))

    def only(self, tasks: Collection[str]) -> ModelSpec:
        """
        Return the spec with only `tasks` enabled.

        Raises ValueError if there are none, or one of them is not enabled here.
        """
        if not tasks or not set(tasks) <= set(self.tasks):
            raise ValueError(
                f'tasks {sorted(tasks)} are not some of {", ".join(self.tasks)}')
        return replace(
            self, detection=self.detection if 'detection' in tasks else None,
            segmentation=self.segmentation if 'segmentation' in tasks else None)

    def to_json(self) -> str:
        """Return the spec as JSON text; `from_json` reads it back."""
        values: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        for task in ('detection', 'segmentation'):
            if values[task] is not None:
                values[task] = values[task].to_dict()
        return json.dumps({'format': FORMAT, **values})

    @classmethod
    def from_json(cls, text: str) -> ModelSpec:
        """Return the spec in `text`; ModelError if it is invalid."""
        try:
            values = json.loads(text)
        except ValueError as error:
            raise ModelError(f"the model's spec is not JSON: {error}") from None
        if not isinstance(values, dict) or type(values.get('format')) is not int:
            raise ModelError("the model's spec has no format number")
        if values.pop('format') > FORMAT:
            raise ModelError("the model's spec is of a later version of mtl_perception; update")
        known = {item.name for item in fields(cls)}
        if set(values) - known:
            raise ModelError(f"the model's spec has unknown entries {sorted(set(values) - known)}")
        for task in ('detection', 'segmentation'):
            if values.get(task) is not None:
                values[task] = LabelSet.from_dict(values[task])
        if isinstance(values.get('input_size'), list):
            values['input_size'] = tuple(values['input_size'])
        pixels = values.get('pixel_classes', {})
        if not isinstance(pixels, dict) or not all(
                isinstance(name, str) for name in pixels.values()):
            raise ModelError("pixel_classes of the model's spec do not map names to names")
        try:
            return cls(**values)
        except TypeError as error:
            raise ModelError(f"the model's spec has an entry of a wrong type: {error}") from None
