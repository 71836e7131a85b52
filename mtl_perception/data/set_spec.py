"""
The values of a manifest: the label sets, the data sets, and what their labels mean.

The label sets of public data differ and overlap. A source label of a mask therefore maps to a
*set* of our classes (`ground` of an aerial map may be ground or road), and a set with boxes names
the classes that it labels exhaustively: for any other class, a missing box is no evidence that
there is no object. A loss or a score that follows this uses all of the data without guessing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from mtl_perception.errors import ConfigError
from mtl_perception.labels import Color, LabelSet
from mtl_perception.stretch import stretched, StretchPixels

DATA_VARIABLE = 'MTL_DATA'
"""Environment variable with the folder that the sets' paths are relative to."""


@dataclass(frozen=True)
class BoxLabels:
    """What the boxes of a set mean."""

    mapping: dict[str, int | None]
    """Source class name -> our class index; None makes an ignore region of its boxes."""
    complete: tuple[int, ...]
    """Our classes that the set labels exhaustively."""
    by_length: dict[str, tuple[float, int]] = field(default_factory=dict)
    """
    Source class name -> (length in pixels, our class): boxes whose longer side has at least that
    length are of that class instead. For a set from one height whose annotators called every
    vehicle `car`.
    """


@dataclass(frozen=True, eq=False)
class MaskLabels:
    """What the mask values of a set mean."""

    names: tuple[str, ...]
    """Source labels, by value in the masks."""
    allowed: np.ndarray
    """bool [len(names), classes]: the classes a label may be; a row without True has no loss."""
    colors: tuple[Color, ...] | None = None
    """RGB colour of each label where the masks are colour images; None: they hold indices."""
    same_as: dict[int, int] = field(default_factory=dict)
    """
    Label -> the first label of the same classes, whose value it has when it is read. Its own row
    of `allowed` is empty, since no pixel has its value then.
    """


@dataclass(frozen=True)
class ListSplit:
    """The images of a split, where one file name is not enough to name them."""

    source: str | tuple[str, ...]
    """File that lists them, folder that holds them, or their stems."""
    without: str = ''
    """File that lists images to leave out, such as those that another set is validated on."""


@dataclass(frozen=True)
class Crops:
    """How training cuts large images of a set when they are loaded."""

    side: int
    """Longest side of a crop in pixels; an image that is no larger stays whole."""
    overlap: int
    """Pixels that neighbouring crops share at least: the length of the longest objects."""


@dataclass(frozen=True)
class FlightSplit:
    """Synthetic flights of a split: seeds `first_seed`.. and evenly spread frames of each."""

    first_seed: int
    flights: int
    frames: int


Split = str | ListSplit | FlightSplit
"""A file or folder in the path of the set, a `ListSplit`, or (synthetic) the flights."""


@dataclass(frozen=True)
class SetSpec:
    """One data set: where it is, how it is read, what its labels mean, how training draws it."""

    name: str
    reader: str
    path: Path
    splits: dict[str, Split]
    """Split name -> file in `path` that lists its images, or another way to name them."""
    boxes: BoxLabels | None
    masks: MaskLabels | None
    detection_weight: float
    """
    Share of training draws among the sets with boxes or `background`; 0 where there are none.
    """
    segmentation_weight: float
    """Share of training draws among the sets with masks; 0 where there are none."""
    scale: tuple[float, float]
    """Range of resize factors that suits the set's images in training."""
    box_class_pixels: dict[int, int]
    """
    Our box class -> the segmentation class of the pixels that it covers; empty where boxes give
    no labels of pixels. The middle of such a box is that class, and no pixel outside all of them
    is.
    """
    options: object
    """The reader's options, of the type that it declares; see `readers.registry.ReaderOptions`."""
    crops: Crops | None = None
    """None: training draws from whole images."""
    black_hot: bool = False
    """Whether high values of grey images of more than 8 bits are black instead of white."""
    background: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """
    Segmentation class -> our box classes of which there is an object only in pixels of that
    class: the masks of a set without boxes train these classes as background elsewhere. Empty
    where masks tell nothing about objects.
    """
    paste: dict[int, float] = field(default_factory=dict)
    """
    Our box class -> mean number of its objects that training pastes into an image, from other
    images of the set; see `pasting`.
    """

    @property
    def complete(self) -> tuple[int, ...]:
        """Our box classes that the set labels exhaustively in training."""
        if self.boxes is not None:
            return self.boxes.complete
        return tuple(sorted({index for ours in self.background.values() for index in ours}))

    @property
    def stretch(self) -> StretchPixels:
        """What reduces the set's images of more than 8 bits to 8."""
        return partial(stretched, black_hot=self.black_hot)


@dataclass(frozen=True)
class Manifest:
    """Our label sets and the data sets that are labelled in their terms."""

    detection: LabelSet | None
    segmentation: LabelSet | None
    score_groups: dict[str, tuple[int, ...]]
    """Group name -> detection classes that are scored together as if they were one class."""
    pixel_weights: tuple[float, ...]
    """Weight of each segmentation class in the training loss."""
    sets: tuple[SetSpec, ...]

    def set_named(self, name: str) -> SetSpec:
        """Return the set `name`; ConfigError lists the known ones otherwise."""
        for spec in self.sets:
            if spec.name == name:
                return spec
        raise ConfigError(f'no data set {name!r}; the manifest has '
                          + ', '.join(spec.name for spec in self.sets))
