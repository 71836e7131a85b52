from hypothesis import example, given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from mtl_perception.data.synthetic import (
    BOX_NAMES,
    MASK_NAMES,
    SyntheticFlight,
    SyntheticFrame,
)
from mtl_perception.errors import ConfigError

VEHICLE = MASK_NAMES.index('vehicle')
SEED = 6


@pytest.fixture(scope='module')
def flight() -> SyntheticFlight:
    return SyntheticFlight(SEED, 320, 240, frames=60)


def same(a: SyntheticFrame, b: SyntheticFrame) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name))
               for name in ('image', 'boxes', 'classes', 'mask'))


@pytest.mark.slow
def test_frame_has_the_promised_shapes(flight):
    frame = flight[7]
    assert frame.image.shape == (240, 320, 3) and frame.image.dtype == np.uint8
    assert frame.mask.shape == (240, 320) and frame.mask.dtype == np.uint8
    assert frame.boxes.dtype == np.float32 and frame.boxes.shape == (len(frame.classes), 4)
    assert frame.classes.dtype == np.int32
    assert frame.mask.max() < len(MASK_NAMES)
    assert set(frame.classes.tolist()) <= set(range(len(BOX_NAMES)))


@pytest.mark.slow
def test_same_seed_gives_same_bytes_in_any_order(flight):
    again = SyntheticFlight(SEED, 320, 240, frames=60)
    backwards = {index: again[index] for index in (41, 20, 3)}
    for index, frame in backwards.items():
        assert same(flight[index], frame)
    assert same(flight[-1], again[59])


def test_neighbours_and_seeds_differ(flight):
    other = SyntheticFlight(SEED + 1, 320, 240, frames=60)[5]
    assert not np.array_equal(flight[5].image, flight[6].image)
    assert not np.array_equal(flight[5].mask, other.mask)
    assert np.abs(flight[5].image.astype(int) - other.image).mean() > 10


def test_camera_moves_smoothly(flight):
    # Between neighbours most pixels keep their class, far apart they do not.
    def kept(a: int, b: int) -> float:
        return float((flight[a].mask == flight[b].mask).mean())

    assert kept(10, 11) > 0.7
    assert kept(10, 11) > kept(10, 50) + 0.2


def test_boxes_are_inside_and_tight_around_vehicle_pixels(flight):
    alone = 0
    for frame in flight:
        height, width = frame.mask.shape
        vehicle = frame.mask == VEHICLE
        boxes = frame.boxes.astype(int)
        assert (frame.boxes == boxes).all()
        for k, (x0, y0, x1, y1) in enumerate(boxes):
            assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
            others = np.delete(boxes, k, 0)
            near = ((others[:, 0] <= x1 + 1) & (others[:, 2] >= x0 - 1)
                    & (others[:, 1] <= y1 + 1) & (others[:, 3] >= y0 - 1))
            if near.any():
                continue
            alone += 1
            inside = vehicle[y0:y1, x0:x1]
            rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
            assert (rows[0], rows[-1] + 1) == (0, y1 - y0)
            assert (columns[0], columns[-1] + 1) == (0, x1 - x0)
    assert alone > 50


@pytest.mark.slow
def test_vehicle_pixels_outside_all_boxes_are_slivers():
    # Only what is less than 30 % visible may have pixels and no box.
    flight = SyntheticFlight(SEED, 640, 480, frames=40)
    outside = total = 0
    for index in range(0, 40, 4):
        frame = flight[index]
        left = frame.mask == VEHICLE
        total += int(left.sum())
        for x0, y0, x1, y1 in frame.boxes.astype(int):
            left[y0:y1, x0:x1] = False
        outside += int(left.sum())
    assert total > 10000
    assert outside < 0.06 * total


def test_a_moving_camera_loses_no_parked_car_and_invents_none(flight):
    counts = [len(frame.boxes) for frame in flight]
    jumps = np.abs(np.diff(counts))
    assert jumps.max() <= 4
    assert max(counts) >= 3


@pytest.mark.slow
def test_flight_shows_every_class():
    seen: set[int] = set()
    vehicles: set[int] = set()
    flight = SyntheticFlight(8)
    for index in range(0, 300, 12):
        frame = flight[index]
        seen |= set(np.unique(frame.mask).tolist())
        vehicles |= set(frame.classes.tolist())
    assert seen == set(range(len(MASK_NAMES)))
    assert vehicles == set(range(len(BOX_NAMES)))


@pytest.mark.slow
@pytest.mark.parametrize('seed', [1, 8])
def test_cars_have_the_promised_length(seed):
    flight = SyntheticFlight(seed)
    sides = []
    for index in range(0, 300, 15):
        frame = flight[index]
        inside = ((frame.boxes[:, :2] > 0).all(1)
                  & (frame.boxes[:, 2:] < (640, 480)).all(1) & (frame.classes == 0))
        sides += np.hypot(*(frame.boxes[inside, 2:] - frame.boxes[inside, :2]).T).tolist()
    assert 22 < np.median(sides) < 90


@pytest.mark.slow
@settings(max_examples=4, deadline=None)
@given(width=st.integers(32, 400), height=st.integers(32, 400), seed=st.integers(0, 2**40),
       index=st.integers(0, 99_999))
@example(width=96, height=64, seed=6, index=3)  # a town whose blocks are hardly a yard's size
def test_any_size_and_length(width, height, seed, index):
    flight = SyntheticFlight(seed, width, height, frames=100_000, rate_hz=30.0)
    frame = flight[index]
    assert len(flight) == 100_000
    assert frame.image.shape == (height, width, 3)
    assert frame.mask.shape == (height, width)
    assert frame.image.std() > 3


def test_iterates_over_all_frames_and_ends():
    flight = SyntheticFlight(5, 32, 32, frames=3)
    assert len(list(flight)) == 3
    with pytest.raises(IndexError):
        flight[3]
    with pytest.raises(IndexError):
        flight[-4]


@pytest.mark.parametrize('arguments, named', [
    ({'seed': -1}, 'seed -1'),
    ({'seed': 1.5}, 'seed 1.5'),
    ({'seed': 1, 'width': 31}, 'width 31'),
    ({'seed': 1, 'height': 5000}, 'height 5000'),
    ({'seed': 1, 'width': True}, 'width True'),
    ({'seed': 1, 'frames': 0}, '0 frames'),
    ({'seed': 1, 'rate_hz': 0.0}, 'rate 0.0'),
    ({'seed': 1, 'rate_hz': float('nan')}, 'rate nan'),
])
def test_invalid_arguments_are_named(arguments, named):
    with pytest.raises(ConfigError, match=named):
        SyntheticFlight(**arguments)
