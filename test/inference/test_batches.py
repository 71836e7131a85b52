"""Choice of the batch size with a runtime of known rates."""

import time

import numpy as np
import pytest

from mtl_perception.graph_contract import RawOutputs
from mtl_perception.inference.batches import choose_batch, sizes
from mtl_perception.labels import LabelSet
from mtl_perception.spec import ModelSpec

SPEC = ModelSpec(detection=LabelSet.of('thing'), input_size=(32, 32))


class Slow:
    """A runtime with given run times by number of images."""

    spec = SPEC

    def __init__(self, seconds, batch=4):
        self.seconds, self.batch = seconds, batch

    def run(self, images, tasks=None):
        assert images.dtype == np.uint8 and images.shape[1:] == (32, 32, 3)
        assert len(images) <= self.batch
        time.sleep(self.seconds[len(images)])
        return RawOutputs()


def never(size):
    pytest.fail(f'opened for {size}')


@pytest.mark.slow
@pytest.mark.parametrize(('seconds', 'most', 'chosen'), [
    ({1: 0.02, 2: 0.04}, 4, 1),
    ({1: 0.02, 2: 0.021, 4: 0.08}, 4, 2),
    ({1: 0.02, 2: 0.025, 4: 0.03}, 4, 4),
    ({1: 0.02, 2: 0.025, 3: 0.03}, 3, 3),
    ({1: 0.02}, 1, 1),
])
def test_fastest_batch_size_is_selected(seconds, most, chosen):
    runtime, rates = choose_batch(Slow(seconds), never, most)
    assert list(rates)[-1] == chosen and runtime.batch == 4
    assert rates[1] == pytest.approx(1 / seconds[1], rel=0.3)


@pytest.mark.slow
def test_batch_graph_is_kept_only_if_faster():
    opened = []

    def open_for(size):
        opened.append(size)
        return Slow({2: 0.02, 4: 0.06}, size)

    one = Slow({1: 0.02}, 1)
    runtime, rates = choose_batch(one, open_for)
    assert opened == [2, 4] and list(rates) == [1, 2] and runtime.batch == 2
    runtime, rates = choose_batch(one, lambda size: Slow({size: 0.1}, size))
    assert runtime is one and list(rates) == [1]


def test_sizes_are_powers_of_two_and_maximum():
    assert [sizes(most) for most in (1, 2, 3, 4, 6)] == [[], [2], [2, 3], [2, 4], [2, 4, 6]]
