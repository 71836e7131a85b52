from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mtl_perception.data.readers import DataSet
from mtl_perception.data.synthetic import SyntheticFlight
from mtl_perception.errors import ConfigError

NAMES = ['building', 'road', 'vegetation', 'water', 'ground', 'vehicle']
ENTRY: dict[str, Any] = {
    'reader': 'synthetic',
    'splits': {'val': {'first_seed': 8, 'flights': 2, 'frames': 3}},
    'options': {'width': 480, 'height': 360, 'flight_frames': 30},
    'boxes': {'classes': {'car': 'bus', 'large_vehicle': 'car'}, 'complete': ['car']},
    'masks': {name: 'road' if name == 'road' else [] for name in NAMES}}

Opener = Callable[..., DataSet]


def test_frames_are_spread_over_each_flight(open_tree: Opener) -> None:
    assert list(open_tree(**ENTRY).stems('val')) == [
        '8_0005', '8_0015', '8_0025', '9_0005', '9_0015', '9_0025']


@pytest.mark.slow
def test_sample_is_the_frame_of_its_name(open_tree: Opener) -> None:
    data = open_tree(**ENTRY)
    flight = SyntheticFlight(9, 480, 360, 30)
    seen = 0
    # Out of order, so that the flight that is kept is not always the right one.
    for index, number in ((4, 15), (0, None), (5, 25)):
        sample = data.read('val', index)
        assert sample.image.shape == (360, 480, 3)
        if number is None:
            continue
        frame = flight[number]
        assert sample.name == f'set/9_{number:04}'
        assert (sample.image == frame.image).all()
        assert sample.mask is not None
        assert (sample.mask == frame.mask).all()
        assert sample.boxes is not None
        np.testing.assert_array_equal(sample.boxes.boxes, frame.boxes)
        assert sample.boxes.classes.tolist() == [1 - c for c in frame.classes.tolist()]
        seen += len(frame.boxes)
    assert seen > 0


@pytest.mark.slow
def test_without_masks(open_tree: Opener) -> None:
    entry = {key: value for key, value in ENTRY.items() if key != 'masks'}
    sample = open_tree(**entry).read('val', 0)
    assert sample.mask is None
    assert sample.boxes is not None


@pytest.mark.parametrize(('changes', 'problem'), [
    ({'boxes': {'classes': {'car': 'car'}, 'complete': ['car']}}, 'must map exactly car, '),
    ({'masks': {'road': 'road'}}, 'must list, in this order, building, road'),
    ({'splits': {'val': {'first_seed': 8, 'flights': 2, 'frames': 31}}}, '31 frames of a flight'),
])
def test_wrong_entry(open_tree: Opener, changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=f'^data set set: .*{problem}'):
        open_tree(**{**ENTRY, **changes})


CLUTTER: dict[str, Any] = {
    **ENTRY, 'options': {**ENTRY['options'], 'clutter': True},
    'boxes': {'classes': {'car': 'car', 'large_vehicle': 'car', 'person': 'bus'},
              'complete': ['car', 'bus']}}


@pytest.mark.slow
def test_persons_are_read_where_the_manifest_maps_them(open_tree: Opener) -> None:
    flight = SyntheticFlight(8, 480, 360, 30, clutter=True)
    data = open_tree(**CLUTTER)
    without = open_tree(**{**CLUTTER, 'boxes': {
        'classes': {'car': 'car', 'large_vehicle': 'car'}, 'complete': ['car']}})
    persons = 0
    for index, number in enumerate((5, 15, 25)):
        frame = flight[number]
        vehicle = frame.classes < 2
        sample, less = data.read('val', index), without.read('val', index)
        assert (sample.image == frame.image).all()
        assert sample.boxes is not None
        assert less.boxes is not None
        np.testing.assert_array_equal(sample.boxes.boxes, frame.boxes)
        np.testing.assert_array_equal(less.boxes.boxes, frame.boxes[vehicle])
        assert len(less.boxes.ignore) == 0
        assert sample.boxes.classes.tolist() == (~vehicle).astype(int).tolist()
        persons += int((~vehicle).sum())
    assert persons > 0


@pytest.mark.parametrize(('changes', 'problem'), [
    ({'options': {}}, 'maps person, of which these flights have none; set `options: .clutter'),
    ({'boxes': {'classes': {'car': 'car', 'person': 'bus'}, 'complete': ['car']}},
     'must map exactly car, large_vehicle and, if wanted, person'),
])
def test_wrong_entry_with_clutter(open_tree: Opener, changes: dict[str, Any],
                                  problem: str) -> None:
    with pytest.raises(ConfigError, match=f'^data set set: .*{problem}'):
        open_tree(**{**CLUTTER, **changes})


def test_unknown_split_and_index(open_tree: Opener) -> None:
    data = open_tree(**ENTRY)
    with pytest.raises(ConfigError, match="set has no split 'train'; it has val"):
        data.read('train', 0)
    with pytest.raises(IndexError):
        data.read('val', 6)
