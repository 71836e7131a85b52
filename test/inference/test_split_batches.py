import numpy as np
import pytest

from mtl_perception.graph_contract import RawOutputs
from mtl_perception.inference.split_batches import run_split


@pytest.mark.parametrize(('most', 'runs'), [(1, [1, 1, 1]), (2, [2, 1]), (3, [3]), (4, [3])])
def test_batch_equals_single_images(most, runs):
    seen = []
    memory = np.empty((most, 2, 2), np.uint8)

    def run(images):
        seen.append(len(images))
        label_map = memory[:len(images)]
        label_map[:] = images[:, 0]  # overwritten by each run
        return RawOutputs(label_map=label_map)

    images = np.arange(3, dtype=np.uint8).reshape(3, 1, 1, 1)
    outputs = run_split(run, images, most)
    assert seen == runs
    assert outputs.label_map.shape == (3, 2, 2) and outputs.label_map.dtype == np.uint8
    assert outputs.label_map[:, 1, 1].tolist() == [0, 1, 2]
    assert outputs.boxes is None and outputs.scores is None and outputs.classes is None


def test_small_batch_is_not_copied():
    own = RawOutputs(label_map=np.zeros((2, 2, 2), np.uint8))
    assert run_split(lambda images: own, np.zeros((2, 1, 1, 1), np.uint8), 2) is own
