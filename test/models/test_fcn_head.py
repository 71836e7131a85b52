import pytest

torch = pytest.importorskip('torch')

from torch.nn import functional  # noqa: E402

from mtl_perception.models.fcn_head import BilinearUpsampling, FcnHead  # noqa: E402


def test_bilinear_weights():
    weight = BilinearUpsampling(3, 2).weight
    row = torch.tensor([0.25, 0.75, 0.75, 0.25])
    assert weight.shape == (3, 1, 4, 4) and not weight.requires_grad
    for channel in weight:
        assert torch.equal(channel[0], row[:, None] * row)


@pytest.mark.parametrize('factor', [2, 8, 16, 32])
def test_upsampling_is_bilinear_interpolation(factor):
    x = torch.randn(2, 3, 5, 6)
    ours = BilinearUpsampling(3, factor)(x)
    theirs = functional.interpolate(x, scale_factor=factor, mode='bilinear', align_corners=False)
    assert ours.shape == theirs.shape
    edge = factor // 2  # the transposed convolution sees zeros outside
    assert torch.allclose(ours[..., edge:-edge, edge:-edge], theirs[..., edge:-edge, edge:-edge],
                          atol=1e-5)


@pytest.mark.parametrize('stride, scores', [(32, 1), (16, 2), (8, 3)])
def test_variants_use_stages_down_to_their_stride(stride, scores):
    head = FcnHead((8, 16, 32), 4, stride)
    assert [score.in_channels for score in head.scores] == [32, 16, 8][:scores]
    stages = [torch.randn(1, channels, -(-97 // s), -(-130 // s), requires_grad=True)
              for channels, s in ((8, 8), (16, 16), (32, 32))]
    logits = head(stages, (97, 130))
    assert logits.shape == (1, 4, 97, 130)
    logits.sum().backward()
    assert [stage.grad is not None for stage in stages] == [stride <= 8, stride <= 16, True]


def test_constant_score_is_constant_inside():
    head = FcnHead((8, 16, 32), 2, 16)
    for score, value in zip(head.scores, (1.0, 2.0), strict=True):
        torch.nn.init.zeros_(score.weight)
        torch.nn.init.constant_(score.bias, value)
    logits = head([torch.zeros(1, c, s, s) for c, s in ((8, 16), (16, 8), (32, 4))], (128, 128))
    assert torch.allclose(logits[..., 40:-40, 40:-40], torch.tensor(3.0))
