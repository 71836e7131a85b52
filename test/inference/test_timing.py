import time

import numpy as np
import pytest

from mtl_perception.errors import ModelError
from mtl_perception.inference.runtime import RuntimeOptions
from mtl_perception.inference.timing import startable, time_side_by_side, WARM_UPS


class Sleeper:
    """A runtime that takes so long, and notes in what order it was asked."""

    def __init__(self, spec, seconds, order) -> None:
        self.spec, self.seconds, self.order = spec, seconds, order

    def run(self, images):
        assert images.shape == (2, 64, 96, 3) and images.dtype == np.uint8
        self.order.append(self.seconds)
        time.sleep(self.seconds)


def test_runs_are_interleaved(paint_model):
    (real, *_) = startable(paint_model(), RuntimeOptions('onnxruntime'))
    order = []
    sleepers = [Sleeper(real.spec, seconds, order) for seconds in (0.001, 0.02)]
    seconds = time_side_by_side(sleepers, 4, batch=2)
    assert order == [0.001, 0.02] * (4 + WARM_UPS)
    assert seconds.shape == (2, 4)
    assert (seconds[0] >= 0.001).all() and (seconds[1] >= 0.02).all()
    assert np.median(seconds[1]) > np.median(seconds[0])


def test_usable_runtimes_are_listed_once(paint_model, tmp_path):
    def found(**options):
        return [(runtime.name, runtime.device, runtime.precision) for runtime in startable(
            paint_model(), RuntimeOptions(cache=tmp_path, **options))]

    all_of_them = found()
    assert ('onnxruntime', 'cpu', 'fp32') in all_of_them
    assert len(set(all_of_them)) == len(all_of_them)
    assert set(found(runtime='onnxruntime')) == {
        item for item in all_of_them if item[0] == 'onnxruntime'}
    assert set(found(precision='bf16')) == {item for item in all_of_them if item[2] == 'bf16'}
    with pytest.raises(ModelError, match='no such model file'):
        list(startable(tmp_path / 'none.onnx', RuntimeOptions()))
