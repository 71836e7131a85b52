import math

import pytest

torch = pytest.importorskip('torch')

from mtl_perception.models.outputs import DefaultBoxOutputs  # noqa: E402
from mtl_perception.models.ssd_boxes import encode_boxes  # noqa: E402
from mtl_perception.training.losses import DetectionTruth  # noqa: E402
from mtl_perception.training.multibox import (  # noqa: E402
    hard_negatives,
    match_boxes,
    multibox_loss,
)

# Six default boxes of 10x10 in a row, 10 apart: centre x, y, width, height.
ROW = torch.tensor([[5.0 + 10 * i, 5, 10, 10] for i in range(6)])
CORNERS = torch.tensor([[10.0 * i, 0, 10 * i + 10, 10] for i in range(6)])


def truth(boxes=(), classes=(), ignore=(), labelled=(True, True)):
    return DetectionTruth(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(classes, dtype=torch.long),
        torch.tensor(ignore, dtype=torch.float32).reshape(-1, 4), torch.tensor(labelled))


def outputs(logits, offsets=None):
    return DefaultBoxOutputs(
        logits, torch.zeros(1, len(logits[0]), 4) if offsets is None else offsets,
        ROW[:len(logits[0])])


def test_matching_by_hand():
    # Shares 9 of 11 with box 1; 7 of 13 with box 3 (over one half) and 3 of 17 with box 4;
    # the third shares little (1 of 14) with box 5, and is matched to it nevertheless.
    objects = torch.tensor([[11.0, 0, 21, 10], [33.0, 0, 43, 10], [59.0, 0, 64, 10]])
    assert match_boxes(objects, CORNERS).tolist() == [-1, 0, -1, 1, -1, 2]


def test_every_box_over_one_half_is_matched():
    wide = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 8], [0, 0, 10, 5], [0, 0, 6, 10]])
    # IoU 1, 0.8, 0.5 (not over one half), 0.6.
    assert match_boxes(wide[:1], wide).tolist() == [0, 0, -1, 0]


def test_pairs_of_highest_iou_are_matched_first_and_a_box_only_once():
    # Both overlap box 0 most: the second has the higher IoU; the first falls back to box 1.
    objects = torch.tensor([[4.0, 0, 14, 10], [1.0, 0, 11, 10]])
    assert match_boxes(objects, CORNERS[:3]).tolist() == [1, 0, -1]
    # More objects than boxes: the worst get none.
    three = torch.tensor([[4.0, 0, 14, 10], [1.0, 0, 11, 10], [2.0, 0, 12, 10]])
    assert match_boxes(three, CORNERS[:2]).tolist() == [1, 2] or \
        match_boxes(three, CORNERS[:2]).tolist() == [1, 0]


def test_far_objects_and_no_objects_match_nothing():
    assert match_boxes(torch.tensor([[500.0, 500, 510, 510]]), CORNERS).tolist() == [-1] * 6
    assert match_boxes(torch.zeros(0, 4), CORNERS).tolist() == [-1] * 6


def test_negatives_are_the_three_hardest_per_positive():
    losses = torch.tensor([0.5, 9.0, 0.1, 0.7, 8.0, 0.2])
    allowed = torch.tensor([True, False, True, True, True, True])
    assert hard_negatives(losses, allowed, 1).tolist() == [True, False, False, True, True, False]
    assert hard_negatives(losses, allowed, 2).tolist() == allowed.tolist()
    assert not hard_negatives(losses, allowed, 0).any()


def test_loss_by_hand():
    # Box 1 is the object's; background probabilities of the others: 0.9, 0.2, 0.5, 0.8, 0.6.
    probability = torch.tensor([[0.9, 0.05, 0.05], [0.3, 0.1, 0.6], [0.2, 0.5, 0.3],
                                [0.5, 0.25, 0.25], [0.8, 0.1, 0.1], [0.6, 0.2, 0.2]])
    offsets = torch.zeros(1, 6, 4)
    box = torch.tensor([[11.0, 0, 21, 10]])  # 1 to the right: offset 1 / 10 / 0.1 = 1
    found = multibox_loss(outputs(probability.log()[None], offsets),
                          [truth(box.tolist(), [1])])
    # The positive's class (0.6), and of the negatives the three worst: 0.2, 0.5, 0.6.
    expected = -math.log(0.6) - math.log(0.2) - math.log(0.5) - math.log(0.6)
    assert found.classes.mean().item() == pytest.approx(expected, rel=1e-5)
    assert found.boxes.mean().item() == pytest.approx(0.5)  # smooth L1 of 1
    offsets[0, 1] = encode_boxes(box, ROW[1:2])[0]
    assert multibox_loss(outputs(probability.log()[None], offsets), [
        truth(box.tolist(), [1])]).boxes.mean().item() == pytest.approx(0, abs=1e-6)


def test_losses_are_divided_by_the_matches_of_the_whole_batch():
    logits = torch.zeros(2, 6, 3)
    offsets = torch.zeros(2, 6, 4)
    found = multibox_loss(DefaultBoxOutputs(logits, offsets, ROW), [
        truth([[0, 0, 10, 10]], [0]), truth([[20, 0, 30, 10], [50, 0, 60, 10]], [0, 1])])
    # Three positives, 3 negatives in the first image, 4 that are left in the second.
    assert found.classes.mean().item() == pytest.approx((3 + 3 + 4) * math.log(3) / 3, rel=1e-5)


def test_background_may_score_for_an_unlabelled_class():
    probability = torch.tensor([[0.2, 0.5, 0.3]]).repeat(2, 1)
    logits = probability.log()[None]
    found = multibox_loss(outputs(logits), [
        truth([[0, 0, 10, 10]], [0], labelled=(True, False))])
    # The positive's 0.5; the negative's background 0.2 or the unlabelled class 0.3.
    assert found.classes.mean().item() == pytest.approx(
        -math.log(0.5) - math.log(0.2 + 0.3), rel=1e-5)


def test_default_boxes_in_ignore_regions_are_not_negatives():
    found = multibox_loss(outputs(torch.zeros(1, 6, 3)), [
        truth([[0, 0, 10, 10]], [0], ignore=[[10, 0, 50, 10]])])
    # Box 0 and box 5.
    assert found.classes.mean().item() == pytest.approx(2 * math.log(3), rel=1e-5)


@pytest.mark.parametrize('image', [truth(), truth([[0, 0, 10, 10]], [0],
                                                  labelled=(False, False))])
def test_images_without_objects_have_no_loss_but_a_graph(image):
    logits = torch.zeros(1, 6, 3, requires_grad=True)
    offsets = torch.zeros(1, 6, 4, requires_grad=True)
    found = multibox_loss(outputs(logits, offsets), [image])
    (found.classes.total + found.boxes.total).backward()
    assert found.classes.mean().item() == 0
    assert (logits.grad == 0).all() and (offsets.grad == 0).all()
