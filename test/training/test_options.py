import pytest

from mtl_perception.errors import ConfigError
from mtl_perception.training.options import (
    BatchOptions,
    LossOptions,
    OptimizerOptions,
    TrainingOptions,
)


@pytest.mark.parametrize('kind, values, message', [
    (TrainingOptions, {'steps': 0}, 'steps is 0; it must be at least 1'),
    (TrainingOptions, {'seed': -1}, 'seed'),
    (TrainingOptions, {'minutes': -0.5}, 'minutes is -0.5'),
    (TrainingOptions, {'minutes': float('nan')}, 'minutes is nan'),
    (TrainingOptions, {'patience': 2}, 'evaluate_every'),
    (BatchOptions, {'crop_size': 62}, 'crop_size 62'),
    (BatchOptions, {'accumulate': 0}, 'accumulate'),
    (BatchOptions, {'cache_gib': -0.5}, 'cache_gib'),
    (OptimizerOptions, {'learning_rate': 7.0}, 'learning_rate 7.0'),
    (OptimizerOptions, {'ema_decay': 1.0}, 'ema_decay'),
    (LossOptions, {'distillation_weight': -1.0}, 'distillation_weight')])
def test_invalid_values_are_rejected_by_name(kind, values, message):
    with pytest.raises(ConfigError, match=message):
        kind(**values)


def test_default_learning_rate_grows_with_the_root_of_the_batch_size():
    options = OptimizerOptions()
    assert options.peak_rate(16) == pytest.approx(1e-3)
    assert options.peak_rate(64) == pytest.approx(2e-3)
    assert OptimizerOptions(learning_rate=0.1).peak_rate(64) == 0.1
