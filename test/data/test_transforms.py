import cv2
from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from mtl_perception.data.samples import BoxTruth, Sample
from mtl_perception.data.transforms import augment, AugmentOptions, map_boxes
from mtl_perception.graph_contract import PAD_VALUE
from mtl_perception.labels import IGNORE_LABEL

STILL = {'gain': 0.0, 'offset': 0.0, 'gamma': 0.0, 'noise': 0.0, 'grey_probability': 0.0}


def example(width=200, height=150, box=(60, 40, 100, 70)) -> Sample:
    x0, y0, x1, y1 = box
    image = np.full((height, width, 3), 50, np.uint8)
    image[y0:y1, x0:x1] = 250
    mask = np.zeros((height, width), np.uint8)
    mask[y0:y1, x0:x1] = 1
    boxes = BoxTruth(np.array([box], np.float32), np.array([2], np.int32),
                     np.zeros((0, 4), np.float32))
    return Sample('set/a', image, boxes, mask)


def bounds(mask: np.ndarray) -> list[int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10 ** 6), scale=st.floats(0.5, 1.6))
def test_boxes_masks_and_images_stay_together(seed, scale):
    options = AugmentOptions(crop_size=160, tilt_probability=0.0, **STILL)
    crop = augment(example(), (scale, scale), options, np.random.default_rng(seed))
    assert crop.image.shape == (160, 160, 3) and crop.mask.shape == (160, 160)
    if not len(crop.boxes.boxes):
        return
    assert crop.boxes.classes.tolist() == [2]
    box = crop.boxes.boxes[0]
    assert (box >= 0).all() and (box <= 160).all()
    assert np.abs(box - bounds(crop.mask == 1)).max() <= 1.01
    assert np.abs(box - bounds(crop.image[..., 0] > 150)).max() <= 1.01


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10 ** 6))
def test_a_little_tilt_keeps_the_box_around_the_object(seed):
    options = AugmentOptions(crop_size=256, tilt_probability=1.0, **STILL)
    crop = augment(example(), (1.0, 1.0), options, np.random.default_rng(seed))
    if not len(crop.boxes.boxes) or (crop.boxes.boxes <= 0.5).any() \
            or (crop.boxes.boxes >= 255.5).any():
        return
    x0, y0, x1, y1 = crop.boxes.boxes[0]
    # The ellipse's box lies within the corners' box and holds most of the object.
    inside = (crop.mask[round(y0):round(y1), round(x0):round(x1)] == 1).sum()
    assert inside >= 0.9 * (crop.mask == 1).sum()


def test_outside_the_image_is_grey_and_unlabelled():
    options = AugmentOptions(crop_size=320, tilt_probability=0.0, turn_probability=0.0, **STILL)
    crop = augment(example(), (1.0, 1.0), options, np.random.default_rng(1))
    outside = crop.mask == IGNORE_LABEL
    assert outside.sum() == 320 * 320 - 200 * 150
    # At the border itself the image and the grey are mixed.
    clear = cv2.erode(outside.astype(np.uint8), np.ones((3, 3)), borderValue=1) > 0
    assert (crop.image[clear] == PAD_VALUE).all()


def test_the_same_generator_gives_the_same_crop():
    crops = [augment(example(), (0.5, 1.5), AugmentOptions(crop_size=96),
                     np.random.default_rng((4, 2))) for _ in range(2)]
    assert np.array_equal(crops[0].image, crops[1].image)
    assert np.array_equal(crops[0].boxes.boxes, crops[1].boxes.boxes)
    other = augment(example(), (0.5, 1.5), AugmentOptions(crop_size=96),
                    np.random.default_rng((4, 3)))
    assert not np.array_equal(crops[0].image, other.image)


def test_a_box_of_which_little_is_left_becomes_an_ignore_region():
    sample = example(box=(0, 40, 100, 70))
    options = AugmentOptions(crop_size=64, focus_probability=0, turn_probability=0,
                             tilt_probability=0, visible_share=0.9, **STILL)
    cut = 0
    for seed in range(40):
        crop = augment(sample, (1.0, 1.0), options, np.random.default_rng(seed))
        if (crop.mask == 1).any():
            # 64 of 100 columns are never nine tenths of the object.
            assert len(crop.boxes.boxes) == 0 and len(crop.boxes.ignore) == 1
            cut += 1
    assert cut > 5


def test_grey_images_stay_grey():
    for seed in range(10):
        image = augment(example(), (0.8, 1.2), AugmentOptions(crop_size=96),
                        np.random.default_rng(seed)).image
        assert (image[..., 0] == image[..., 1]).all() and (image[..., 1] == image[..., 2]).all()


def test_sets_without_boxes_or_masks_have_none_in_the_crop():
    bare = Sample('set/a', example().image, None, None)
    crop = augment(bare, (1.0, 1.0), AugmentOptions(crop_size=96), np.random.default_rng(0))
    assert crop.boxes is None and crop.mask is None


def test_map_boxes_by_hand():
    turn = np.array([[0.0, -1, 99], [1, 0, 0]])  # by 90 degrees within 100 rows, pixel centres
    boxes = np.array([[10.0, 20, 30, 60]])
    assert map_boxes(boxes, turn)[0] == pytest.approx([40, 10, 80, 30])
    assert map_boxes(boxes, turn, round_objects=False)[0] == pytest.approx([40, 10, 80, 30])
