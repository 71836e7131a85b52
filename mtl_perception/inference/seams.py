"""
Detections of overlapping tiles made one: an object on a seam counts once.

Where two tiles overlap, an object can be seen twice: whole in both, whole in one and cut by the
border of the other, or, if it is longer than the overlap, cut in both. IoU alone, as in NMS, does
not tell a part from its whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from mtl_perception.inference.nms import suppress
from mtl_perception.inference.results import Detections
from mtl_perception.inference.tiles import Tile

CUT_MARGIN = 4.0
"""A box that ends within so many network pixels of a tile's border is cut by it."""

PART_COVER = 0.5
"""A part goes where a whole object of its class in another tile covers this share of it."""

TWIN_IOU = 0.3
"""
Two boxes of a class in two tiles are one object from this IoU on, each with one twin at most.

Lower than is usual for NMS: 2 pixels of difference leave a person of 12x19 pixels an IoU of 0.6.
"""

PIECE_SPAN = 0.75
PIECE_IOU = 0.5
"""
Two parts are one object where each fills this share of the overlap's breadth and their extents
along the seam have this IoU.
"""


def merge_tiles(tiles: Sequence[Tile], parts: Sequence[Detections], scale: tuple[float, float],
                threshold: float, limit: int) -> Detections:
    """
    Return the detections of the whole image from those of each of its tiles.

    All boxes are in pixels of the source image; `scale` is network pixels per source pixel, along
    x and y, in every tile. `threshold` and `limit` are those of the NMS that comes last.
    """
    boxes = np.concatenate([part.boxes for part in parts])
    scores = np.concatenate([part.scores for part in parts])
    classes = np.concatenate([part.classes for part in parts])
    cut = _cut_sides(tiles, parts, scale)
    is_part = np.any(cut, axis=1)
    alive = np.ones(len(boxes), bool)
    ends = np.cumsum([0, *(len(part) for part in parts)])
    members = [np.arange(start, end) for start, end in pairwise(ends)]
    # Tile by neighbour, so that memory does not grow with the square of all boxes.
    pairs = [(i, j) for i in range(len(tiles)) for j in range(i + 1, len(tiles))
             if len(members[i]) and len(members[j]) and _overlap(tiles[i], tiles[j])]

    for i, j in [*pairs, *((j, i) for i, j in pairs)]:
        some, wholes = members[i][is_part[members[i]]], members[j][~is_part[members[j]]]
        areas, common = _intersections(boxes, classes, some, wholes)
        alive[some[(common >= PART_COVER * areas[0]).any(axis=1)]] = False
    for i, j in pairs:
        some, others = (members[k][alive[members[k]]] for k in (i, j))
        for a, b in _twins(boxes, classes, some, others):
            alive[b if scores[a] >= scores[b] else a] = False
    groups = np.arange(len(boxes))
    for i, j in pairs:
        some, others = (members[k][alive[members[k]] & is_part[members[k]]] for k in (i, j))
        for a, b in _pieces(tiles[i], tiles[j], boxes, classes, cut, some, others):
            groups[groups == groups[b]] = groups[a]
    for group in np.unique(groups[alive & (groups != np.arange(len(boxes)))]):
        pieces = np.flatnonzero(groups == group)
        best = pieces[np.argmax(scores[pieces])]
        boxes[best, :2] = boxes[pieces, :2].min(axis=0)
        boxes[best, 2:] = boxes[pieces, 2:].max(axis=0)
        alive[pieces] = pieces == best

    kept = np.flatnonzero(alive)
    kept = kept[suppress(boxes[kept], scores[kept], classes[kept], threshold, limit)]
    return Detections(boxes[kept], scores[kept], classes[kept])


def _cut_sides(tiles: Sequence[Tile], parts: Sequence[Detections],
               scale: tuple[float, float]) -> np.ndarray:
    """Return bool [N, 4]: is the box's left, top, right, bottom at a border inside the image."""
    outer = np.array([tile.box for tile in tiles])
    image = np.concatenate([outer[:, :2].min(axis=0), outer[:, 2:].max(axis=0)])
    margin = CUT_MARGIN / np.array(scale * 2)
    return np.concatenate([
        (np.abs(part.boxes - tile.box) < margin) & (image != tile.box)
        for tile, part in zip(tiles, parts, strict=True)])


def _overlap(one: Tile, other: Tile) -> bool:
    return all(one.box[axis] < other.box[axis + 2] and other.box[axis] < one.box[axis + 2]
               for axis in (0, 1))


def _intersections(boxes: np.ndarray, classes: np.ndarray, some: np.ndarray, others: np.ndarray
                   ) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Return areas [S, 1] and [1, O], and the area [S, O] that boxes of one class share, or -1."""
    one, two = boxes[some][:, None], boxes[others][None]
    sides = np.minimum(one[..., 2:], two[..., 2:]) - np.maximum(one[..., :2], two[..., :2])
    common = np.where(
        classes[some][:, None] == classes[others], np.maximum(sides, 0).prod(axis=2), -1)
    areas = (one[..., 2:] - one[..., :2]).prod(axis=2), (two[..., 2:] - two[..., :2]).prod(axis=2)
    return areas, common


def _twins(boxes: np.ndarray, classes: np.ndarray, some: np.ndarray, others: np.ndarray
           ) -> Iterator[tuple[int, int]]:
    """Yield pairs of boxes, one of each tile, that are one object; each box at most once."""
    areas, common = _intersections(boxes, classes, some, others)
    iou = common / np.maximum(areas[0] + areas[1] - common, 1e-9)
    rows, columns = np.nonzero(iou >= TWIN_IOU)
    taken: set[int] = set()
    for k in np.argsort(-iou[rows, columns], kind='stable'):
        a, b = int(some[rows[k]]), int(others[columns[k]])
        if a not in taken and b not in taken:
            taken |= {a, b}
            yield a, b


def _pieces(first: Tile, second: Tile, boxes: np.ndarray, classes: np.ndarray, cut: np.ndarray,
            some: np.ndarray, others: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield pairs of parts, one of each of two tiles side by side, that are one object."""
    for axis in (0, 1):
        across = 1 - axis
        begin, end = second.box[axis], first.box[axis + 2]
        if first.box[axis] >= begin or first.box[across] != second.box[across]:
            continue  # `first` is not the tile to the left of, or above, `second`
        breadth = PIECE_SPAN * (end - begin)
        before = some[cut[some, axis + 2] & (end - boxes[some, axis] >= breadth)]
        after = others[cut[others, axis] & (boxes[others, axis + 2] - begin >= breadth)]
        for a in before:
            low, high = boxes[a, across], boxes[a, across + 2]
            lows, highs = boxes[after, across], boxes[after, across + 2]
            common = np.minimum(high, highs) - np.maximum(low, lows)
            hull = np.maximum(high, highs) - np.minimum(low, lows)
            meets = (common >= PIECE_IOU * hull) & (classes[after] == classes[a])
            for b in after[meets]:
                yield int(a), int(b)
