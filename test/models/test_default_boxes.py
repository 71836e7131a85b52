import pytest

torch = pytest.importorskip('torch')

from mtl_perception.models.default_boxes import (  # noqa: E402
    cell_centers,
    decode_boxes,
    DEFAULT_BOX_STRIDES,
    MAX_LOG_GROWTH,
    prior_bias,
)


def test_zero_offsets_give_default_box():
    centers, strides = cell_centers([(2, 3), (1, 2)], [8, 16], torch.zeros(1))
    boxes = decode_boxes(torch.zeros(1, 8, 4), centers, strides)[0]
    assert centers.tolist() == [[4, 4], [12, 4], [20, 4], [4, 12], [12, 12], [20, 12],
                                [8, 8], [24, 8]]
    half = DEFAULT_BOX_STRIDES * 8 / 2
    assert boxes[0].tolist() == [4 - half, 4 - half, 4 + half, 4 + half]
    assert (boxes[6:, 2:] - boxes[6:, :2] == DEFAULT_BOX_STRIDES * 16).all()


def test_offsets_move_single_sides_and_growth_is_bounded():
    centers, strides = torch.tensor([[100.0, 50.0]]), torch.tensor([8.0])
    offsets = torch.tensor([[[0.5, -1.0, 0.25, 99.0]]])
    box = decode_boxes(offsets, centers, strides)[0, 0]
    growth = torch.tensor([0.5, -1.0, 0.25, MAX_LOG_GROWTH]).exp() * 16
    expected = torch.tensor([100.0, 50, 100, 50]) + growth * torch.tensor([-1.0, -1, 1, 1])
    assert torch.allclose(box, expected)


def test_prior_bias_is_the_logit():
    assert torch.tensor(prior_bias(0.01)).sigmoid().item() == pytest.approx(0.01)
