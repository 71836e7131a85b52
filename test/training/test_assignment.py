import pytest

torch = pytest.importorskip('torch')

from mtl_perception.training.assignment import assign, TOP_CELLS  # noqa: E402


def grid(size: int, stride: int) -> torch.Tensor:
    steps = (torch.arange(size) + 0.5) * stride
    y, x = torch.meshgrid(steps, steps, indexing='ij')
    return torch.stack((x, y), -1).reshape(-1, 2)


def test_the_cells_that_agree_best_are_taken_up_to_their_number():
    centers = grid(8, 8)  # 64 cells of a 64x64 picture
    truth = torch.tensor([[8.0, 8.0, 56.0, 56.0]])  # holds 36 centres
    boxes = truth.repeat(64, 1) + torch.linspace(0, 20, 64)[:, None]  # ever worse IoU
    scores = torch.full((64, 2), 0.5)
    found = assign(scores, boxes, centers, truth, torch.tensor([1]))
    inside = [i for i, (x, y) in enumerate(centers.tolist()) if 8 < x < 56 and 8 < y < 56]
    assert torch.nonzero(found.objects == 0).flatten().tolist() == inside[:TOP_CELLS]
    # The best cell is asked for its IoU, the others for less.
    best = inside[0]
    shift = boxes[best, 0].item() - 8
    overlap = (48 - shift) ** 2
    assert found.quality[best].item() == pytest.approx(overlap / (2 * 48 ** 2 - overlap), abs=1e-4)
    assert (found.quality[inside[1:TOP_CELLS]] < found.quality[best]).all()
    assert (found.quality[found.objects < 0] == 0).all()


def test_a_cell_that_two_objects_want_goes_to_the_one_it_overlaps_more():
    centers = torch.tensor([[10.0, 10.0]])
    truth = torch.tensor([[0.0, 0, 20, 20], [0.0, 0, 30, 30]])
    found = assign(torch.full((1, 1), 0.5), torch.tensor([[0.0, 0, 29, 29]]), centers, truth,
                   torch.tensor([0, 0]))
    assert found.objects.tolist() == [1]


def test_an_object_between_all_centres_gets_the_nearest_cell():
    centers = grid(4, 16)
    truth = torch.tensor([[30.0, 17.0, 34.0, 21.0]])
    boxes = torch.cat((centers - 8, centers + 8), 1)
    found = assign(torch.full((16, 1), 0.5), boxes, centers, truth, torch.tensor([0]))
    taken = torch.nonzero(found.objects == 0).flatten().tolist()
    assert len(taken) == 1 and centers[taken[0]].tolist() in ([24.0, 24.0], [40.0, 24.0])


def test_no_object_makes_all_cells_background():
    found = assign(torch.rand(9, 2), torch.rand(9, 4), torch.rand(9, 2), torch.zeros(0, 4),
                   torch.zeros(0, dtype=torch.long))
    assert (found.objects == -1).all() and (found.quality == 0).all()
