import numpy as np

from mtl_perception.graph_contract import RawOutputs
from mtl_perception.inference.one_by_one import run_one_by_one


def test_a_batch_is_the_images_one_after_the_other():
    seen = []
    label_map = np.empty((1, 2, 2), np.uint8)

    def run(images):
        seen.append(images.shape)
        label_map[:] = images[0, 0, 0, 0]  # written over by each run
        return RawOutputs(label_map=label_map)

    images = np.arange(3, dtype=np.uint8).reshape(3, 1, 1, 1)
    outputs = run_one_by_one(run, images)
    assert seen == [(1, 1, 1, 1)] * 3
    assert outputs.label_map.shape == (3, 2, 2) and outputs.label_map.dtype == np.uint8
    assert outputs.label_map[:, 1, 1].tolist() == [0, 1, 2]
    assert outputs.boxes is None and outputs.scores is None and outputs.classes is None


def test_one_image_is_not_copied():
    own = RawOutputs(label_map=np.zeros((1, 2, 2), np.uint8))
    assert run_one_by_one(lambda images: own, np.zeros((1, 1, 1, 1), np.uint8)) is own
