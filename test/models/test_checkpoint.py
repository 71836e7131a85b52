import pytest

from mtl_perception.errors import ModelError
from mtl_perception.labels import LabelSet
from mtl_perception.spec import METADATA_KEY, ModelSpec

torch = pytest.importorskip('torch')

from mtl_perception.models.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from mtl_perception.models.network import build_model  # noqa: E402


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
    spec = ModelSpec(detection=LabelSet.of('car'), segmentation=LabelSet.of('road', 'water'),
                     provenance={'steps': '3'})
    network = build_model(spec)
    path = tmp_path_factory.mktemp('checkpoint') / 'model.pt'
    save_checkpoint(network, spec, path)
    return spec, network, path


def test_spec_and_weights_round_trip(saved):
    spec, network, path = saved
    loaded_spec, loaded = load_checkpoint(path)
    assert loaded_spec == spec
    assert not loaded.training
    for key, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[key].float(), value.half().float()), key
    assert [p.name for p in path.parent.iterdir()] == ['model.pt']


def test_weights_are_stored_in_half_precision(saved):
    _, network, path = saved
    parameters = sum(p.numel() for p in network.parameters())
    assert path.stat().st_size < 2.3 * parameters


def broken(kind, saved, folder):
    spec, _, path = saved
    target = folder / 'broken.pt'
    if kind == 'missing':
        return target
    if kind == 'directory':
        target.mkdir()
    elif kind == 'truncated':
        target.write_bytes(path.read_bytes()[:20000])
    elif kind == 'text':
        target.write_text('no model at all\n' * 100)
    elif kind == 'foreign':
        torch.save({'state_dict': {}}, target)
    elif kind == 'code':
        torch.save({METADATA_KEY: pytest.importorskip, 'weights': {}}, target)
    elif kind == 'bad spec':
        torch.save({METADATA_KEY: '{}', 'weights': {}}, target)
    elif kind == 'other weights':
        torch.save({METADATA_KEY: spec.to_json(), 'weights': {'a': torch.zeros(1)}}, target)
    return target


@pytest.mark.parametrize('kind', ['missing', 'directory', 'truncated', 'text', 'foreign', 'code',
                                  'bad spec', 'other weights'])
def test_broken_file_is_rejected_with_path(kind, saved, tmp_path):
    path = broken(kind, saved, tmp_path)
    with pytest.raises(ModelError) as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value)
    assert '\n' not in str(caught.value)
