from dataclasses import replace
import itertools

import pytest

from mtl_perception.errors import ConfigError
from mtl_perception.labels import LabelSet
from mtl_perception.spec import ModelSpec

torch = pytest.importorskip('torch')

from mtl_perception.models.backbones import BACKBONES  # noqa: E402
from mtl_perception.models.cost import part_costs  # noqa: E402
from mtl_perception.models.network import build_model  # noqa: E402

DETECTION = LabelSet.of('car', 'person', 'bicycle')
SEGMENTATION = LabelSet.of('road', 'water')


def cells(height: int, width: int, finest: int) -> int:
    return sum(-(-height // 2 ** level) * -(-width // 2 ** level) for level in range(finest, 7))


@pytest.mark.parametrize('backbone, finest', [*((name, 3) for name in sorted(BACKBONES)),
                                              ('mobilenet_v2', 2), ('resnet50', 2)])
def test_output_shapes_at_odd_sizes(backbone, finest):
    spec = ModelSpec(backbone=backbone, detection=DETECTION, segmentation=SEGMENTATION,
                     finest_level=finest)
    network = build_model(spec).eval()
    for height, width in ((97, 65), (33, 131)):
        with torch.no_grad():
            found, label_logits = network(torch.randn(2, 3, height, width))
        count = cells(height, width, finest)
        assert found.class_logits.shape == (2, count, 3)
        assert found.boxes.shape == (2, count, 4)
        assert found.cells.centers.shape == (count, 2)
        assert found.cells.strides.shape == (count,)
        assert label_logits.shape == (2, 2, -(-height // 4), -(-width // 4))
        assert (found.boxes[..., 2:] >= found.boxes[..., :2]).all()


@pytest.mark.parametrize('tasks', [('detection',), ('segmentation',)])
def test_disabled_task_has_no_outputs_or_parameters(tasks):
    both = ModelSpec(detection=DETECTION, segmentation=SEGMENTATION)
    single = ModelSpec(detection=DETECTION if 'detection' in tasks else None,
                       segmentation=SEGMENTATION if 'segmentation' in tasks else None)
    network = build_model(single).eval()
    with torch.no_grad():
        outputs = network(torch.zeros(1, 3, 64, 64))
    assert (outputs.detection is None) == ('detection' not in tasks)
    assert (outputs.label_logits is None) == ('segmentation' not in tasks)
    names = {name.partition('.')[0] for name, _ in network.named_parameters()}
    assert names == {'backbone', 'pyramid', *tasks}
    # What is shared has the same shapes in the single-task peer.
    shared = {k: v.shape for k, v in build_model(both).state_dict().items()
              if k.startswith('backbone.')}
    assert shared == {k: v.shape for k, v in network.state_dict().items()
                      if k.startswith('backbone.')}


def test_all_parameters_get_gradients():
    network = build_model(ModelSpec(detection=DETECTION, segmentation=SEGMENTATION,
                                    finest_level=2))
    outputs = network(torch.randn(2, 3, 128, 128))
    (outputs.detection.class_logits.square().sum() + outputs.detection.boxes.sum()
     + outputs.label_logits.square().sum()).backward()
    without = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert without == []


def test_cells_are_in_row_major_order_inside_image():
    outputs = build_model(ModelSpec(detection=DETECTION)).eval()(torch.zeros(1, 3, 64, 96))
    found = outputs.detection.cells
    assert found.centers[:96 // 8].tolist() == [[4.0 + 8 * x, 4.0] for x in range(12)]
    assert found.strides.unique().tolist() == [8, 16, 32, 64]
    for center, stride in itertools.islice(zip(*found, strict=True), 96):
        assert (center % stride == stride / 2).all()


@pytest.mark.parametrize('architecture, finest', [('lean', 2), ('lean', 3), ('thesis', 3)])
def test_exactly_the_per_class_parameters_are_listed(architecture, finest):
    def shapes(detection: LabelSet, segmentation: LabelSet) -> dict[str, tuple[int, ...]]:
        network = build_model(ModelSpec(
            architecture=architecture, backbone='resnet18', detection=detection,
            segmentation=segmentation, finest_level=finest))
        named.update(network.class_parameters)
        return {key: tuple(value.shape) for key, value in network.named_parameters()}

    named: dict = {}
    small = shapes(DETECTION, SEGMENTATION)
    for task, (other, grown) in {
            'detection': (shapes(LabelSet.of(*'abcdefgh'), SEGMENTATION), (3, 8)),
            'segmentation': (shapes(DETECTION, LabelSet.of(*'abcdefgh')), (2, 8))}.items():
        changed = {key for key in small if small[key] != other[key]}
        assert changed and changed == {
            key for key in small for rows in named[task] if key.startswith(rows.prefix)}
        for rows in named[task]:
            assert any(key.startswith(rows.prefix) for key in small)
            for key in filter(lambda key: key.startswith(rows.prefix), small):
                for before, count in ((small[key][0], grown[0]), (other[key][0], grown[1])):
                    assert rows.rows(0).start == rows.before
                    assert rows.rows(count - 1).stop == before


LIGHT = {
    'separable towers': {'towers': 'separable'}, 'narrow towers': {'tower_channels': 16},
    'narrow stride 4': {'fine_channels': 16}, 'one tower at stride 4': {'fine_towers': 'one'},
    'all': {'towers': 'separable', 'tower_channels': 32, 'fine_channels': 24,
            'fine_towers': 'one'}}


@pytest.mark.parametrize('options', LIGHT.values(), ids=LIGHT)
def test_lighter_heads_have_same_cells_at_lower_cost(options):
    spec = ModelSpec(detection=DETECTION, segmentation=SEGMENTATION, finest_level=2)
    network, full = build_model(replace(spec, **options)), build_model(spec)
    outputs = network(torch.randn(2, 3, 97, 65))
    assert outputs.detection.class_logits.shape == (2, cells(97, 65, 2), 3)
    assert outputs.detection.boxes.shape == (2, cells(97, 65, 2), 4)
    (outputs.detection.class_logits.square().sum() + outputs.detection.boxes.sum()
     + outputs.label_logits.square().sum()).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    ours, theirs = (sum(cost.macs for cost in part_costs(one, (128, 128)))
                    for one in (network, full))
    assert ours < 0.95 * theirs


def test_stride_4_layers_exist_only_with_stride_4():
    spec = ModelSpec(segmentation=SEGMENTATION, finest_level=2, fine_channels=16)
    shapes = {key: value.shape for key, value in build_model(spec).state_dict().items()}
    assert shapes == {key: value.shape for key, value in build_model(
        ModelSpec(segmentation=SEGMENTATION)).state_dict().items()}


@pytest.mark.parametrize('spec', [
    ModelSpec(architecture='thesis', detection=DETECTION, finest_level=2),
    ModelSpec(architecture='thesis', detection=DETECTION, towers='separable'),
    ModelSpec(architecture='thesis', detection=DETECTION, neck_channels=64),
    ModelSpec(segmentation=SEGMENTATION, fcn_stride=16)])
def test_options_of_other_architectures_are_rejected(spec):
    with pytest.raises(ConfigError, match=f'the architecture {spec.architecture} has no '):
        build_model(spec)


def test_unknown_names_are_rejected():
    with pytest.raises(ConfigError, match=r'no backbone .*mobilenet_v2'):
        build_model(ModelSpec(backbone='nonesuch', detection=DETECTION))
    with pytest.raises(ConfigError, match=r'no architecture .*lean'):
        build_model(ModelSpec(architecture='nonesuch', detection=DETECTION))
