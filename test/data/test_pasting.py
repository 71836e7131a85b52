import numpy as np
import pytest

from mtl_perception.data.pasting import Pasting
from mtl_perception.data.samples import BoxTruth, Sample

CAR, BUS = 0, 1
NO_REGIONS = np.zeros((0, 4), np.float32)


def picture(name: str, objects: list[tuple[int, tuple[int, int, int, int]]], ground: int = 90,
            ignore: np.ndarray = NO_REGIONS) -> Sample:
    """Return an image of even `ground` with bright rectangles: class, (x0, y0, x1, y1)."""
    image = np.full((200, 200, 3), ground, np.uint8)
    for label, (x0, y0, x1, y1) in objects:
        image[y0:y1, x0:x1] = (230, 240)[label]
    boxes = np.array([box for _, box in objects], np.float32).reshape(-1, 4)
    classes = np.array([label for label, _ in objects], np.int32)
    return Sample(name, image, BoxTruth(boxes, classes, ignore), None)


def pasting(samples: list[Sample], rate: float = 3.0) -> Pasting:
    return Pasting({BUS: rate}, [(sample.boxes, 200, 200) for sample in samples])


def pasted(samples: list[Sample], number: int, seed: int, rate: float = 3.0) -> Sample:
    return pasting(samples, rate).paste(
        samples[number], number, samples.__getitem__, np.random.default_rng(seed))


FREE = [picture('free', [(CAR, (20, 20, 40, 30))]),
        picture('bus', [(CAR, (150, 150, 170, 160)), (BUS, (60, 60, 100, 75))])]


@pytest.mark.parametrize('seed', range(8))
def test_objects_are_pasted_with_their_boxes_and_over_nothing_else(seed: int) -> None:
    before = FREE[0].image.copy()
    sample = pasted(FREE, 0, seed)
    assert np.array_equal(FREE[0].image, before) and len(FREE[0].boxes.boxes) == 1
    boxes, classes = sample.boxes.boxes, sample.boxes.classes
    assert classes[0] == CAR and (classes[1:] == BUS).all()
    assert boxes.dtype == np.float32 and classes.dtype == np.int32
    for x0, y0, x1, y1 in boxes[1:].astype(int):
        assert (x1 - x0, y1 - y0) == (40, 15)
        assert (np.abs(sample.image[y0:y1, x0:x1].astype(int) - 240) <= 1).all()
    # Nothing else has changed: all that is bright is in a box.
    inside = np.zeros((200, 200), bool)
    for x0, y0, x1, y1 in boxes.astype(int):
        assert not inside[y0:y1, x0:x1].any()
        inside[y0:y1, x0:x1] = True
    assert (np.abs(sample.image[~inside].astype(int) - 90) <= 1).all()


def test_objects_are_pasted_about_as_often_as_asked() -> None:
    # The standard error of the mean of 2000 Poisson numbers is 0.016.
    counts = [len(pasted(FREE, 0, seed, 0.5).boxes.boxes) - 1 for seed in range(2000)]
    assert np.mean(counts) == pytest.approx(0.5, abs=0.06)


def test_the_same_generator_pastes_the_same() -> None:
    first, again, other = (pasted(FREE, 0, seed) for seed in (3, 3, 4))
    assert len(first.boxes.boxes) > 1
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.boxes.boxes, again.boxes.boxes)
    assert not np.array_equal(first.image, other.image)


def test_the_edge_fades_into_ground_of_another_brightness() -> None:
    dark = picture('dark', [(CAR, (20, 20, 40, 30))], ground=70)
    sample = pasted([dark, FREE[1]], 0, 0)
    x0, y0, x1, y1 = sample.boxes.boxes[1].astype(int)
    # The object has become darker by as much as the ground is.
    assert (np.abs(sample.image[y0:y1, x0:x1].astype(int) - 220) <= 1).all()
    row = sample.image[(y0 + y1) // 2, max(x0 - 8, 0):x0, 0].astype(int)
    assert (np.abs(row - 70) <= 1).all()


def test_ground_that_looks_different_is_left_alone() -> None:
    rough = picture('rough', [(CAR, (20, 20, 40, 30))])
    random = np.random.default_rng(0)
    rough.image[:] = random.integers(0, 2, (200, 200, 1)) * 255
    assert np.array_equal(pasted([rough, FREE[1]], 0, 0).image, rough.image)


def test_an_image_without_room_is_left_alone() -> None:
    full = picture('full', [(CAR, (20, 20, 40, 30))],
                   ignore=np.array([[0, 0, 200, 200]], np.float32))
    sample = pasted([full, FREE[1]], 0, 0)
    assert len(sample.boxes.boxes) == 1 and np.array_equal(sample.image, full.image)


def test_an_image_receives_nothing_of_itself() -> None:
    assert len(pasted(FREE, 1, 0).boxes.boxes) == 2


def test_close_objects_come_together() -> None:
    close = picture('close', [(BUS, (60, 60, 100, 75)), (CAR, (104, 60, 124, 70)),
                              (CAR, (150, 150, 170, 160))])
    sample = pasted([FREE[0], close], 0, 1)
    added = sample.boxes.classes[1:].tolist()
    assert added and added.count(CAR) == added.count(BUS)
    bus, car = sample.boxes.boxes[1:3]
    assert sample.boxes.classes[1:3].tolist() == [BUS, CAR]
    assert abs(car[0] - bus[0]) == 44 or abs(bus[2] - car[2]) == 44


@pytest.mark.parametrize('donor', [
    picture('cut', [(CAR, (150, 150, 170, 160)), (BUS, (0, 60, 40, 75))]),
    picture('large', [(CAR, (150, 150, 170, 160)), (BUS, (20, 20, 120, 60))]),
    picture('unsure', [(CAR, (150, 150, 170, 160)), (BUS, (60, 60, 100, 75))],
            ignore=np.array([[95, 70, 120, 90]], np.float32))], ids=lambda sample: sample.name)
def test_objects_cut_off_too_large_or_beside_ignore_regions_are_not_pasted(donor: Sample) -> None:
    assert pasting([FREE[0], donor]).count(BUS) == 0
    assert len(pasted([FREE[0], donor], 0, 0).boxes.boxes) == 1


def test_only_objects_of_the_same_scale_are_pasted() -> None:
    low = picture('low', [(CAR, (20, 20, 60, 40)), (CAR, (20, 100, 60, 120))])
    middle = picture('middle', [(CAR, (20, 20, 40, 30)), (CAR, (20, 100, 40, 110))])
    samples = [low, middle, *FREE]
    for seed in range(5):
        assert len(pasted(samples, 0, seed).boxes.boxes) == 2
    assert any(len(pasted(samples, 1, seed).boxes.boxes) > 2 for seed in range(5))


def test_an_image_without_objects_has_any_scale() -> None:
    empty = picture('empty', [])
    sample = pasted([empty, FREE[1]], 0, 0)
    assert (sample.boxes.classes == BUS).all() and len(sample.boxes.classes)
