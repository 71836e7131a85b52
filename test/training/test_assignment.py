import math

import pytest

torch = pytest.importorskip('torch')

from mtl_perception.models.default_boxes import cell_centers, Cells  # noqa: E402
from mtl_perception.training.assignment import (  # noqa: E402
    assign_atss,
    assign_task_aligned,
    TOP_CELLS,
)


def grid(*levels: tuple[int, int]) -> Cells:
    return cell_centers([(size, size) for size, _ in levels], [stride for _, stride in levels],
                        torch.zeros(1))


def test_best_aligned_cells_are_assigned_up_to_their_number():
    cells = grid((8, 8))  # 64 cells of a 64x64 image
    truth = torch.tensor([[8.0, 8.0, 56.0, 56.0]])  # holds 36 centres
    boxes = truth.repeat(64, 1) + torch.linspace(0, 20, 64)[:, None]  # ever worse IoU
    scores = torch.full((64, 2), 0.5)
    found = assign_task_aligned(scores, boxes, cells, truth, torch.tensor([1]))
    inside = [i for i, (x, y) in enumerate(cells.centers.tolist()) if 8 < x < 56 and 8 < y < 56]
    assert torch.nonzero(found.objects == 0).flatten().tolist() == inside[:TOP_CELLS]
    # The target of the best cell is its IoU, that of the others is lower.
    best = inside[0]
    shift = boxes[best, 0].item() - 8
    overlap = (48 - shift) ** 2
    assert found.quality[best].item() == pytest.approx(overlap / (2 * 48 ** 2 - overlap), abs=1e-4)
    assert (found.quality[inside[1:TOP_CELLS]] < found.quality[best]).all()
    assert (found.quality[found.objects < 0] == 0).all()


def test_contested_cell_goes_to_the_object_of_higher_overlap():
    cells = Cells(torch.tensor([[10.0, 10.0]]), torch.tensor([8.0]))
    truth = torch.tensor([[0.0, 0, 20, 20], [0.0, 0, 30, 30]])
    found = assign_task_aligned(torch.full((1, 1), 0.5), torch.tensor([[0.0, 0, 29, 29]]), cells,
                                truth, torch.tensor([0, 0]))
    assert found.objects.tolist() == [1]


@pytest.mark.parametrize('assign', [assign_task_aligned, assign_atss])
def test_object_between_all_centres_gets_the_nearest_cell(assign):
    cells = grid((4, 16))
    centers = cells.centers
    truth = torch.tensor([[30.0, 17.0, 34.0, 21.0]])
    boxes = torch.cat((centers - 8, centers + 8), 1)
    found = assign(torch.full((16, 1), 0.5), boxes, cells, truth, torch.tensor([0]))
    taken = torch.nonzero(found.objects == 0).flatten().tolist()
    assert len(taken) == 1 and centers[taken[0]].tolist() in ([24.0, 24.0], [40.0, 24.0])


@pytest.mark.parametrize('assign', [assign_task_aligned, assign_atss])
def test_without_objects_all_cells_are_background(assign):
    found = assign(torch.rand(9, 2), torch.rand(9, 4), grid((3, 8)), torch.zeros(0, 4),
                   torch.zeros(0, dtype=torch.long))
    assert (found.objects == -1).all() and (found.quality == 0).all()


def test_atss_by_hand():
    # Centres at 4, 12, ... 60 with default boxes of side 32, and at 8, 24, 40, 56 of side 64.
    cells = grid((8, 8), (4, 16))
    truth = torch.tensor([[12.0, 4.0, 44.0, 52.0]])  # 32x48 around (28, 28), that of cell (3, 3)
    boxes = torch.cat((cells.centers - 16, cells.centers + 16), 1)
    found = assign_atss(torch.rand(80, 1), boxes, cells, truth, torch.tensor([0]))

    # Candidates are 3x3 cells around (28, 28) of stride 8 and around (24, 24) of stride 16.
    def overlap(x: int, y: int, half: int) -> float:
        width = min(x + half, 44) - max(x - half, 12)
        height = min(y + half, 52) - max(y - half, 4)
        return width * height / (32 * 48 + 4 * half * half - width * height)

    fine = {(x, y): overlap(x, y, 16) for x in (20, 28, 36) for y in (20, 28, 36)}
    coarse = {(x, y): overlap(x, y, 32) for x in (8, 24, 40) for y in (8, 24, 40)}
    overlaps = [*fine.values(), *coarse.values()]
    mean = sum(overlaps) / 18
    threshold = mean + math.sqrt(sum((v - mean) ** 2 for v in overlaps) / 17)
    assert not any(iou >= threshold for iou in coarse.values())
    # A box that lies in the object has an IoU of 2/3; those beside the middle column have 3/7.
    expected = {(28, 20), (28, 28), (28, 36)}
    assert expected == {center for center, iou in fine.items() if iou >= threshold}
    taken = found.objects[:64] == 0
    assert {tuple(c) for c in cells.centers[:64][taken].tolist()} == expected
    assert (found.objects[64:] == -1).all()
    # The boxes are the default ones here, so their IoU is the quality.
    for center, quality in zip(cells.centers[:64][taken].tolist(), found.quality[:64][taken],
                               strict=True):
        assert quality.item() == pytest.approx(fine[tuple(center)], abs=1e-6)
    assert (found.quality[found.objects < 0] == 0).all()


def test_atss_gives_a_contested_cell_to_the_higher_overlap():
    cells = grid((8, 8))
    truth = torch.tensor([[14.0, 12.0, 46.0, 44.0], [12.0, 12.0, 44.0, 44.0]])
    boxes = torch.cat((cells.centers - 16, cells.centers + 16), 1)
    # Each object alone gets the cell (28, 28), with an IoU of 30 / 34 and of 1.
    middle = 3 * 8 + 3
    for number, iou in ((0, 30 / 34), (1, 1)):
        alone = assign_atss(torch.rand(64, 1), boxes, cells, truth[number:number + 1],
                            torch.tensor([0]))
        assert torch.nonzero(alone.objects == 0).flatten().tolist() == [middle]
        assert alone.quality[middle].item() == pytest.approx(iou)
    found = assign_atss(torch.rand(64, 1), boxes, cells, truth, torch.tensor([0, 0]))
    assert torch.nonzero(found.objects >= 0).flatten().tolist() == [middle]
    assert found.objects[middle] == 1 and found.quality[middle].item() == pytest.approx(1)
