from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from mtl_perception.errors import ConfigError
from mtl_perception.inference.tiles import (
    MAX_SCALE,
    MIN_OVERLAP,
    MIN_OVERLAP_PIXELS,
    MIN_SCALE,
    parse_tiles,
    plan_tiles,
)

NETWORKS = st.sampled_from([(640, 640), (320, 320), (640, 512), (300, 300)])
SIZES = st.tuples(st.integers(1, 3000), st.integers(1, 3000))


def _size(tile):
    return tile.box[2] - tile.box[0], tile.box[3] - tile.box[1]


def _rows_and_columns(plan):
    return len({tile.box[1] for tile in plan}), len({tile.box[0] for tile in plan})


@settings(max_examples=150)
@given(SIZES, NETWORKS, st.sampled_from(['off', 'auto', '1x1', '2x3', '5x1', '7x9', '32x32']))
def test_tiles_cover_image_and_cells_partition_it(source, network, tiles):
    plan = plan_tiles(source, network, tiles)
    owners = np.zeros(source[::-1], np.uint16)
    for tile in plan:
        left, top, right, bottom = tile.box
        assert 0 <= left < right <= source[0] and 0 <= top < bottom <= source[1]
        x0, y0, x1, y1 = tile.cell
        assert left <= x0 < x1 <= right and top <= y0 < y1 <= bottom
        owners[y0:y1, x0:x1] += 1
    assert owners.min() == owners.max() == 1
    assert len({_size(tile) for tile in plan}) == 1


@settings(max_examples=150)
@given(SIZES, NETWORKS, st.sampled_from(['auto', '2x3', '4x4']))
def test_neighbours_overlap_enough(source, network, tiles):
    plan = plan_tiles(source, network, tiles)
    for axis in (0, 1):
        starts = sorted({tile.box[axis] for tile in plan})
        side = _size(plan[0])[axis]
        # Starts are whole pixels: tolerance of half a pixel.
        least = min(max(MIN_OVERLAP * side, MIN_OVERLAP_PIXELS), side / 2) - 1.5
        for start, following in pairwise(starts):
            assert start + side - following >= least


@settings(max_examples=150)
@given(SIZES, NETWORKS)
def test_auto_cuts_only_large_images(source, network):
    plan = plan_tiles(source, network, 'auto')
    if all(src <= 1.5 * net for src, net in zip(source, network, strict=True)):
        assert [tile.box for tile in plan] == [(0, 0, *source)]
        return
    assert len(plan) > 1
    scales = [net / side for net, side in zip(network, _size(plan[0]), strict=True)]
    assert MIN_SCALE - 0.01 <= min(scales) <= MAX_SCALE + 0.01  # whole pixels


@pytest.mark.parametrize(('source', 'network', 'shape', 'size'), [
    ((640, 480), (640, 640), (1, 1), (640, 480)),
    ((960, 960), (640, 640), (1, 1), (960, 960)),
    ((961, 400), (640, 640), (1, 2), (534, 400)),
    ((1280, 720), (640, 640), (1, 2), (720, 720)),
    ((1764, 430), (640, 640), (1, 4), (519, 430)),
    ((430, 1764), (640, 640), (4, 1), (430, 519)),
    ((4000, 300), (640, 640), (1, 9), (541, 300)),
    ((1000, 1000), (640, 640), (2, 2), (556, 556)),
    ((1920, 1080), (640, 640), (2, 3), (739, 739)),
    ((4000, 3000), (640, 640), (5, 6), (800, 800)),
    ((640, 512), (320, 320), (2, 2), (368, 368))])
def test_tiles_of_common_sizes(source, network, shape, size):
    plan = plan_tiles(source, network, 'auto')
    assert (_rows_and_columns(plan), _size(plan[0])) == (shape, size)


def test_requested_rows_and_columns():
    assert _rows_and_columns(plan_tiles((640, 512), (640, 640), '2x3')) == (2, 3)
    assert _rows_and_columns(plan_tiles((100, 20), (640, 640), '4x4')) == (1, 3)
    assert len(plan_tiles((1, 1), (640, 640), '32x32')) == 1


@pytest.mark.parametrize('text', ['', 'on', '0x2', '2x0', '2', '2x', 'x2', '33x1', '2x33', '-1x2',
                                  '2x2x2', ' 2x2', '100x1', 'AUTO', None, 3])
def test_invalid_text_is_rejected(text):
    with pytest.raises(ConfigError, match='neither off, auto nor ROWSxCOLUMNS'):
        parse_tiles(text)


def test_valid_texts_are_parsed():
    assert [parse_tiles(text) for text in ('off', 'auto', '2x3', '32x1')] == [
        'off', 'auto', (2, 3), (32, 1)]
