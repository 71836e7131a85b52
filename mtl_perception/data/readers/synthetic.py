"""Synthetic flights as a data set: drawn instead of read, with boxes and masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mtl_perception.data.readers.boxes import BoxList
from mtl_perception.data.readers.registry import ReaderOptions, register_reader
from mtl_perception.data.readers.splits import FlightsSplit
from mtl_perception.data.samples import BoxTruth, Sample
from mtl_perception.data.set_spec import FlightSplit, SetSpec
from mtl_perception.data.synthetic import (
    BOX_NAMES,
    CLUTTER_BOX_NAMES,
    MASK_NAMES,
    SyntheticFlight,
)
from mtl_perception.errors import ConfigError
from mtl_perception.images.listing import spread


class SyntheticOptions(ReaderOptions):
    """Options of the reader `synthetic`."""

    width: int = 640
    height: int = 480
    flight_frames: int = 300
    """Frames of a whole flight, of which a split takes some."""
    clutter: bool = False
    """Whether there are persons, and things that only look like vehicles (`SyntheticFlight`)."""


@register_reader('synthetic', SyntheticOptions, boxes=True, masks=True, split=FlightsSplit,
                 default_splits={}, image_files=False, on_disk=False)
class SyntheticSet:
    """
    Frames of synthetic flights, spread evenly over each flight.

    Frames of one flight follow each other, and the last flight is kept: reading in order draws
    each town once.
    """

    def __init__(self, spec: SetSpec) -> None:
        self.spec = spec
        self._options = SyntheticOptions.of(spec)
        if spec.boxes:
            self._check_boxes(set(spec.boxes.mapping))
        if spec.masks and spec.masks.names != MASK_NAMES:
            raise ConfigError(f'data set {spec.name}: `masks` must list, in this order, '
                              + ', '.join(MASK_NAMES))
        for split in spec.splits.values():
            assert isinstance(split, FlightSplit)
            if split.frames > self._options.flight_frames:
                raise ConfigError(f'data set {spec.name}: {split.frames} frames of a flight of '
                                  f'{self._options.flight_frames}; lower `frames`')
        self._seed: int | None = None
        self._flight: SyntheticFlight | None = None

    def stems(self, split: str) -> Sequence[str]:
        """Return '<seed>_<frame>' of the split's frames."""
        flights = self._split(split)
        return [f'{flights.first_seed + flight}_{frame:04}' for flight in range(flights.flights)
                for frame in self._frames(flights)]

    def read(self, split: str, index: int) -> Sample:
        """Return the split's frame `index` with its boxes and mask."""
        flights = self._split(split)
        if not 0 <= index < flights.flights * flights.frames:
            raise IndexError(index)
        seed = flights.first_seed + index // flights.frames
        number = self._frames(flights)[index % flights.frames]
        if self._flight is None or self._seed != seed:
            self._flight = SyntheticFlight(
                seed, self._options.width, self._options.height, self._options.flight_frames,
                clutter=self._options.clutter)
            self._seed = seed
        frame = self._flight[number]
        name = f'{self.spec.name}/{seed}_{number:04}'
        boxes: BoxTruth | None = None
        if self.spec.boxes:
            found = BoxList(self.spec.boxes, self._options.width, self._options.height)
            for box, label in zip(frame.boxes.tolist(), frame.classes.tolist(), strict=True):
                source_class = self._flight.box_names[label]
                # A manifest need not know of persons.
                if source_class in BOX_NAMES or source_class in self.spec.boxes.mapping:
                    found.add(source_class, tuple(box), name)
            boxes = found.truth()
        return Sample(name, np.ascontiguousarray(frame.image), boxes,
                      frame.mask if self.spec.masks else None)

    def _check_boxes(self, mapped: set[str]) -> None:
        name, clutter = self.spec.name, self._options.clutter
        if not clutter and mapped == set(CLUTTER_BOX_NAMES):
            raise ConfigError(f'data set {name}: `boxes.classes` maps person, of which these '
                              'flights have none; set `options: {clutter: true}` or remove it')
        if mapped != set(BOX_NAMES) and not (clutter and mapped == set(CLUTTER_BOX_NAMES)):
            raise ConfigError(f'data set {name}: `boxes.classes` must map exactly '
                              + ', '.join(BOX_NAMES) + (' and, if wanted, person' * clutter))

    def _split(self, split: str) -> FlightSplit:
        flights = self.spec.splits.get(split)
        if not isinstance(flights, FlightSplit):
            raise ConfigError(f'data set {self.spec.name} has no split {split!r}; it has '
                              + ', '.join(self.spec.splits))
        return flights

    def _frames(self, flights: FlightSplit) -> Sequence[int]:
        return spread(self._options.flight_frames, flights.frames)
