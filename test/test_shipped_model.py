"""The shipped model, through the pipeline that users run."""

from pathlib import Path

import numpy as np
from pycocotools.mask import iou
import pytest

from mtl_perception.data.manifest import load_manifest
from mtl_perception.data.synthetic.flight import SyntheticFlight
from mtl_perception.evaluation.evaluate import evaluate
from mtl_perception.inference.pipeline import Pipeline, PipelineOptions
from mtl_perception.inference.registry import open_runtime
from mtl_perception.inference.runtime import RuntimeOptions
from mtl_perception.resources import config_path, model_path


def test_model_card_and_checkpoint_are_shipped():
    folder = model_path().parent
    names = {path.name for path in folder.iterdir()}
    assert {'README.md', 'aerial_mobilenet_v2.onnx', 'aerial_mobilenet_v2.pt'} <= names
    assert sum(path.stat().st_size for path in folder.iterdir()) < 16e6


def test_model_has_classes_of_manifest():
    spec = open_runtime(model_path()).spec
    manifest = load_manifest(config_path('aerial.yaml'))
    assert spec.detection == manifest.detection
    assert spec.segmentation == manifest.segmentation
    assert spec.input_size == (640, 640)


@pytest.mark.slow
def test_model_detects_objects_of_unseen_flights():
    manifest = load_manifest(config_path('aerial.yaml'))
    report = evaluate(Pipeline(model_path()), manifest, sets=['synthetic'], progress=False)
    (scores,) = report.to_dict()['sets']
    assert scores['detection']['vehicle']['ap50'] >= 0.85
    assert scores['segmentation']['mean'] >= 0.85


@pytest.mark.slow
def test_checkpoint_and_onnx_agree():
    pytest.importorskip('torch')
    image = np.random.default_rng(0).integers(0, 256, (1, 640, 640, 3), np.uint8)
    path: Path = model_path()
    onnx = open_runtime(path, RuntimeOptions('onnxruntime')).run(image)
    checkpoint = open_runtime(path.with_suffix('.pt')).run(image)
    # The checkpoint's label map has the stride of training; only common outputs are compared.
    assert np.abs(onnx.scores - checkpoint.scores).max() < 1e-3
    assert np.abs(onnx.boxes[:, :20] - checkpoint.boxes[:, :20]).max() < 0.5


@pytest.mark.slow
def test_oriented_boxes_follow_the_headings_of_unseen_flights():
    pipeline = Pipeline(model_path(), PipelineOptions(box_format='oriented'))
    errors, upright = [], []
    for seed in range(1, 5):
        flight = SyntheticFlight(seed)
        for frame in (flight[number] for number in (0, 100, 200)):
            found = pipeline.run(frame.image).detections
            assert found is not None and found.oriented is not None
            if not len(found):
                continue
            overlap = iou(*(np.concatenate((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), axis=1)
                            .astype(float) for boxes in (frame.boxes, found.boxes)),
                          [False] * len(found))
            for number in range(len(frame.boxes)):
                best = overlap[number].argmax()
                if frame.classes[number] == 0 and overlap[number, best] > 0.5 \
                        and found.oriented[best, 2] > 25:
                    heading = np.degrees(frame.headings[number])
                    for angles, angle in ((errors, found.oriented[best, 4]), (upright, 0.0)):
                        angles.append(abs((np.degrees(angle) - heading + 90) % 180 - 90))
    assert len(errors) > 40
    assert np.median(errors) < 5 < np.median(upright)
