import pytest

torch = pytest.importorskip('torch')

from mtl_perception.models.factorize import separate, separate_towers  # noqa: E402


def together(depthwise, pointwise):
    """Return the full convolution [O, I, k, k] that both are one after the other."""
    return pointwise * depthwise[:, 0]


def test_separable_convolution_is_recovered():
    torch.manual_seed(0)
    full = together(torch.randn(5, 1, 3, 3), torch.randn(7, 5, 1, 1))
    depthwise, pointwise = separate(full)
    assert depthwise.shape == (5, 1, 3, 3) and pointwise.shape == (7, 5, 1, 1)
    assert torch.allclose(together(depthwise, pointwise), full, atol=1e-5)
    image = torch.randn(2, 5, 9, 8)
    conv = torch.nn.functional.conv2d
    assert torch.allclose(
        conv(conv(image, depthwise, padding=1, groups=5), pointwise),
        conv(image, full, padding=1), atol=1e-4)


def test_factorization_is_local_optimum():
    torch.manual_seed(0)
    full = torch.randn(6, 4, 3, 3)
    depthwise, pointwise = separate(full.half())  # as a checkpoint has it
    best = (together(depthwise, pointwise) - full.half().float()).square().sum()
    for scale in (0.3, 0.01):
        for _ in range(50):
            other = together(depthwise + scale * torch.randn_like(depthwise),
                             pointwise + scale * torch.randn_like(pointwise))
            assert (other - full).square().sum() > best


def test_only_full_towers_are_factorized():
    weights = {'detection.classes.tower.convolutions.0.weight': torch.randn(8, 8, 3, 3),
               'detection.classes.tower.norms.0.0.weight': torch.randn(8),
               'detection.classes.predictor.weight': torch.randn(2, 8, 3, 3)}
    found = separate_towers(weights)
    assert {key: tuple(value.shape) for key, value in found.items()} == {
        'detection.classes.tower.convolutions.0.0.weight': (8, 1, 3, 3),
        'detection.classes.tower.convolutions.0.1.weight': (8, 8, 1, 1),
        'detection.classes.tower.norms.0.0.weight': (8,),
        'detection.classes.predictor.weight': (2, 8, 3, 3)}
