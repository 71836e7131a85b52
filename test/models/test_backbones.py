from urllib.error import URLError

import pytest

from mtl_perception.errors import ModelError

torch = pytest.importorskip('torch')

from torchvision.models import get_model, resnet50  # noqa: E402

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
        features = backbone(torch.zeros(1, 3, 97, 130))
    for stage, stride in zip(STAGES, (4, 8, 16, 32), strict=True):
        assert features[stage].shape[-2:] == (-(-97 // stride), -(-130 // stride))
    assert stage_channels(backbone) == tuple(features[stage].shape[1] for stage in STAGES)


@pytest.mark.parametrize('name', ['efficientnet_b0', 'mobilenet_v2', 'resnet18'])
def test_classifier_weights_are_loaded(name, tmp_path):
    model = get_model(name)
    torch.save(model.state_dict(), tmp_path / 'weights.pth')
    backbone = build_backbone(name)
    load_backbone_weights(backbone, name, tmp_path / 'weights.pth')
    for key, value in backbone.state_dict().items():
        assert torch.equal(value, model.state_dict()[key]), key


def test_none_keeps_weights():
    backbone = build_backbone('resnet18')
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    load_backbone_weights(backbone, 'resnet18', 'none')
    for key, value in backbone.state_dict().items():
        assert torch.equal(value, before[key])


@pytest.mark.parametrize('weights', ['IMAGENET1K_V2', 'ResNet50_Weights.DEFAULT'])
def test_torchvision_weights_are_downloaded_by_name(weights, monkeypatch):
    state = resnet50().state_dict()
    monkeypatch.setattr('torchvision.models._api.load_state_dict_from_url',
                        lambda url, **_: state if 'resnet50' in url else None)
    backbone = build_backbone('resnet50')
    load_backbone_weights(backbone, 'resnet50', weights)
    assert torch.equal(backbone.state_dict()['conv1.weight'], state['conv1.weight'])


@pytest.mark.parametrize('reason', [URLError('no route'), RuntimeError('invalid hash value')])
def test_failed_download_gives_one_line_error(reason, monkeypatch):
    def fail(*_, **__):
        raise reason

    monkeypatch.setattr('torchvision.models._api.load_state_dict_from_url', fail)
    with pytest.raises(ModelError, match=r'cannot download .* of resnet18 from https') as caught:
        load_backbone_weights(build_backbone('resnet18'), 'resnet18', 'IMAGENET1K_V1')
    assert '\n' not in str(caught.value) and 'give the file' in str(caught.value)


def test_unknown_weights_name_gives_one_line_error():
    with pytest.raises(ModelError, match=r'neither a file nor .*IMAGENET1K_V1') as caught:
        load_backbone_weights(build_backbone('resnet18'), 'resnet18', 'IMAGENET1K_V9')
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('content, message', [
    (None, 'weights cannot be read'), ({'a': 1}, 'weights of .* layers of .* are missing')])
def test_mismatched_weights_give_one_line_error(content, message, tmp_path):
    path = tmp_path / 'weights.pth'
    if content is None:
        path.write_text('text')
    else:
        torch.save(content, path)
    with pytest.raises(ModelError, match=message) as caught:
        load_backbone_weights(build_backbone('mobilenet_v2'), 'mobilenet_v2', path)
    assert '\n' not in str(caught.value)
