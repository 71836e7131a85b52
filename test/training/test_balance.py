import pytest

from mtl_perception.errors import ConfigError

torch = pytest.importorskip('torch')

from mtl_perception.training.balance import build_balance  # noqa: E402


def losses(shared, own):
    """Return two losses with the gradients (1, 0) and (-1, 1) of what they share."""
    return {'detection': shared[0] + 3, 'segmentation': shared[1] - shared[0] + 2 * own}


def gradients(name: str):
    shared = torch.nn.Parameter(torch.tensor([0.5, 0.25]))
    own = torch.nn.Parameter(torch.tensor(1.0))
    build_balance(name).backward(losses(shared, own), [shared, own])
    return shared.grad.tolist(), own.grad.item()


def test_a_fixed_ratio_adds_the_gradients():
    assert gradients('fixed') == ([0.0, 1.0], 2.0)


def test_conflicting_gradients_lose_what_points_against_the_other():
    # (1, 0) less its part along (-1, 1): (1, 0) + 1/2 (-1, 1) = (1/2, 1/2);
    # (-1, 1) less its part along (1, 0): (0, 1). The sum is (1/2, 3/2).
    shared, own = gradients('pcgrad')
    assert shared == pytest.approx([0.5, 1.5])
    assert own == 2.0


def test_gradients_that_agree_are_left_alone():
    shared = torch.nn.Parameter(torch.tensor([1.0, 1.0]))
    build_balance('pcgrad').backward(
        {'detection': 2 * shared[0], 'segmentation': shared.sum()}, [shared])
    assert shared.grad.tolist() == [3.0, 1.0]


def test_projected_gradients_add_to_those_that_are_there():
    shared = torch.nn.Parameter(torch.tensor([1.0, 1.0]))
    balance = build_balance('pcgrad')
    for _ in range(2):
        balance.backward({'detection': shared.sum()}, [shared], scale=0.5)
    assert shared.grad.tolist() == [1.0, 1.0]


def test_learned_weights_start_as_the_sum_and_settle_at_the_losses():
    balance = build_balance('uncertainty')
    fixed = {'detection': torch.tensor(4.0), 'segmentation': torch.tensor(0.25)}
    assert balance.weighted(fixed).item() == pytest.approx(4.25)
    optimizer = torch.optim.SGD(balance.parameters(), lr=0.5)
    for _ in range(200):
        optimizer.zero_grad()
        balance.backward(fixed, [])
        optimizer.step()
    # exp(-s) L + s / 2 is least where exp(s) = 2 L.
    for task, loss in fixed.items():
        assert balance.log_variance[task].exp().item() == pytest.approx(2 * loss.item(), rel=1e-3)


def test_an_unknown_balance_is_refused_by_name():
    with pytest.raises(ConfigError, match=r'nonesuch.*uncertainty'):
        build_balance('nonesuch')
