"""
Merging the detections of overlapping tiles, so that an object on a seam is reported once.

Where two tiles overlap, an object can be detected twice: whole in both, whole in one and cut by
the border of the other, or, if it is longer than the overlap, cut in both. IoU alone, as in NMS,
does not distinguish a part from the whole object.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mtl_perception.inference.nms import suppress
from mtl_perception.inference.results import Detections
from mtl_perception.inference.tiles import Tile

CUT_MARGIN = 4.0
"""A box that ends within this distance, in network pixels, of a tile's border is cut by it."""

PART_COVER = 0.5
"""A part is removed if a whole object of its class in another tile covers this share of it."""

TWIN_IOU = 0.3
"""
Boxes of one class in two tiles are one object from this IoU on; each has at most one duplicate.

Lower than usual for NMS: an offset of 2 pixels reduces the IoU of a 12x19 person to 0.6.
"""

PIECE_SPAN = 0.75
PIECE_IOU = 0.5
"""
Two parts are one object if each fills this share of the overlap's width and their extents along
the seam have this IoU.
"""


def merge_tiles(tiles: Sequence[Tile], parts: Sequence[Detections], scale: tuple[float, float],
                threshold: float, limit: int) -> Detections:
    """
    Return the detections of the whole image from those of each of its tiles.

    All boxes are in pixels of the source image; `scale` is network pixels per source pixel, along
    x and y, in every tile. `threshold` and `limit` are those of the final NMS.
    """
    boxes = np.concatenate([part.boxes for part in parts])
    scores = np.concatenate([part.scores for part in parts])
    classes = np.concatenate([part.classes for part in parts])
    cut = _cut_sides(tiles, parts, scale)
    is_part = np.any(cut, axis=1)
    alive = np.ones(len(boxes), bool)
    pairs = list(_neighbours(tiles, parts, boxes))

    for _, _, first, second in pairs:
        for some, others in ((first, second), (second, first)):
            ends, wholes = some[is_part[some]], others[~is_part[others]]
            areas, common = _intersections(boxes, classes, ends, wholes)
            alive[ends[(common >= PART_COVER * areas[0]).any(axis=1)]] = False
    for _, _, first, second in pairs:
        for a, b in _twins(boxes, classes, first[alive[first]], second[alive[second]]):
            alive[b if scores[a] >= scores[b] else a] = False
    groups = np.arange(len(boxes))
    for one, other, first, second in pairs:
        for a, b in _pieces(one, other, boxes, classes, cut, first[alive[first] & is_part[first]],
                            second[alive[second] & is_part[second]]):
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
    """Return bool [N, 4]: whether each side of a box is at a tile border inside the image."""
    outer = np.array([tile.box for tile in tiles])
    image = np.concatenate([outer[:, :2].min(axis=0), outer[:, 2:].max(axis=0)])
    margin = CUT_MARGIN / np.array(scale * 2)
    return np.concatenate([
        (np.abs(part.boxes - tile.box) < margin) & (image != tile.box)
        for tile, part in zip(tiles, parts, strict=True)])


def _neighbours(tiles: Sequence[Tile], parts: Sequence[Detections], boxes: np.ndarray
                ) -> Iterator[tuple[Tile, Tile, np.ndarray, np.ndarray]]:
    """
    Yield all pairs of overlapping tiles with the indices of the boxes that reach into the other
    tile.

    Only these can belong to one object; this avoids comparing all pairs of boxes.
    """
    ends = np.cumsum([0, *(len(part) for part in parts)])
    for i, one in enumerate(tiles):
        for j in range(i + 1, len(tiles)):
            x0, y0 = (max(one.box[k], tiles[j].box[k]) for k in (0, 1))
            x1, y1 = (min(one.box[k], tiles[j].box[k]) for k in (2, 3))
            if x0 >= x1 or y0 >= y1:
                continue
            first, second = (
                np.flatnonzero((part[:, 0] < x1) & (part[:, 2] > x0)
                               & (part[:, 1] < y1) & (part[:, 3] > y0)) + ends[k]
                for k, part in ((i, boxes[ends[i]:ends[i + 1]]), (j, boxes[ends[j]:ends[j + 1]])))
            if len(first) and len(second):
                yield one, tiles[j], first, second


def _intersections(boxes: np.ndarray, classes: np.ndarray, some: np.ndarray, others: np.ndarray
                   ) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Return areas [S, 1] and [1, O], and the common area [S, O] of boxes of one class, or -1."""
    one, other = boxes[some].T[:, :, None], boxes[others].T[:, None]
    widths = np.minimum(one[2], other[2]) - np.maximum(one[0], other[0])
    heights = np.minimum(one[3], other[3]) - np.maximum(one[1], other[1])
    common = np.where(classes[some][:, None] == classes[others],
                      np.maximum(widths, 0) * np.maximum(heights, 0), -1)
    areas = [(corners[2] - corners[0]) * (corners[3] - corners[1]) for corners in (one, other)]
    return (areas[0], areas[1]), common


def _twins(boxes: np.ndarray, classes: np.ndarray, some: np.ndarray, others: np.ndarray
           ) -> Iterator[tuple[int, int]]:
    """Yield pairs of duplicate boxes, one from each tile; each box at most once."""
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
    """Yield pairs of parts of one object, one from each of two adjacent tiles."""
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
