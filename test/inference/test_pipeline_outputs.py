"""What the pipeline makes of the outputs of a runtime."""

import math

import numpy as np

from mtl_perception.graph_contract import RawOutputs
from mtl_perception.inference import Pipeline, PipelineOptions
from mtl_perception.labels import LabelSet
from mtl_perception.spec import ModelSpec


class Scripted:
    """A runtime with given outputs that records its inputs."""

    name, device, precision = 'scripted', 'cpu', 'fp32'
    batch = 4

    def __init__(self, spec: ModelSpec, boxes, scores, classes) -> None:
        self.spec = spec
        self.batches: list[int] = []
        self._answers = (np.array(boxes, np.float32).reshape(1, -1, 4),
                         np.array([scores], np.float32), np.array([classes], np.int32))

    def run(self, images: np.ndarray, tasks=None) -> RawOutputs:
        self.batches.append(len(images))
        boxes, scores, classes = (
            np.repeat(values, len(images), axis=0) for values in self._answers)
        return RawOutputs(boxes, scores, classes, None)


def _scripted(boxes, scores, classes=None, **options) -> Pipeline:
    spec = ModelSpec(detection=LabelSet.of('thing'), input_size=(160, 128))
    return Pipeline(Scripted(spec, boxes, scores, classes or [0] * len(scores)),
                    options=PipelineOptions(**options))


def test_batch_size_is_bounded():
    pipeline = _scripted([[0, 0, 9, 9]], [0.9], tiles='3x3')
    pipeline.run(np.zeros((600, 600, 3), np.uint8))
    assert pipeline.runtime.batches == [4, 4, 1]


def test_boxes_are_inside_image_and_not_empty():
    nan, inf = math.nan, math.inf
    # The image fills 160x64 of the network's 160x128; the rest is border.
    pipeline = _scripted(
        [[-20, -20, 30, 30], [10, 70, 40, 90], [50, 50, 50, 60], [60, 20, 55, 30],
         [nan, 0, 9, 9], [0, 0, inf, 9], [10, 40, 30, 64.5], [100, 63.5, 120, 90],
         [150, 5, 200, 25]],
        [0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, nan])
    found = pipeline.run(np.zeros((128, 320, 3), np.uint8)).detections
    assert sorted(found.boxes.tolist()) == [[0, 0, 60, 60], [0, 0, 320, 18], [20, 80, 60, 128]]


def test_padded_candidates_are_ignored():
    pipeline = _scripted([[0, 0, 9, 9], [20, 20, 40, 40]], [0.01, 0.0], score_threshold=0.0)
    assert len(pipeline.run(np.zeros((128, 160, 3), np.uint8)).detections) == 1


def test_unnamed_class_is_omitted():
    pipeline = _scripted([[0, 0, 9, 9], [20, 20, 40, 40], [60, 60, 90, 90]], [0.9, 0.8, 0.7],
                         classes=[3, 0, -1])
    assert pipeline.run(np.zeros((128, 160, 3), np.uint8)).detections.classes.tolist() == [0]
