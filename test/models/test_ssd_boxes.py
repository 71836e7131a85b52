import math

import pytest

torch = pytest.importorskip('torch')

from torchvision.models.detection.anchor_utils import DefaultBoxGenerator  # noqa: E402
from torchvision.models.detection.image_list import ImageList  # noqa: E402

from mtl_perception.models.ssd_boxes import (  # noqa: E402
    BOXES_PER_CELL,
    decode_offsets,
    encode_boxes,
    make_default_boxes,
    MAX_LOG_GROWTH,
    to_corners,
)

MAPS = (38, 19, 10, 5, 3, 1)
SIZES = (30, 60, 111, 162, 213, 264, 315)
STRIDES = (8, 16, 32, 64, 100, 300)


def ssd300() -> torch.Tensor:
    return make_default_boxes([(side, side) for side in MAPS], (300, 300), 300, torch.zeros(1))


def test_default_boxes_have_published_sizes_and_strides():
    boxes = ssd300()
    assert boxes.shape == (8732, 4) and BOXES_PER_CELL == (4, 6, 6, 6, 4, 4)
    first = 0
    for level, (side, count) in enumerate(zip(MAPS, BOXES_PER_CELL, strict=True)):
        own = boxes[first:first + side * side * count].view(side, side, count, 4)
        first += side * side * count
        centers = [(i + 0.5) * STRIDES[level] for i in range(side)]
        assert own[0, :, 0, 0].tolist() == pytest.approx(centers)
        assert own[:, 0, 0, 1].tolist() == pytest.approx(centers)
        small, between = SIZES[level], math.sqrt(SIZES[level] * SIZES[level + 1])
        expected = [(small, small), (between, between)]
        for ratio in (2, 3)[:(count - 2) // 2]:
            expected += [(small * ratio ** 0.5, small / ratio ** 0.5),
                         (small / ratio ** 0.5, small * ratio ** 0.5)]
        for shape, wanted in zip(own[-1, -1, :, 2:].tolist(), expected, strict=True):
            assert shape == pytest.approx(wanted)
    assert first == 8732


def test_boxes_agree_with_torchvision():
    generator = DefaultBoxGenerator(
        [[2], [2, 3], [2, 3], [2, 3], [2], [2]], scales=[s / 300 for s in SIZES],
        steps=list(STRIDES), clip=False)
    images = ImageList(torch.zeros(1, 3, 300, 300), [(300, 300)])
    theirs = generator(images, [torch.zeros(1, 1, side, side) for side in MAPS])[0]
    assert torch.allclose(to_corners(ssd300()), theirs, atol=1e-3)


def test_sizes_follow_shorter_side():
    boxes = make_default_boxes([(1, 1)] * 4 + [(2, 3), (1, 1)], (400, 600), 600, torch.zeros(1))
    assert boxes[0, 2:].tolist() == [60, 60]
    coarse = boxes[-7 * 4:-4:4, :2].tolist()
    assert coarse == [[100 + 200 * x, 100 + 200 * y] for y in range(2) for x in range(3)]
    assert boxes[-1, :2].tolist() == [300, 200]


def test_offsets_round_trip():
    default = torch.tensor([50.0, 40.0, 20.0, 10.0])
    box = torch.tensor([46.0, 35.0, 66.0, 55.0])  # centre (56, 45), 20x20
    offsets = encode_boxes(box, default)
    assert offsets.tolist() == pytest.approx([6 / 20 / 0.1, 5 / 10 / 0.1, 0, math.log(2) / 0.2])
    assert torch.allclose(decode_offsets(offsets, default), box)
    random = torch.rand(500, 4, generator=torch.Generator().manual_seed(0)) * 100
    boxes = torch.cat((random[:, :2], random[:, :2] + random[:, 2:] + 12), 1)
    defaults = ssd300()[::17][:500]
    again = decode_offsets(encode_boxes(boxes, defaults), defaults)
    assert torch.allclose(again, boxes, atol=1e-3)


def test_box_growth_is_bounded():
    box = decode_offsets(torch.tensor([0.0, 0, 1e4, -1e4]), torch.tensor([5.0, 5, 2, 2]))
    sides = (box[2:] - box[:2]).tolist()
    assert sides == pytest.approx([2 * math.exp(MAX_LOG_GROWTH), 2 * math.exp(-MAX_LOG_GROWTH)],
                                  rel=1e-4)
