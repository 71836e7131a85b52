import cv2
from hypothesis import example, given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from mtl_perception.data.synthetic import (
    BOX_NAMES,
    CLUTTER_BOX_NAMES,
    MASK_NAMES,
    SyntheticFlight,
    SyntheticFrame,
)
from mtl_perception.data.synthetic.clutter import Ground, place_clutter
from mtl_perception.data.synthetic.clutter_shapes import KERB_SIDE, KINDS
from mtl_perception.data.synthetic.layout import lay_out
from mtl_perception.data.synthetic.person_images import Look, Pose
from mtl_perception.data.synthetic.plan import Building, Plan, rectangle
from mtl_perception.data.synthetic.rooftops import furnish_roof
from mtl_perception.data.synthetic.vehicles import make_fleet

VEHICLE = MASK_NAMES.index('vehicle')
PERSON = CLUTTER_BOX_NAMES.index('person')
SEED = 6


@pytest.fixture(scope='module')
def flight() -> SyntheticFlight:
    return SyntheticFlight(SEED, 320, 240, frames=60, clutter=True)


@pytest.fixture(scope='module')
def bare() -> SyntheticFlight:
    return SyntheticFlight(SEED, 320, 240, frames=60)


def same(a: SyntheticFrame, b: SyntheticFrame) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name))
               for name in ('image', 'boxes', 'classes', 'mask', 'headings'))


@pytest.mark.slow
def test_same_seed_gives_same_bytes_in_any_order(flight: SyntheticFlight) -> None:
    again = SyntheticFlight(SEED, 320, 240, frames=60, clutter=True)
    backwards = {index: again[index] for index in (41, 20, 3)}
    for index, frame in backwards.items():
        assert same(flight[index], frame)


@pytest.mark.slow
@pytest.mark.parametrize(('seed', 'count', 'corners', 'pixels', 'mean'), [
    (1, 0, 0, [0, 0, 18419, 40850, 17531, 0], 86.1),
    (6, 6, 5068, [0, 11605, 38925, 9569, 14932, 1769], 112.2),
    (8, 1, 651, [0, 59, 37059, 26944, 12512, 226], 72.7),
])
def test_frames_without_clutter_are_as_they_were(seed: int, count: int, corners: float,
                                                 pixels: list[int], mean: float) -> None:
    # Scores in the documentation depend on it. Measured before there was clutter; another number
    # drawn from the town's source of chance gives another town. OpenCV's last bits may differ.
    frame = SyntheticFlight(seed, 320, 240, frames=30)[17]
    assert len(frame.boxes) == count
    assert frame.boxes.sum() == pytest.approx(corners, abs=4 * count)
    assert np.bincount(frame.mask.ravel(), minlength=6) == pytest.approx(pixels, abs=80)
    assert frame.image.mean() == pytest.approx(mean, abs=0.3)


@pytest.mark.slow
def test_town_and_vehicles_are_those_without_clutter(flight: SyntheticFlight,
                                                     bare: SyntheticFlight) -> None:
    assert flight.box_names == CLUTTER_BOX_NAMES
    assert bare.box_names == BOX_NAMES
    changed = []
    for index in range(0, 60, 10):
        one, other = flight[index], bare[index]
        vehicle = one.classes != PERSON
        assert (other.classes < len(BOX_NAMES)).all()
        # A person in front of a vehicle may hide a part of it, and that is all.
        assert abs(int(vehicle.sum()) - len(other.boxes)) <= 1
        assert (one.mask == other.mask).mean() > 0.9
        changed.append((np.abs(one.image.astype(int) - other.image).max(2) > 40).mean())
    assert 0.005 < np.mean(changed) < 0.3


@pytest.mark.slow
def test_persons_have_sensible_boxes_and_the_class_of_the_ground(flight: SyntheticFlight) -> None:
    persons = 0
    for index in range(0, 60, 4):
        frame = flight[index]
        height, width = frame.mask.shape
        assert frame.mask.max() < len(MASK_NAMES)
        assert len(frame.headings) == len(frame.boxes) == len(frame.classes)
        assert np.isfinite(frame.headings).all()
        vehicles = frame.boxes[frame.classes != PERSON]
        for x0, y0, x1, y1 in frame.boxes[frame.classes == PERSON].tolist():
            persons += 1
            assert 0 <= x0 < x1 <= width
            assert 0 <= y0 < y1 <= height
            longest = 2.4 * flight.pixels_per_metre
            assert max(x1 - x0, y1 - y0) < longest
            if x0 > 0 and y0 > 0 and x1 < width and y1 < height:
                assert max(x1 - x0, y1 - y0) >= 2
            meets = ((vehicles[:, 0] < x1) & (vehicles[:, 2] > x0)
                     & (vehicles[:, 1] < y1) & (vehicles[:, 3] > y0))
            if not meets.any():
                part = frame.mask[int(y0):int(y1), int(x0):int(x1)]
                # Only slivers of vehicles have no box.
                assert (part == VEHICLE).mean() < 0.5
    assert persons > 15


def test_persons_walk(flight: SyntheticFlight) -> None:
    persons = flight._town.persons
    assert persons is not None
    before, after = persons.at(1.0)[0], persons.at(1.5)[0]
    side = flight._town.plan.side
    steps = np.hypot(*((after - before + side / 2) % side - side / 2).T)
    assert steps.max() < 0.5 * 2.0
    assert (steps > 0.2).mean() > 0.3
    assert (steps == 0).any()


def test_persons_head_where_they_walk(flight: SyntheticFlight) -> None:
    persons = flight._town.persons
    assert persons is not None
    before, headings, strides = persons.at(2.0)
    step = persons.at(2.05)[0] - before
    moving = np.hypot(*step.T) > 0.02
    moving &= np.hypot(*step.T) < 0.2  # neither round the town's edge ...
    ahead = (step * np.stack([np.cos(headings), np.sin(headings)], 1)).sum(1)
    assert (ahead[moving] > 0).mean() > 0.97  # ... nor turning round between
    assert strides[~moving].max() <= 0.35


def _town(seed: int) -> tuple[Plan, np.ndarray, np.random.Generator]:
    rng = np.random.default_rng(seed)
    fleet = make_fleet(rng, 6.0)
    plan = lay_out(rng, 160.0, fleet)
    material = rng.choice(np.array([0, 3, 5, 7], np.uint8), (8, 8))
    return plan, np.asarray(cv2.resize(material, (960, 960),
                                       interpolation=cv2.INTER_NEAREST)), rng


@pytest.mark.parametrize('seed', [1, 2])
def test_clutter_stands_in_no_house_no_vehicle_and_no_other_object(seed: int) -> None:
    plan, material, rng = _town(seed)
    objects = place_clutter(rng, Ground(plan, material), np.array([0.6, 0.8]))
    assert len(objects) > 30
    shapes = [cv2.RotatedRect(item.place, (item.shape.length, item.shape.width),
                              float(np.degrees(item.heading))) for item in objects]
    others = [cv2.RotatedRect(house.centre, (house.length, house.width),
                              float(np.degrees(house.heading))) for house in plan.buildings]
    others += [cv2.RotatedRect(place, (4.4, 1.8), float(np.degrees(heading)))
               for place, heading in zip(plan.parked.position, plan.parked.heading, strict=True)]
    for k, shape in enumerate(shapes):
        for other in shapes[:k] + others:
            gap = np.hypot(*np.subtract(shape.center, other.center))
            if gap > (np.hypot(*shape.size) + np.hypot(*other.size)) / 2:
                continue
            kind, common = cv2.rotatedRectangleIntersection(shape, other)
            if kind:
                # The grid's cells are half a metre wide.
                assert cv2.contourArea(cv2.convexHull(common)) < 0.6


@pytest.mark.parametrize('maker', sorted(
    {maker for _, kinds in KINDS for maker, _ in kinds} | {maker for maker, _ in KERB_SIDE},
    key=lambda maker: maker.__name__))
def test_every_object_stays_in_its_place(maker) -> None:
    for seed in range(60):
        shape = maker(np.random.default_rng(seed), np.array([0.6, -0.8]))
        assert shape.parts
        assert shape.label in ('', 'building', 'water')
        for part in shape.parts:
            assert 0 <= part.height < 4
            for polygon, color in part.faces:
                assert polygon.shape[1] == 2
                assert all(0 <= channel <= 255 for channel in color)
                reach = np.abs(polygon).max(0)
                assert (reach <= np.array([shape.length, shape.width]) / 2 + 0.5).all()


@pytest.mark.parametrize('roof', ['gable', 'hip', 'flat', 'metal'])
def test_roofs_get_bright_things_and_keep_their_cover(roof: str) -> None:
    changed = 0
    for seed in range(12):
        texture = np.full((80, 130, 4), (150, 78, 58, 255), np.uint8)
        before = texture.copy()
        furnish_roof(np.random.default_rng(seed), texture,
                     Building((0.0, 0.0), 0.4, 13.0, 8.0, 6.0, roof), 10.0, np.array([0.5, 0.7]))
        assert (texture[..., 3] == 255).all()
        changed += int((texture != before).any())
    assert changed > 6


@pytest.mark.parametrize('heading', [0.0, 0.9, 2.5])
def test_person_is_as_wide_as_the_shoulders(heading: float) -> None:
    look = Look(1.7, (200, 40, 40), (30, 30, 30), (80, 60, 40))
    image, left, top = Pose(look, np.array([50.0, 40.0]), heading, 0.0, np.zeros(2), 40.0).image()
    rows, columns = np.nonzero(image[..., 3] >= 128)
    points = np.stack([columns + left - 50.0, rows + top - 40.0], 1)
    aside = points @ (-np.sin(heading), np.cos(heading))
    ahead = points @ (np.cos(heading), np.sin(heading))
    assert 0.5 * 40 <= np.ptp(aside) < 0.72 * 40
    assert np.ptp(ahead) < 0.5 * 40
    assert abs(aside.mean()) < 1


def test_shadow_of_a_person_is_as_long_as_the_sun_is_low() -> None:
    look = Look(1.8, (200, 40, 40), (30, 30, 30), (80, 60, 40))
    pose = Pose(look, np.array([50.0, 40.0]), 0.0, 0.0, np.zeros(2), 10.0)
    shadow = pose.shadow(np.array([12.0, 0.0]))
    assert 50 + 1.8 * 12 <= shadow[:, 0].max() < 50 + 1.8 * 12 + 2.5
    assert np.ptp(shadow[:, 1]) < 5


@pytest.mark.slow
@settings(max_examples=4, deadline=None)
@given(width=st.integers(32, 400), height=st.integers(32, 400), seed=st.integers(0, 2**40),
       index=st.integers(0, 9_999))
@example(width=96, height=64, seed=6, index=3)
def test_any_size_and_length(width: int, height: int, seed: int, index: int) -> None:
    frame = SyntheticFlight(seed, width, height, 10_000, 30.0, clutter=True)[index]
    assert frame.image.shape == (height, width, 3)
    assert frame.mask.max() < len(MASK_NAMES)


def test_objects_are_taken_by_the_ground() -> None:
    plan, material, _ = _town(3)
    ground = Ground(plan, material)
    spot = np.array([159.5, 20.0])
    ground.take(rectangle(spot, 0.0, 4.0, 2.0))
    # The town is periodic: it reaches round the edge.
    assert ground.at(np.array([[0.5, 20.0], [158.0, 20.0]]))[1].all()
