import pytest

from mtl_perception.errors import ConfigError

torch = pytest.importorskip('torch')

from mtl_perception.training.loss_weighting import build_loss_weighting  # noqa: E402


def losses(shared, own):
    """Return two losses with the gradients (1, 0) and (-1, 1) of their shared parameters."""
    return {'detection': shared[0] + 3, 'segmentation': shared[1] - shared[0] + 2 * own}


def gradients(name: str):
    shared = torch.nn.Parameter(torch.tensor([0.5, 0.25]))
    own = torch.nn.Parameter(torch.tensor(1.0))
    build_loss_weighting(name).backward(
        losses(shared, own), [shared, own], torch.Tensor.backward)
    return shared.grad.tolist(), own.grad.item()


def test_fixed_ratio_adds_the_gradients():
    assert gradients('fixed') == ([0.0, 1.0], 2.0)


def test_conflicting_part_of_gradients_is_removed():
    # (1, 0) minus its projection on (-1, 1): (1, 0) + 1/2 (-1, 1) = (1/2, 1/2);
    # (-1, 1) minus its projection on (1, 0): (0, 1). The sum is (1/2, 3/2).
    shared, own = gradients('pcgrad')
    assert shared == pytest.approx([0.5, 1.5])
    assert own == 2.0


def test_gradients_without_conflict_are_not_changed():
    shared = torch.nn.Parameter(torch.tensor([1.0, 1.0]))
    build_loss_weighting('pcgrad').backward(
        {'detection': 2 * shared[0], 'segmentation': shared.sum()}, [shared],
        torch.Tensor.backward)
    assert shared.grad.tolist() == [3.0, 1.0]


def test_projected_gradients_are_added_to_existing_ones():
    shared = torch.nn.Parameter(torch.tensor([1.0, 1.0]))
    weighting = build_loss_weighting('pcgrad')
    for _ in range(2):
        weighting.backward({'detection': shared.sum()}, [shared], torch.Tensor.backward, scale=0.5)
    assert shared.grad.tolist() == [1.0, 1.0]


def test_normalized_gradients_have_the_mean_norm_in_shared_parameters_only():
    # (1, 0) has the norm 1, (-1, 1) the norm sqrt(2): both get the mean.
    shared, own = gradients('normalized')
    mean = (1 + 2 ** 0.5) / 2
    assert shared == pytest.approx([mean * (1 - 0.5 ** 0.5), mean * 0.5 ** 0.5])
    assert own == 2.0


def test_task_without_gradient_in_shared_parameters_does_not_divide_by_zero():
    shared = torch.nn.Parameter(torch.tensor([1.0, 1.0]))
    build_loss_weighting('normalized').backward(
        {'detection': shared.sum(), 'segmentation': 0 * shared.sum()}, [shared],
        torch.Tensor.backward)
    assert shared.grad.tolist() == pytest.approx([0.5, 0.5])


def test_learned_weights_start_as_the_sum_and_converge_to_the_losses():
    weighting = build_loss_weighting('uncertainty')
    fixed = {'detection': torch.tensor(4.0), 'segmentation': torch.tensor(0.25)}
    assert weighting.weighted(fixed).item() == pytest.approx(4.25)
    optimizer = torch.optim.SGD(weighting.parameters(), lr=0.5)
    for _ in range(200):
        optimizer.zero_grad()
        weighting.backward(fixed, [], torch.Tensor.backward)
        optimizer.step()
    # exp(-s) L + s / 2 is least where exp(s) = 2 L.
    for task, loss in fixed.items():
        variance = weighting.log_variance[task].exp().item()
        assert variance == pytest.approx(2 * loss.item(), rel=1e-3)


def test_unknown_loss_weighting_is_rejected_by_name():
    with pytest.raises(ConfigError, match=r'nonesuch.*uncertainty'):
        build_loss_weighting('nonesuch')
