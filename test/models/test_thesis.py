import pytest

from mtl_perception.labels import LabelSet
from mtl_perception.spec import ModelSpec

torch = pytest.importorskip('torch')

from mtl_perception.models.backbones import BACKBONES  # noqa: E402
from mtl_perception.models.cost import part_costs  # noqa: E402
from mtl_perception.models.network import build_model  # noqa: E402
from mtl_perception.models.ssd_head import L2Norm  # noqa: E402

VOC = {'detection': LabelSet.of(*(f'object{i}' for i in range(20))),
       'segmentation': LabelSet.of(*(f'label{i}' for i in range(21)))}
SMALL = {'detection': LabelSet.of('car', 'person'), 'segmentation': LabelSet.of(*'abc')}


def thesis(**more) -> ModelSpec:
    return ModelSpec(**{'architecture': 'thesis', 'backbone': 'resnet50',
                        'input_size': (300, 300), **more})


def test_network_has_stated_size():
    network = build_model(thesis(**VOC)).eval()
    costs = part_costs(network, (300, 300))
    assert {c.part for c in costs} == {'backbone', 'detection', 'segmentation'}
    assert sum(c.parameters for c in costs) == pytest.approx(39e6, rel=0.03)
    assert sum(c.macs for c in costs) == pytest.approx(9.3e9, rel=0.03)
    with torch.no_grad():
        found, label_logits = network(torch.zeros(1, 3, 300, 300))
    assert found.class_logits.shape == (1, 8732, 21)
    assert found.offsets.shape == (1, 8732, 4) and found.default_boxes.shape == (8732, 4)
    assert label_logits.shape == (1, 21, 300, 300)


@pytest.mark.parametrize('backbone', sorted(BACKBONES))
def test_backbones_at_odd_sizes(backbone):
    network = build_model(thesis(backbone=backbone, fcn_stride=8, **SMALL)).eval()
    for height, width in ((97, 65), (33, 131)):
        with torch.no_grad():
            found, label_logits = network(torch.randn(2, 3, height, width))
        count = len(found.default_boxes)
        assert found.class_logits.shape == (2, count, 3) and found.offsets.shape == (2, count, 4)
        assert label_logits.shape == (2, 3, height, width)


@pytest.mark.parametrize('tasks', [('detection',), ('segmentation',)])
def test_disabled_task_has_no_outputs_or_parameters(tasks):
    network = build_model(thesis(
        backbone='resnet18', **{task: SMALL[task] for task in tasks})).eval()
    with torch.no_grad():
        outputs = network(torch.zeros(1, 3, 96, 96))
    assert (outputs.detection is None) == ('detection' not in tasks)
    assert (outputs.label_logits is None) == ('segmentation' not in tasks)
    assert {name.partition('.')[0] for name, _ in network.named_parameters()} == {
        'backbone', *tasks}


def test_all_parameters_but_upsampling_are_trained():
    network = build_model(thesis(backbone='resnet18', **SMALL))
    found, label_logits = network(torch.randn(2, 3, 160, 160))
    (found.class_logits.square().sum() + found.offsets.square().sum()
     + label_logits.square().sum()).backward()
    without = {name for name, p in network.named_parameters() if p.grad is None}
    assert without == {'segmentation.doublings.0.weight', 'segmentation.magnify.weight'}


def test_l2_norm_scales_cells_to_twenty():
    x = torch.randn(2, 6, 3, 4) * 7
    lengths = L2Norm(6)(x).norm(dim=1)
    assert torch.allclose(lengths, torch.full_like(lengths, 20.0), atol=1e-4)
    assert torch.isfinite(L2Norm(6)(torch.zeros(1, 6, 2, 2))).all()


def test_predictions_follow_order_of_default_boxes():
    network = build_model(thesis(backbone='resnet18', detection=SMALL['detection'])).eval()
    head = network.detection
    with torch.no_grad():
        for convolution in (*head.classes, *head.offsets):
            convolution.weight.zero_()
            convolution.bias.copy_(torch.arange(len(convolution.bias)))
        found, _ = network(torch.zeros(1, 3, 96, 96))
    # C3 has four boxes a cell: row class * 4 + box, and offset * 4 + box.
    assert found.class_logits[0, :4].tolist() == [[b, 4 + b, 8 + b] for b in range(4)]
    assert found.offsets[0, 4:8].tolist() == [[b, 4 + b, 8 + b, 12 + b] for b in range(4)]
    second = 12 * 12 * 4
    assert found.class_logits[0, second + 5].tolist() == [5, 11, 17]
