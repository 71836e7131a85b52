from dataclasses import replace

import pytest

from mtl_perception.errors import ConfigError, ModelError
from mtl_perception.labels import LabelSet
from mtl_perception.spec import ModelSpec

torch = pytest.importorskip('torch')

from mtl_perception.models.checkpoint import save_checkpoint  # noqa: E402
from mtl_perception.models.factorize import separate  # noqa: E402
from mtl_perception.models.network import build_model  # noqa: E402
from mtl_perception.models.transfer import transfer_weights  # noqa: E402

SOURCE = ModelSpec(detection=LabelSet.of('car', 'bus'), segmentation=LabelSet.of('road', 'water'),
                   finest_level=2)


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp('transfer') / 'model.pt'
    network = build_model(SOURCE)
    save_checkpoint(network, SOURCE, path)
    return path, {key: value.half().float() if value.is_floating_point() else value
                  for key, value in network.state_dict().items()}


def test_everything_is_transferred_for_the_same_spec(source):
    path, weights = source
    network = build_model(SOURCE)
    found = transfer_weights(network, SOURCE, path)
    assert found.transferred == found.total == len(weights)
    assert not found.random and not found.new_classes and not found.dropped_classes
    for key, value in network.state_dict().items():
        assert torch.equal(value, weights[key]), key


def test_predictors_are_transferred_by_the_names_of_their_classes(source):
    path, weights = source
    spec = ModelSpec(detection=LabelSet.of('tractor', 'bus', 'car'),
                     segmentation=LabelSet.of('water', 'crop'), finest_level=2)
    network = build_model(spec)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    found = transfer_weights(network, spec, path)
    assert found.new_classes == ('tractor', 'crop') and found.dropped_classes == ('road',)
    assert found.transferred == found.total
    after = network.state_dict()
    for name in ('predictor', 'fine_predictor'):
        for part in ('weight', 'bias'):
            key = f'detection.classes.{name}.{part}'
            assert torch.equal(after[key][1], weights[key][1])
            assert torch.equal(after[key][2], weights[key][0])
            assert torch.equal(after[key][0], before[key][0])
    assert torch.equal(after['segmentation.score.weight'][0],
                       weights['segmentation.score.weight'][1])
    assert torch.equal(after['backbone.features.0.0.weight'],
                       weights['backbone.features.0.0.weight'])


def test_background_and_the_boxes_of_each_class_are_transferred(tmp_path):
    spec = ModelSpec(architecture='thesis', backbone='resnet18',
                     detection=LabelSet.of('car', 'bus'), segmentation=LabelSet.of('road'))
    first = build_model(spec)
    save_checkpoint(first, spec, tmp_path / 'model.pt')
    other = ModelSpec(architecture='thesis', backbone='resnet18',
                      detection=LabelSet.of('tractor', 'bus', 'car'),
                      segmentation=LabelSet.of('road', 'crop'))
    network = build_model(other)
    before = network.detection.classes[1].weight.detach().clone()
    found = transfer_weights(network, other, tmp_path / 'model.pt')
    assert found.transferred == found.total and not found.random
    # C4 has six boxes a cell: rows of background, then of each class.
    theirs = first.detection.classes[1].weight.half().float().unflatten(0, (3, 6))
    ours = network.detection.classes[1].weight.unflatten(0, (4, 6))
    for row, source_row in ((0, 0), (2, 2), (3, 1)):
        assert torch.equal(ours[row], theirs[source_row])
    assert torch.equal(ours[1], before.unflatten(0, (4, 6))[1])


def test_mismatched_tensors_stay_random_and_are_named(source):
    path, _ = source
    spec = ModelSpec(detection=LabelSet.of('tractor'), neck_channels=32)
    network = build_model(spec)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    found = transfer_weights(network, spec, path)
    assert 'detection.classes.predictor.weight' in found.random
    assert 'pyramid.lateral.0.0.weight' in found.random
    assert found.dropped_classes == ('car', 'bus', 'road', 'water')
    assert 0 < found.transferred == found.total - len(found.random)
    for key in found.random:
        assert torch.equal(network.state_dict()[key], before[key])
    said = str(found)
    assert 'pyramid.lateral' in said and 'tractor' in said and '\n' not in said


def test_separable_towers_start_from_factorized_full_towers(source):
    path, weights = source
    spec = replace(SOURCE, towers='separable')
    network = build_model(spec)
    found = transfer_weights(network, spec, path)
    assert found.transferred == found.total and not found.random
    depthwise, pointwise = network.detection.classes.tower.convolutions[0]
    wanted = separate(weights['detection.classes.tower.convolutions.0.weight'])
    assert torch.equal(depthwise.weight, wanted[0]) and torch.equal(pointwise.weight, wanted[1])
    assert torch.equal(network.detection.boxes.tower.norms[1][0].weight,
                       weights['detection.boxes.tower.norms.1.0.weight'])


def test_model_without_matching_weights_is_rejected(source):
    path, _ = source
    network = torch.nn.Linear(2, 3)
    network.class_parameters = {}
    with pytest.raises(ModelError, match='fits'):
        transfer_weights(network, SOURCE, path)


def test_class_starts_from_the_predictor_of_another_name(source):
    path, weights = source
    spec = ModelSpec(detection=LabelSet.of('vehicle', 'van', 'tractor'),
                     segmentation=LabelSet.of('asphalt', 'water'), finest_level=2)
    network = build_model(spec)
    before = network.state_dict()['detection.classes.predictor.weight'].clone()
    like = {'vehicle': 'car', 'van': 'car', 'asphalt': 'road'}
    found = transfer_weights(network, spec, path, like)
    assert found.classes == ('vehicle like car', 'van like car', 'asphalt like road', 'water')
    assert (found.new_classes, found.dropped_classes) == (('tractor',), ('bus',))
    assert 'classes: vehicle like car, van like car, asphalt like road, water; new classes: ' \
        'tractor; omitted classes: bus' in str(found)
    after = network.state_dict()['detection.classes.predictor.weight']
    for row in (0, 1):
        assert torch.equal(after[row], weights['detection.classes.predictor.weight'][0])
    assert torch.equal(after[2], before[2])
    assert torch.equal(network.state_dict()['segmentation.score.weight'],
                       weights['segmentation.score.weight'])


@pytest.mark.parametrize('like, message', [
    ({'lorry': 'car'}, 'like lorry=car: the manifest has no class lorry; its classes are car, b'),
    ({'car': 'van'}, 'no class van for detection; its classes are car, bus'),
    ({'car': 'road'}, 'no class road for detection'), ({'road': 'bus'}, 'for segmentation')])
def test_unknown_classes_to_start_from_are_named(like, message, source):
    path, _ = source
    with pytest.raises(ConfigError, match=message):
        transfer_weights(build_model(SOURCE), SOURCE, path, like)
