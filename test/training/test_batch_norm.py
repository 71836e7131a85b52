import pytest

from mtl_perception.errors import ConfigError
from mtl_perception.labels import LabelSet
from mtl_perception.spec import ModelSpec

torch = pytest.importorskip('torch')

from mtl_perception.models.network import build_model  # noqa: E402
from mtl_perception.training.batch_norm import check_single_images  # noqa: E402


@pytest.fixture(scope='module')
def network():
    spec = ModelSpec(detection=LabelSet.of('car'), segmentation=LabelSet.of('road', 'sky'))
    return build_model(spec).train()


def test_a_map_of_a_single_cell_is_rejected(network):
    with pytest.raises(ConfigError, match='crop_size 64'):
        check_single_images(network, 64)
    with pytest.raises(ValueError, match='more than 1 value'):  # what would happen otherwise
        network(torch.zeros(1, 3, 64, 64))


def test_larger_maps_are_accepted_and_the_network_is_not_changed(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    check_single_images(network, 96)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    network(torch.zeros(1, 3, 96, 96))
