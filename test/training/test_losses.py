import math

import pytest

from mtl_perception.labels import IGNORE_LABEL

torch = pytest.importorskip('torch')

from mtl_perception.models.default_boxes import Cells  # noqa: E402
from mtl_perception.models.outputs import CellOutputs  # noqa: E402
from mtl_perception.training.losses import (  # noqa: E402
    detection_loss,
    DetectionTruth,
    quality_focal_loss,
    set_loss,
)

CELLS = Cells(torch.tensor([[8.0, 8.0], [24.0, 8.0]]), torch.tensor([16.0, 16.0]))
BOXES = torch.tensor([[[0.0, 0, 16, 16], [16, 0, 32, 16]]])


def truth(boxes=(), classes=(), ignore=(), labelled=(True, True)):
    return DetectionTruth(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(classes, dtype=torch.long),
        torch.tensor(ignore, dtype=torch.float32).reshape(-1, 4), torch.tensor(labelled))


def loss_of(logits, truths):
    return detection_loss(CellOutputs(logits, BOXES, CELLS), truths)


def background(logit: float) -> float:
    p = 1 / (1 + math.exp(-logit))
    return p ** 2 * -math.log(1 - p)


def test_quality_focal_loss_is_zero_only_at_the_target():
    logits = torch.tensor([0.0, 2.0, -3.0])
    assert quality_focal_loss(logits, logits.sigmoid()).abs().max() == 0
    assert quality_focal_loss(torch.tensor([2.0]), torch.tensor([0.0])).item() == pytest.approx(
        background(2.0))


def test_background_counts_for_labelled_classes_only():
    logits = torch.tensor([[[1.0, 2.0], [0.0, -1.0]]])
    found = loss_of(logits, [truth(labelled=(True, False))])
    assert found.classes.mean().item() == pytest.approx(
        background(1.0) + background(0.0), rel=1e-5)
    assert found.boxes.mean().item() == 0


def test_cells_in_ignore_regions_have_no_loss():
    logits = torch.tensor([[[1.0, 1.0], [2.0, 2.0]]])
    found = loss_of(logits, [truth(ignore=[[16, 0, 32, 16]])])
    assert found.classes.mean().item() == pytest.approx(2 * background(1.0), rel=1e-5)


def test_box_loss_is_zero_for_a_perfect_box_and_giou_for_a_shifted_one():
    logits = torch.full((1, 2, 2), -20.0)
    logits[0, 0, 1] = 20.0
    exact = loss_of(logits, [truth([[0, 0, 16, 16]], [1])])
    assert exact.classes.mean().item() == pytest.approx(0, abs=1e-3)
    assert exact.boxes.mean().item() == pytest.approx(0, abs=1e-3)
    shifted = loss_of(logits, [truth([[0, 0, 16, 12]], [1])])
    # IoU 0.75 and no empty hull: loss 0.25, weighted by the quality 0.75, over a count of 1.
    assert shifted.boxes.mean().item() == pytest.approx(0.25 * 0.75, abs=1e-3)


def test_images_without_box_labels_have_no_loss_but_a_graph():
    logits = torch.zeros(1, 2, 2, requires_grad=True)
    found = loss_of(logits, [truth(labelled=(False, False))])
    (found.classes.total + found.boxes.total).backward()
    assert found.classes.mean().item() == 0 and (logits.grad == 0).all()


def test_set_loss_is_cross_entropy_for_single_classes():
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 3, 4, 5), torch.randint(0, 3, (2, 4, 5), dtype=torch.uint8)
    labels[0, 0] = IGNORE_LABEL
    table, weights = torch.eye(3, dtype=torch.bool), torch.tensor([1.0, 2.0, 0.5])
    expected = torch.nn.functional.cross_entropy(
        logits, labels.long(), weights, ignore_index=IGNORE_LABEL)
    assert set_loss(logits, labels, table, weights).mean().item() == pytest.approx(expected.item())


def test_set_loss_uses_the_summed_probability_of_the_set():
    probability = torch.tensor([0.5, 0.3, 0.2])
    logits = probability.log().view(1, 3, 1, 1)
    table = torch.tensor([[True, False, False], [False, True, True]])
    for number, p in ((0, 0.5), (1, 0.5)):
        labels = torch.full((1, 1, 1), number, dtype=torch.uint8)
        found = set_loss(logits, labels, table, torch.ones(2)).mean()
        assert found.item() == pytest.approx(-math.log(p))


def test_set_loss_without_labels_is_zero_with_a_graph():
    logits = torch.randn(1, 2, 2, 2, requires_grad=True)
    labels = torch.full((1, 2, 2), IGNORE_LABEL, dtype=torch.uint8)
    loss = set_loss(logits, labels, torch.eye(2, dtype=torch.bool), torch.ones(2)).mean()
    loss.backward()
    assert loss.item() == 0 and (logits.grad == 0).all()
