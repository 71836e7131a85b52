import pytest

from mtl_perception.errors import ModelError

torch = pytest.importorskip('torch')

from torchvision.models import mobilenet_v2  # noqa: E402

from mtl_perception.models.backbones import (  # noqa: E402
    BACKBONES,
    build_backbone,
    load_backbone_weights,
    stage_channels,
    STAGES,
)


@pytest.mark.parametrize('name', sorted(BACKBONES))
def test_stages_have_their_strides(name):
    backbone = build_backbone(name).eval()
    with torch.no_grad():
        features = backbone(torch.zeros(1, 3, 64, 128))
    for stage, stride in zip(STAGES, (4, 8, 16, 32), strict=True):
        assert features[stage].shape[-2:] == (64 // stride, 128 // stride)
    assert stage_channels(backbone) == tuple(features[stage].shape[1] for stage in STAGES)


def test_weights_of_the_whole_classifier_load(tmp_path):
    model = mobilenet_v2()
    torch.save(model.state_dict(), tmp_path / 'weights.pth')
    backbone = build_backbone('mobilenet_v2')
    load_backbone_weights(backbone, tmp_path / 'weights.pth')
    assert torch.equal(backbone.state_dict()['features.0.0.weight'],
                       model.state_dict()['features.0.0.weight'])


@pytest.mark.parametrize('content, message', [
    (None, 'no weights could be read'), ({'a': 1}, 'weights of .* layers are missing')])
def test_wrong_weights_are_one_line(content, message, tmp_path):
    path = tmp_path / 'weights.pth'
    if content is None:
        path.write_text('text')
    else:
        torch.save(content, path)
    with pytest.raises(ModelError, match=message) as caught:
        load_backbone_weights(build_backbone('mobilenet_v2'), path)
    assert '\n' not in str(caught.value)
