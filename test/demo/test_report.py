import json

import numpy as np
import pytest

pytest.importorskip('rosbags')

from mtl_perception.bags.results import RecordedFrame
from mtl_perception.demo.report import (
    FlightReport,
    FrameTruth,
    report_table,
    TruthScorer,
)
from mtl_perception.inference.results import Detections
from mtl_perception.labels import LabelSet
from mtl_perception.spec import ModelSpec

pytest.importorskip('pycocotools')

BOX_NAMES, MASK_NAMES = ('car', 'large_vehicle'), ('road', 'water')
# Other orders than the truth's, and classes that it does not know.
SPEC = ModelSpec(detection=LabelSet.of('person', 'large_vehicle', 'car'),
                 segmentation=LabelSet.of('water', 'sky', 'road'))
BOXES = np.float32([(10, 10, 40, 30), (50, 20, 90, 60)])


def truth() -> FrameTruth:
    mask = np.zeros((64, 96), np.uint8)
    mask[:, 48:] = 1
    return FrameTruth(BOXES, np.int32([0, 1]), mask)


def frame(stamp: int, right: bool = True, latency: float = 0.1) -> RecordedFrame:
    label_map = np.full((64, 96), 2, np.uint8)
    label_map[:, 48:] = 0
    boxes = np.concatenate([BOXES if right else BOXES + 45, [[0, 0, 9, 9]]]).astype(np.float32)
    found = Detections(boxes, np.float32([0.9, 0.8, 0.7]), np.int32([2, 1, 0]))
    return RecordedFrame(stamp, np.zeros((64, 96, 3), np.uint8), True, found,
                         label_map if right else 2 - label_map, latency)


def dropped(stamp: int) -> RecordedFrame:
    return RecordedFrame(stamp, np.zeros((64, 96, 3), np.uint8), False, None, None, None)


def report(frames, sent=None, node=None, spec=SPEC):
    scorer = TruthScorer(spec, BOX_NAMES, MASK_NAMES, 0.6)
    gathered = FlightReport('synthetic flight 1', 'model.onnx', spec, scorer)
    for item in frames:
        gathered.add(item, truth())
    return gathered.to_dict(len(frames) if sent is None else sent, node or {})


def test_perfect_results_score_one():
    numbers = report([frame(k * 10**8) for k in range(4)])
    assert numbers['truth']['ap50'] == pytest.approx(
        {'car': 1.0, 'large_vehicle': 1.0, 'vehicle': 1.0})
    assert numbers['truth']['miou'] == 1.0
    assert numbers['truth']['objects'] == {'car': 4, 'large_vehicle': 4, 'vehicle': 8}
    assert numbers['detections'] == {'person': 4, 'large_vehicle': 4, 'car': 4}
    assert numbers['segmentation'] == {'water': 0.5, 'sky': 0.0, 'road': 0.5}


def test_wrong_results_score_zero():
    numbers = report([frame(k * 10**8, right=False) for k in range(4)])
    assert numbers['truth']['ap50'] == {'car': 0.0, 'large_vehicle': 0.0, 'vehicle': 0.0}
    assert numbers['truth']['miou'] == 0.0


def test_frames_are_accounted_for():
    frames = [frame(10**8, latency=0.1), dropped(2 * 10**8), frame(3 * 10**8, latency=0.3)]
    node = {'images': {'images received': '4', 'images dropped, newer image': '2'},
            'latency': {'run p50 [ms]': '12.5', 'run p95 [ms]': '20.0'},
            'model': {'runtime': 'onnxruntime on cpu, fp32'}}
    numbers = report(frames, sent=5, node=node)
    assert numbers['frames'] == {
        'sent': 5, 'received': 4, 'processed': 2, 'recorded': 3,
        'dropped': {'newer image': 2, 'lost on the way': 1}, 'rate_hz': pytest.approx(10.0)}
    assert numbers['latency_ms'] == pytest.approx({'p50': 200.0, 'p95': 290.0})
    assert numbers['stages_ms'] == {'run': {'p50': 12.5, 'p95': 20.0}}
    # Only what was processed is scored: a dropped frame is no frame without detections.
    assert numbers['truth']['objects']['vehicle'] == 4
    table = report_table(numbers)
    assert 'sent 5, received 4, processed 2, dropped 3 (2 newer image, 1 lost on the way)' in table
    assert 'p50 200 ms, p95 290 ms' in table
    assert 'onnxruntime on cpu, fp32' in table


def test_flight_without_truth_or_without_any_result():
    gathered = FlightReport('folder', 'model.onnx', SPEC, None)
    gathered.add(dropped(5), None)
    numbers = json.loads(json.dumps(gathered.to_dict(1, {})))
    assert 'truth' not in numbers
    assert numbers['latency_ms'] == {}
    assert numbers['frames']['rate_hz'] is None
    assert 'AP50' not in report_table(numbers)


def test_absent_class_is_none_in_json():
    scorer = TruthScorer(SPEC, BOX_NAMES, MASK_NAMES, 0.6)
    gathered = FlightReport('f', 'm', SPEC, scorer)
    only_cars = FrameTruth(BOXES[:1], np.int32([0]), np.zeros((64, 96), np.uint8))
    gathered.add(frame(1), only_cars)
    numbers = json.loads(json.dumps(gathered.to_dict(1, {}), allow_nan=False))
    assert numbers['truth']['ap50']['large_vehicle'] is None
    assert 'large_vehicle - (0)' in report_table(numbers)


@pytest.mark.parametrize('spec, kinds', [
    (ModelSpec(detection=SPEC.detection), {'ap50'}),
    (ModelSpec(segmentation=SPEC.segmentation), {'miou'}),
    (ModelSpec(detection=LabelSet.of('cat'), segmentation=LabelSet.of('fur')), set()),
])
def test_models_of_other_tasks_and_classes(spec, kinds):
    item = frame(1)
    found = item.detections if spec.detection and len(spec.detection) > 1 else None
    labels = item.label_map if spec.segmentation and len(spec.segmentation) > 1 else None
    scorer = TruthScorer(spec, BOX_NAMES, MASK_NAMES, 0.6)
    gathered = FlightReport('f', 'm', spec, scorer)
    gathered.add(RecordedFrame(1, item.image, True, found, labels, 0.1), truth())
    numbers = gathered.to_dict(1, {})
    assert bool(numbers['truth']['ap50']) == ('ap50' in kinds)
    assert (numbers['truth']['miou'] is not None) == ('miou' in kinds)
    report_table(numbers)
