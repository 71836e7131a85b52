"""
Cutting an image larger than the network input into overlapping tiles.

Small objects are lost when a large image is shrunk to the input size. Tiles preserve their size,
at the cost of one forward pass each; they overlap so that an object on a seam is whole in one of
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
import math
import re

from mtl_perception.errors import ConfigError

AUTO_RATIO = 1.5
"""`auto` cuts an image if a side exceeds this multiple of the input's."""

MIN_SCALE = 0.8
"""
Minimum scale of the tiles of `auto`, in network pixels per source pixel.

A scale of 1 would require 6 tiles for 1280x720 and an input of 640x640; 0.89 requires 2.
"""

MAX_SCALE = 1.25
"""Maximum scale of the tiles of `auto`."""

MIN_USED = 0.75
"""
A row or column of tiles of `auto` has more of them where they use less than this of the input.

1764x430 requires 3 tiles at a scale of 0.94, which leave 37 % of an input of 640x640 empty; 4 at
1.23 leave 17 %. On 25 images of this size, with cars 33 px long, AP50 was 0.947 instead of 0.916,
and 0.945 instead of 0.884 with a network of docs/accuracy.md.
"""

MIN_OVERLAP = 0.2
MIN_OVERLAP_PIXELS = 96
"""Tiles overlap by this share of a tile and by these source pixels; half a tile at most."""

MAX_ROWS = 32
MIN_TILE = 32
"""A side is cut into fewer tiles than requested if they would be smaller than this."""

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Tile:
    """A part of the source image; boxes are (x0, y0, x1, y1) in its pixels."""

    box: Box
    """The part that the network processes."""
    cell: Box
    """The part of the label map taken from this tile, up to the middle of each overlap."""


def parse_tiles(text: str) -> tuple[int, int] | str:
    """Return 'off', 'auto' or (rows, columns) of 'ROWSxCOLUMNS'; ConfigError otherwise."""
    if text in ('off', 'auto'):
        return text
    match = re.fullmatch(r'(\d{1,2})x(\d{1,2})', text) if isinstance(text, str) else None
    rows, columns = (int(match[1]), int(match[2])) if match else (0, 0)
    if not (0 < rows <= MAX_ROWS and 0 < columns <= MAX_ROWS):
        raise ConfigError(
            f'tiles {text!r} is neither off, auto nor ROWSxCOLUMNS such as 2x3, each in '
            f'1..{MAX_ROWS}')
    return rows, columns


@lru_cache(maxsize=64)
def plan_tiles(source: tuple[int, int], network: tuple[int, int], tiles: str) -> tuple[Tile, ...]:
    """
    Return the tiles, row by row and all of one size, for an image of size `source`.

    Sizes are (width, height); `network` is the input's. `tiles` is 'off', 'auto' or
    'ROWSxCOLUMNS'. Raises ConfigError if `tiles` is none of these.
    """
    choice = parse_tiles(tiles)
    if choice == 'off' or (choice == 'auto' and all(
            src <= AUTO_RATIO * net for src, net in zip(source, network, strict=True))):
        whole = (0, 0, *source)
        return (Tile(whole, whole),)
    if isinstance(choice, str):
        columns, rows, width, height = _auto(source, network)
    else:
        rows, columns = (
            min(count, max(1, side // MIN_TILE))
            for count, side in zip(choice, source[::-1], strict=True))
        width, height = _tile_side(source[0], columns), _tile_side(source[1], rows)
    return tuple(
        Tile((x, y, x + width, y + height), (left, top, right, bottom))
        for y, top, bottom in _spread(source[1], height, rows)
        for x, left, right in _spread(source[0], width, columns))


def _auto(source: tuple[int, int], network: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return columns and rows of `auto`, and width and height of its tiles."""
    columns, rows = (
        _fewest(src, net / MIN_SCALE) for src, net in zip(source, network, strict=True))
    scale = _scale(source, network, columns, rows)
    while True:
        # At this scale a tile can have the full input size, which increases the overlap.
        width, height = (
            min(src, max(_tile_side(src, count), int(net / min(scale, MAX_SCALE))))
            for src, net, count in zip(source, network, (columns, rows), strict=True))
        used = width * height * min(scale, MAX_SCALE)**2 / (network[0] * network[1])
        more = (columns + 1, rows) if rows == 1 else (columns, rows + 1)
        finer = _scale(source, network, *more)
        if used >= MIN_USED or 1 not in (columns, rows) or finer > MAX_SCALE:
            return columns, rows, width, height
        (columns, rows), scale = more, finer


def _scale(source: tuple[int, int], network: tuple[int, int], columns: int, rows: int) -> float:
    """Return the scale at which tiles fill the input in one direction."""
    return min(net / _tile_side(src, count)
               for src, net, count in zip(source, network, (columns, rows), strict=True))


def _tile_side(side: int, count: int) -> int:
    """Return the side of `count` tiles that cover `side` pixels with the minimum overlap."""
    by_share = side / (count - MIN_OVERLAP * (count - 1))
    by_pixels = (side + MIN_OVERLAP_PIXELS * (count - 1)) / count
    by_half = 2 * side / (count + 1)
    return math.ceil(min(max(by_share, by_pixels), by_half))


def _fewest(side: int, longest: float) -> int:
    """Return the minimum number of tiles of at most `longest` that cover `side` pixels."""
    count = 1
    while _tile_side(side, count) > longest:
        count += 1
    return count


def _spread(side: int, tile: int, count: int) -> list[tuple[int, int, int]]:
    """Return start, cell start and cell end of `count` evenly spread tiles."""
    starts = [round(i * (side - tile) / max(count - 1, 1)) for i in range(count)]
    seams = [(start + tile + following) // 2 for start, following in pairwise(starts)]
    return list(zip(starts, [0, *seams], [*seams, side], strict=True))
