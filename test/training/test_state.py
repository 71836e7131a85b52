import numpy as np
import pytest

from mtl_perception.errors import ModelError
from mtl_perception.labels import LabelSet
from mtl_perception.spec import ModelSpec

torch = pytest.importorskip('torch')

from mtl_perception.models.network import build_model  # noqa: E402
from mtl_perception.training.options import OptimizerOptions, TrainingOptions  # noqa: E402
from mtl_perception.training.state import (  # noqa: E402
    learning_rate,
    moving_average,
    TrainingState,
)


@pytest.fixture(scope='module')
def state():
    spec = ModelSpec(segmentation=LabelSet.of('road', 'sky'))
    return TrainingState(build_model(spec), spec, TrainingOptions())


def test_moving_average_counts_early_steps_more_and_copies_counters():
    network = torch.nn.BatchNorm1d(1)
    average = moving_average(network, 0.5)
    expected = 1.0
    for step, value in enumerate((3.0, 7.0, -5.0, 2.0, 11.0), 1):
        with torch.no_grad():
            network.weight.fill_(value)
            network.running_mean.fill_(2 * value)
            network.num_batches_tracked.fill_(step)
        average.update_parameters(network)
        decay = min(0.5, step / (step + 10))
        expected = decay * expected + (1 - decay) * value
        assert average.module.weight.item() == pytest.approx(expected, rel=1e-5)
        assert average.module.num_batches_tracked.item() == step
    # The buffer started at 0, not at 1.
    assert average.module.running_mean.item() != pytest.approx(2 * expected)
    assert not average.module.training and not average.module.weight.requires_grad


def test_learning_rate_warms_up_and_falls_to_a_hundredth():
    options = TrainingOptions(
        steps=100, optimizer=OptimizerOptions(warmup_steps=10, learning_rate=0.1))
    rates = [learning_rate(step, options) for step in range(100)]
    assert rates[0] == pytest.approx(0.01) and rates[9] == pytest.approx(0.1)
    assert rates[55] == pytest.approx(0.1 * 0.505)
    assert rates[99] == pytest.approx(0.001, rel=0.1)
    assert (np.diff(rates[10:]) < 0).all()


def test_learning_rate_follows_the_larger_share_of_steps_and_minutes():
    optimizer = OptimizerOptions(warmup_steps=10, learning_rate=0.1)
    without = TrainingOptions(steps=110, optimizer=optimizer)
    limited = TrainingOptions(steps=110, minutes=2, optimizer=optimizer)
    for step, seconds in ((0, 0), (4, 3), (60, 60), (60, 0), (109, 118)):
        assert learning_rate(step, limited, seconds) == learning_rate(step, without), step
    assert learning_rate(20, limited, 60) == learning_rate(60, without)
    assert learning_rate(20, limited, 500) == learning_rate(110, without)
    # Neither does the warm-up end at a rate that the time does not allow.
    assert learning_rate(0, limited, 119) == pytest.approx(0.001, rel=0.05)


def test_states_from_before_there_was_a_limit_of_time_are_restored(state, tmp_path):
    state.save(tmp_path / 'last.pt')
    content = torch.load(tmp_path / 'last.pt', weights_only=True)
    del content['seconds']
    torch.save(content, tmp_path / 'last.pt')
    other = TrainingState(build_model(state.spec), state.spec, state.options)
    other.restore(tmp_path / 'last.pt')
    assert other.seconds == 0


def test_a_saved_state_is_restored(state, tmp_path):
    state.step, state.best_score, state.best_step, state.seconds = 7, 0.5, 6, 12.5
    state.save(tmp_path / 'last.pt')
    other = TrainingState(build_model(state.spec), state.spec, state.options)
    other.restore(tmp_path / 'last.pt')
    assert (other.step, other.best_score, other.best_step, other.seconds) == (7, 0.5, 6, 12.5)
    for name, value in state.network.state_dict().items():
        assert torch.equal(value, other.network.state_dict()[name]), name


@pytest.mark.parametrize('change, message', [
    ({'format': 1}, r'format 1, not 2.*--from'),
    ({'format': None}, r'another version of mtl_perception.*format 1'),
    ({'step': None}, 'cannot be resumed from it'),
    ({'network': {}}, 'cannot be resumed from it: .*state_dict')])
def test_unsuitable_states_are_rejected(change, message, state, tmp_path):
    path = tmp_path / 'last.pt'
    state.save(path)
    content = {**torch.load(path, weights_only=True), **change}
    torch.save({key: value for key, value in content.items() if value is not None}, path)
    with pytest.raises(ModelError, match=message):
        state.restore(path)


def test_a_file_that_is_no_state_is_rejected(state, tmp_path):
    (tmp_path / 'last.pt').write_bytes(b'PK\x03\x04 nothing')
    with pytest.raises(ModelError, match=r'last\.pt: the run cannot be resumed from it'):
        state.restore(tmp_path / 'last.pt')
