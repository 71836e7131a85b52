"""
Pixel labels as sets of classes.

A source label may be ambiguous between several of our classes. Every distinct set of classes in a
manifest gets a small number; the numbers of the single classes are the class indices themselves,
so a fully labelled mask is its own label map.
"""

from __future__ import annotations

import numpy as np

from mtl_perception.data.samples import BoxTruth
from mtl_perception.data.set_spec import Manifest, SetSpec
from mtl_perception.errors import ConfigError
from mtl_perception.labels import IGNORE_LABEL

INNER_SHARE = 0.6
"""Share of a box's width and height, around its centre, whose pixels get the box's class."""


class ClassSets:
    """Numbers of the class sets of a manifest and the way from masks and boxes to them."""

    def __init__(self, manifest: Manifest) -> None:
        assert manifest.segmentation is not None
        self.classes = len(manifest.segmentation)
        self._numbers = {frozenset([c]): c for c in range(self.classes)}
        self._luts: dict[str, np.ndarray] = {}
        self._outside: dict[str, int] = {}
        self._of_masks = set(range(self.classes))
        for spec in manifest.sets:
            if spec.masks is not None:
                lut = np.full(256, IGNORE_LABEL, np.uint8)
                for value, row in enumerate(spec.masks.allowed):
                    if row.any():
                        lut[value] = self._number(frozenset(np.flatnonzero(row).tolist()))
                        self._of_masks.add(int(lut[value]))
                self._luts[spec.name] = lut
            if spec.box_class_pixels:
                shown = set(spec.box_class_pixels.values())
                self._outside[spec.name] = self._number(
                    frozenset(range(self.classes)) - shown)

    def _number(self, classes: frozenset[int]) -> int:
        number = self._numbers.setdefault(classes, len(self._numbers))
        if number >= IGNORE_LABEL:
            raise ConfigError(f'the manifest has more than {IGNORE_LABEL - 1} sets of classes')
        return number

    def table(self) -> np.ndarray:
        """Return bool [sets, classes]: the classes of each set, by its number."""
        table = np.zeros((len(self._numbers), self.classes), bool)
        for classes, number in self._numbers.items():
            table[number, list(classes)] = True
        return table

    def of_masks(self) -> np.ndarray:
        """Return bool [sets]: whether labels of a mask map to the set."""
        numbers = np.arange(len(self._numbers))
        return np.isin(numbers, list(self._of_masks))

    def from_mask(self, spec: SetSpec, mask: np.ndarray) -> np.ndarray:
        """Return set numbers uint8 [H, W] for a mask of source labels of the set `spec`."""
        return self._luts[spec.name][mask]

    def from_boxes(self, spec: SetSpec, truth: BoxTruth, size: int) -> np.ndarray:
        """
        Return set numbers uint8 [size, size] as far as boxes alone determine them.

        The middle of a box has its class; its rim is unknown; pixels outside all boxes have none
        of these classes, since the set is exhaustively labelled for them.
        """
        labels = np.full((size, size), self._outside[spec.name], np.uint8)
        for x0, y0, x1, y1 in truth.ignore:
            _fill(labels, (x0, y0, x1, y1), IGNORE_LABEL)
        inside = [(box, spec.box_class_pixels[label]) for box, label
                  in zip(truth.boxes, truth.classes.tolist(), strict=True)
                  if label in spec.box_class_pixels]
        for (x0, y0, x1, y1), _ in inside:
            _fill(labels, (x0 - 1, y0 - 1, x1 + 1, y1 + 1), IGNORE_LABEL)
        for (x0, y0, x1, y1), number in inside:
            dx, dy = (x1 - x0) * (1 - INNER_SHARE) / 2, (y1 - y0) * (1 - INNER_SHARE) / 2
            _fill(labels, (x0 + dx, y0 + dy, x1 - dx, y1 - dy), number)
        return labels

    def has_pixels_of_boxes(self, spec: SetSpec) -> bool:
        """Return whether boxes of the set `spec` determine labels of pixels."""
        return spec.name in self._outside


def _fill(labels: np.ndarray, box: tuple[float, float, float, float], number: int) -> None:
    """Set the pixels whose centres lie in `box` (x0, y0, x1, y1) to `number`."""
    x0, y0, x1, y1 = (max(0, round(float(v))) for v in box)
    labels[y0:y1, x0:x1] = number
