import itertools

import pytest

from mtl_perception.errors import ConfigError
from mtl_perception.labels import LabelSet
from mtl_perception.spec import ModelSpec

torch = pytest.importorskip('torch')

from mtl_perception.models.network import build_model  # noqa: E402

DETECTION = LabelSet.of('car', 'person', 'bicycle')
SEGMENTATION = LabelSet.of('road', 'water')


def cells(height: int, width: int, finest: int) -> int:
    return sum(-(-height // 2 ** level) * -(-width // 2 ** level) for level in range(finest, 7))


@pytest.mark.parametrize('backbone', ['mobilenet_v2', 'resnet50'])
@pytest.mark.parametrize('finest', [2, 3])
def test_shapes_at_odd_sizes(backbone, finest):
    spec = ModelSpec(backbone=backbone, detection=DETECTION, segmentation=SEGMENTATION,
                     finest_level=finest)
    network = build_model(spec).eval()
    for height, width in ((64, 96), (97, 65), (33, 131)):
        with torch.no_grad():
            outputs = network(torch.randn(2, 3, height, width))
        count = cells(height, width, finest)
        assert outputs.class_logits.shape == (2, count, 3)
        assert outputs.boxes.shape == (2, count, 4)
        assert outputs.centers.shape == (count, 2)
        assert outputs.strides.shape == (count,)
        assert outputs.label_logits.shape == (2, 2, -(-height // 4), -(-width // 4))
        assert (outputs.boxes[..., 2:] >= outputs.boxes[..., :2]).all()


@pytest.mark.parametrize('tasks', [('detection',), ('segmentation',)])
def test_a_task_that_is_off_has_no_outputs_and_no_parameters(tasks):
    both = ModelSpec(detection=DETECTION, segmentation=SEGMENTATION)
    single = ModelSpec(detection=DETECTION if 'detection' in tasks else None,
                       segmentation=SEGMENTATION if 'segmentation' in tasks else None)
    network = build_model(single).eval()
    with torch.no_grad():
        outputs = network(torch.zeros(1, 3, 64, 64))
    assert (outputs.class_logits is None) == ('detection' not in tasks)
    assert (outputs.boxes is None) == ('detection' not in tasks)
    assert (outputs.label_logits is None) == ('segmentation' not in tasks)
    names = {name.partition('.')[0] for name, _ in network.named_parameters()}
    assert names == {'backbone', 'pyramid', *tasks}
    # What is shared has the same shapes in the single-task peer.
    shared = {k: v.shape for k, v in build_model(both).state_dict().items()
              if k.startswith('backbone.')}
    assert shared == {k: v.shape for k, v in network.state_dict().items()
                      if k.startswith('backbone.')}


def test_every_parameter_gets_a_gradient():
    network = build_model(ModelSpec(detection=DETECTION, segmentation=SEGMENTATION,
                                    finest_level=2))
    outputs = network(torch.randn(2, 3, 128, 128))
    (outputs.class_logits.square().sum() + outputs.boxes.sum()
     + outputs.label_logits.square().sum()).backward()
    without = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert without == []


def test_cells_lie_in_their_picture_in_row_major_order():
    outputs = build_model(ModelSpec(detection=DETECTION)).eval()(torch.zeros(1, 3, 64, 96))
    first = outputs.centers[:96 // 8].tolist()
    assert first == [[4.0 + 8 * x, 4.0] for x in range(12)]
    assert outputs.strides.unique().tolist() == [8, 16, 32, 64]
    for center, stride in itertools.islice(zip(outputs.centers, outputs.strides, strict=True), 96):
        assert (center % stride == stride / 2).all()


def test_unknown_names_are_refused():
    with pytest.raises(ConfigError, match=r'no backbone .*mobilenet_v2'):
        build_model(ModelSpec(backbone='nonesuch', detection=DETECTION))
    with pytest.raises(ConfigError, match=r'no architecture .*lean'):
        build_model(ModelSpec(architecture='nonesuch', detection=DETECTION))
