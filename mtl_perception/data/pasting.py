"""
Copy-paste of rare objects (arXiv:2012.07177) between the training images of one set.

There are no outlines of objects, only boxes: a rectangle around the object is pasted, with a soft
edge, to where the image looks like the rectangle's own edge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mtl_perception.data.samples import BoxTruth, Sample

MARGIN_SHARE, MIN_MARGIN = 0.25, 3.0
"""
Width of the soft edge around an object as a share of the mean of its sides, and in pixels at
least. It holds the ground beside the object, and some of its shadow.
"""

MAX_OBJECTS = 8
"""So many objects, close enough to reach into each other's edges, are pasted as one at most."""

MAX_SHARE = 0.5
"""Longest side of what is pasted, as a share of the image's shorter side."""

SIZE_TOLERANCE = 0.25
"""
Largest difference of scale between two images, as a natural logarithm. An image's scale is the
median of its objects' sizes, each compared with the median size of its class in the set.
"""

PLACES = 128
"""Random places of which the most similar one is taken."""

DONORS = 3
"""Objects that are tried, one after the other, where there is no similar place for one."""

EDGE_POINTS = 64
"""Points of the edge of what is pasted that are compared with the image."""

SHIFT_SHARE, MAX_DIFFERENCE = 0.3, 22.0
"""
The difference of a place is the mean one along the edge after brightness is made equal, in grey
levels, and this share of the change in brightness. Where it is larger everywhere, nothing is
pasted.
"""


@dataclass(frozen=True, eq=False)
class _Donor:
    """A rectangle of an image with an object, or several close ones, that can be pasted."""

    image: int
    window: tuple[int, int, int, int]
    """x0, y0, x1, y1 in pixels of its image, soft edge included."""
    boxes: np.ndarray
    """float32 [N, 4] in pixels of the window."""
    classes: np.ndarray
    """int32 [N]."""
    margin: float
    """Width of the soft edge in pixels."""


class Pasting:
    """The objects of a set that can be pasted, by class."""

    def __init__(self, rates: Mapping[int, float],
                 images: Sequence[tuple[BoxTruth, int, int]]) -> None:
        """
        Find what can be pasted.

        `rates` are the mean numbers of objects to paste into an image, by class. `images` are the
        boxes, width and height of all images of the set in their order.
        """
        self._rates = dict(sorted(rates.items()))
        self._scales = _scales([truth for truth, _, _ in images])
        self._donors: dict[int, list[_Donor]] = {label: [] for label in rates}
        for number, (truth, width, height) in enumerate(images):
            for label in rates:
                self._donors[label] += _donors(number, truth, width, height, label)
        self._donor_scales = {
            label: self._scales[[donor.image for donor in donors]]
            for label, donors in self._donors.items()}

    def count(self, label: int) -> int:
        """Return the number of places in the images from which the class is pasted."""
        return len(self._donors[label])

    def paste(self, sample: Sample, number: int, read: Callable[[int], Sample],
              random: np.random.Generator) -> Sample:
        """
        Return `sample`, image `number` of the set, with objects of other images in free places.

        `read` returns an image of the set. Where no place is free and similar, or no image of
        this scale has an object, none is pasted.
        """
        assert sample.boxes is not None
        image, truth = sample.image, sample.boxes
        taken: list[np.ndarray] = []
        for label, rate in self._rates.items():
            attempts = DONORS * int(random.poisson(rate))
            while attempts > 0:
                attempts -= 1
                donor = self._draw(label, number, random)
                if donor is None:
                    break
                patch, boxes = _patch(donor, read(donor.image).image, random.random(2) < 0.5)
                place = _find_place(image, patch, np.concatenate(
                    [truth.boxes, truth.ignore, *taken]), random)
                if place is None:
                    continue
                attempts -= attempts % DONORS
                if image is sample.image:
                    image = image.copy()
                x, y, change = place
                _blend(image, patch + change.astype(np.float32), (x, y), donor.margin)
                shift = np.array([x, y, x, y], np.float32)
                height, width = patch.shape[:2]
                taken.append(np.array([[x, y, x + width, y + height]], np.float32))
                truth = BoxTruth(np.concatenate((truth.boxes, boxes + shift)),
                                 np.concatenate((truth.classes, donor.classes)), truth.ignore)
        return replace(sample, image=image, boxes=truth)

    def _draw(self, label: int, number: int, random: np.random.Generator) -> _Donor | None:
        donors = self._donors[label]
        similar = np.abs(self._donor_scales[label] - self._scales[number]) <= SIZE_TOLERANCE
        if np.isnan(self._scales[number]):  # An image without objects may have any scale.
            similar = np.ones(len(donors), bool)
        rows = [row for row in np.flatnonzero(similar).tolist() if donors[row].image != number]
        return donors[rows[random.integers(len(rows))]] if rows else None


def _scales(truths: Sequence[BoxTruth]) -> np.ndarray:
    """Return the logarithm of each image's scale, float64 [images]; NaN without objects."""
    sizes = [np.log((truth.boxes[:, 2:] - truth.boxes[:, :2]).prod(axis=1)) / 2
             for truth in truths]
    classes = np.concatenate([truth.classes for truth in truths])
    together = np.concatenate(sizes)
    typical = {label: np.median(together[classes == label]) for label in np.unique(classes)}
    return np.array([
        np.median(own - [typical[label] for label in truth.classes]) if len(own) else np.nan
        for own, truth in zip(sizes, truths, strict=True)])


def _donors(number: int, truth: BoxTruth, width: int, height: int, label: int) -> list[_Donor]:
    """Return what can be pasted of class `label` from one image; each object is in one at most."""
    found = []
    used: set[int] = set()
    for row in np.flatnonzero(truth.classes == label).tolist():
        if row in used:
            continue
        rows = [row]
        while True:
            own = truth.boxes[rows]
            margin = max(MIN_MARGIN, MARGIN_SHARE * float((own[:, 2:] - own[:, :2]).mean()))
            window = np.concatenate((np.floor(own[:, :2].min(axis=0) - margin),
                                     np.ceil(own[:, 2:].max(axis=0) + margin)))
            reached = np.flatnonzero(_overlap(truth.boxes, window)).tolist()
            if len(reached) == len(rows) or len(reached) > MAX_OBJECTS:
                break
            rows = reached
        used.update(reached)
        x0, y0, x1, y1 = (int(value) for value in window)
        # An object at the border of the image may be cut off.
        if len(reached) <= MAX_OBJECTS and min(x0, y0) >= 0 and x1 <= width and y1 <= height \
                and max(x1 - x0, y1 - y0) <= MAX_SHARE * min(width, height) \
                and not _overlap(truth.ignore, window).any():
            corner = np.array([x0, y0, x0, y0], np.float32)
            found.append(_Donor(number, (x0, y0, x1, y1), own - corner,
                                truth.classes[rows], margin))
    return found


def _overlap(boxes: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Return bool [N]: which `boxes` [N, 4] have a part in `window` [4]."""
    apart = (boxes[:, :2] >= window[2:]) | (boxes[:, 2:] <= window[:2])
    found: np.ndarray = np.logical_or.reduce(apart, axis=1)
    return ~found


def _patch(donor: _Donor, image: np.ndarray, flips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels and boxes of `donor`, mirrored in x and y where `flips` [2] is True."""
    x0, y0, x1, y1 = donor.window
    patch, boxes = image[y0:y1, x0:x1], donor.boxes
    for axis, length in enumerate((x1 - x0, y1 - y0)):
        if flips[axis]:
            patch = np.flip(patch, axis=1 - axis)
            boxes = boxes.copy()
            boxes[:, [axis, axis + 2]] = length - boxes[:, [axis + 2, axis]]
    return patch, boxes


def _find_place(image: np.ndarray, patch: np.ndarray, taken: np.ndarray,
                random: np.random.Generator) -> tuple[int, int, np.ndarray] | None:
    """
    Return x, y of the free place that fits the patch's edge best, and what to add to the patch.

    That is float64 [3], in grey levels: cameras adapt their exposure, thermal ones above all. None
    where no place is free and similar enough.
    """
    height, width = patch.shape[:2]
    room = image.shape[1] - width, image.shape[0] - height
    if min(room) < 0:
        return None
    places = random.integers(0, np.array(room) + 1, (PLACES, 2))
    free = ~((taken[:, None, :2] < places + (width, height))
             & (taken[:, None, 2:] > places)).all(axis=2).any(axis=0)
    places = places[free]
    if not len(places):
        return None
    columns, rows = _edge(width, height).T
    own = patch[rows, columns].astype(float)
    there = image[places[:, 1, None] + rows, places[:, 0, None] + columns]
    apart = there - own
    shifts = apart.mean(axis=1)
    differences = np.abs(apart - shifts[:, None]).mean(axis=(1, 2)) \
        + SHIFT_SHARE * np.abs(shifts).mean(axis=1)
    best = int(differences.argmin())
    if differences[best] > MAX_DIFFERENCE:
        return None
    return int(places[best, 0]), int(places[best, 1]), shifts[best]


def _edge(width: int, height: int) -> np.ndarray:
    """Return x, y of `EDGE_POINTS` pixels along the edge of a rectangle, int64 [N, 2]."""
    along = np.linspace(0, 1, EDGE_POINTS // 4, endpoint=False)
    zero, one = np.zeros_like(along), np.ones_like(along)
    around = np.concatenate((np.stack((along, zero), 1), np.stack((one, along), 1),
                             np.stack((1 - along, one), 1), np.stack((zero, 1 - along), 1)))
    return np.rint(around * (width - 1, height - 1)).astype(int)


def _blend(image: np.ndarray, patch: np.ndarray, place: tuple[int, int], margin: float) -> None:
    """Put `patch` at `place` of `image`, its edge of width `margin` fading into the image."""
    height, width = patch.shape[:2]
    rows, columns = (
        (np.minimum(np.arange(side) + 1, side - np.arange(side)) / (margin + 1)).clip(0, 1)
        for side in (height, width))
    share = (rows[:, None] * columns)[..., None].astype(np.float32)
    x, y = place
    below = image[y:y + height, x:x + width]
    below[:] = np.rint((below + share * (patch - below)).clip(0, 255)).astype(np.uint8)
