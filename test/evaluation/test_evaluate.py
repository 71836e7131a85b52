from dataclasses import replace
import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from mtl_perception.data.box_counts import BoxCounts
from mtl_perception.data.broken import Broken
from mtl_perception.data.manifest import load_manifest
from mtl_perception.data.set_spec import Manifest
from mtl_perception.errors import ConfigError, DataError
from mtl_perception.evaluation.evaluate import evaluate, evaluate_models
from mtl_perception.evaluation.report import dropped_warnings
from mtl_perception.inference.pipeline import PipelineOptions
from mtl_perception.inference.results import Detections, Perception, Timings
from mtl_perception.labels import LabelSet
from mtl_perception.spec import ModelSpec

pytest.importorskip('pycocotools')

SIZE = (40, 30)
MANIFEST = {
    'detection': {'names': ['car', 'bus'], 'score_groups': {'vehicle': ['car', 'bus']}},
    'segmentation': {'names': ['road', 'grass']},
    'sets': {
        'boxed': {'reader': 'yolo',
                  'boxes': {'classes': {'car': 'car', 'bus': 'bus'}, 'complete': ['car', 'bus']}},
        'cars': {'reader': 'yolo', 'path': 'boxed',
                 'boxes': {'classes': {'car': 'car', 'bus': 'bus'}, 'complete': ['car']}},
        'masked': {'reader': 'mask_folder', 'masks': {'way': 'road', 'rest': 'grass'}}}}


class FakePipeline:
    """Detects a car in the upper left quarter and grass on the right half; odd class indices."""

    def __init__(self, **changes: Any) -> None:
        self.spec = replace(ModelSpec(detection=LabelSet.of('tree', 'bus', 'car'),
                                      segmentation=LabelSet.of('grass', 'sea', 'road')), **changes)
        self.options = PipelineOptions(nms_threshold=0.55, tiles='auto')
        self.options_seen: set[PipelineOptions] = set()
        self.runtime = self
        self.name, self.device, self.precision = 'fake', 'cpu', 'fp32'

    def run(self, image: np.ndarray, order: str = 'rgb') -> Perception:
        self.options_seen.add(self.options)
        height, width = image.shape[:2]
        detections = None
        if self.spec.detection:
            detections = Detections(
                np.array([[0, 0, 20, 15], [0, 0, 40, 30]], np.float32),
                np.array([0.05, 0.04], np.float32), np.array([2, 0], np.int32))
        label_map = None
        if self.spec.segmentation:
            label_map = np.full((height, width), 2, np.uint8)
            label_map[:, width // 2:] = 0
        return Perception(width, height, detections, label_map, Timings(0.001, 0.02, 0.003))


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    for name in ('boxed', 'masked'):
        for folder in ('images', 'labels', 'masks'):
            (tmp_path / name / folder).mkdir(parents=True)
        for stem in 'abcd':
            image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
            cv2.imwrite(str(tmp_path / name / 'images' / f'{stem}.png'), image)
            (tmp_path / name / 'labels' / f'{stem}.txt').write_text('0 0.25 0.25 0.5 0.5\n')
            mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
            mask[SIZE[1] // 2:] = 1
            cv2.imwrite(str(tmp_path / name / 'masks' / f'{stem}.png'), mask)
        (tmp_path / name / 'val.txt').write_text('a\nb\nc\nd\n')
    (tmp_path / 'boxed' / 'classes.txt').write_text('car\nbus\n')
    path = tmp_path / 'm.yaml'
    path.write_text(yaml.safe_dump(MANIFEST, sort_keys=False))
    return load_manifest(path, tmp_path)


def run(manifest: Manifest, pipeline: Any = None, **options: Any) -> Any:
    return evaluate(pipeline or FakePipeline(), manifest, progress=False, **options)


def test_sets_are_scored_on_their_labels(manifest: Manifest) -> None:
    report = run(manifest)
    assert [entry.name for entry in report.sets] == ['boxed', 'cars', 'masked']
    boxed = report.set_named('boxed')
    assert boxed.images == 4
    assert set(boxed.detection) == {'car', 'bus', 'vehicle'}
    assert boxed.detection['car'].ap50 == pytest.approx(1)
    assert boxed.detection['car'].objects == 4
    assert math.isnan(boxed.detection['bus'].ap50)
    assert boxed.segmentation is None
    assert set(report.set_named('cars').detection) == {'car'}
    masked = report.set_named('masked')
    assert masked.detection == {}
    # For each label a quarter is correct, a quarter missed and a quarter falsely predicted.
    assert masked.segmentation.iou == pytest.approx({'way': 1 / 3, 'rest': 1 / 3})
    assert masked.segmentation.mean == pytest.approx(1 / 3)


def test_options_are_set_for_ap_and_restored(manifest: Manifest) -> None:
    pipeline = FakePipeline()
    before = pipeline.options
    run(manifest, pipeline)
    assert pipeline.options is before
    (seen,) = pipeline.options_seen
    assert seen.score_threshold < 0.05
    assert seen.max_detections == 1000
    assert (seen.nms_threshold, seen.tiles) == (0.55, 'auto')


def test_options_are_restored_after_error(manifest: Manifest, tmp_path: Path) -> None:
    pipeline = FakePipeline()
    before = pipeline.options
    (tmp_path / 'boxed' / 'images' / 'b.png').write_bytes(b'')
    with pytest.raises(DataError, match=r'b\.png'):
        run(manifest, pipeline)
    assert pipeline.options is before


def test_selected_sets_and_limit(manifest: Manifest) -> None:
    report = run(manifest, sets=['masked'], limit=2)
    (entry,) = report.sets
    assert (entry.name, entry.images) == ('masked', 2)


def test_single_task_model(manifest: Manifest) -> None:
    report = run(manifest, FakePipeline(segmentation=None))
    assert [entry.name for entry in report.sets] == ['boxed', 'cars']
    report = run(manifest, FakePipeline(detection=None))
    assert [entry.name for entry in report.sets] == ['masked']


@pytest.mark.parametrize(('options', 'problem'), [
    ({'sets': ['x']}, "no data set 'x'"),
    ({'split': 'test'}, "no data set of the manifest has a split 'test'"),
    ({'split': 'test', 'sets': ['boxed']}, "boxed has no split 'test'"),
    ({'limit': 0}, 'it must be at least 1'),
    ({'pipeline': FakePipeline(segmentation=None), 'sets': ['masked']}, 'has no task for which'),
    ({'pipeline': FakePipeline(detection=LabelSet.of('car'))},
     'has no detection class bus; its classes are car'),
    ({'pipeline': FakePipeline(segmentation=LabelSet.of('sea'))},
     'has no segmentation class road, grass; its classes are sea'),
])
def test_invalid_requests_are_rejected(manifest: Manifest, options: dict[str, Any],
                                       problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        run(manifest, **options)


def test_table_is_aligned_and_complete(manifest: Manifest) -> None:
    text = run(manifest).table()
    assert text.splitlines()[0] == 'val: fake on cpu, fp32, tiles auto, NMS 0.55'
    assert [line.split() for line in text.splitlines() if line.startswith('boxed ')] == [
        ['boxed', '4', 'car', '4', '1.000', '1.000', '1.000', '-', '-', '1.000', '0.050'],
        ['boxed', '4', 'bus', '0', '-', '-', '-', '-', '-', '-', '-'],
        ['boxed', '4', 'vehicle', '4', '1.000', '1.000', '1.000', '-', '-', '1.000', '0.050'],
        ['boxed', '1.0', '20.0', '3.0']]
    block = text.split('\n\n')[1].splitlines()
    assert len({len(line) for line in block}) == 1
    assert 'mean of those present' in text


def test_dict_is_valid_json_without_nan(manifest: Manifest) -> None:
    values = json.loads(json.dumps(run(manifest).to_dict(), allow_nan=False))
    car = values['sets'][0]['detection']['car']
    assert (car['ap50'], car['ap'], car['objects']) == (pytest.approx(1), pytest.approx(1), 4)
    assert car['at_threshold'] == {'threshold': 0.3, 'precision': None, 'recall': 0, 'f1': 0}
    assert values['sets'][0]['detection']['bus']['ap50'] is None
    assert values['sets'][2]['segmentation']['mean'] == pytest.approx(1 / 3)
    assert values['tiles'] == 'auto'


def test_means_of_a_set_and_over_all(manifest: Manifest) -> None:
    report = run(manifest)
    boxed = report.set_named('boxed')
    assert boxed.groups == {'vehicle': ('car', 'bus')}
    # There is no bus: the mean is over classes with objects.
    assert boxed.detection_mean['classes']['ap50'] == pytest.approx(1)
    assert boxed.detection_mean['groups']['ap50'] == pytest.approx(1)
    assert set(report.set_named('cars').detection_mean) == {'classes'}
    means = report.overall.means
    assert means['detection']['ap50'] == pytest.approx(1)
    assert means['detection']['ap50_groups'] == pytest.approx(1)
    assert means['segmentation']['iou'] == pytest.approx(1 / 3)
    assert report.overall.detection['car'].objects == 8
    assert report.overall.iou == pytest.approx({'road': 1 / 3, 'grass': 1 / 3})


def test_confusion_uses_operating_threshold(manifest: Manifest) -> None:
    assert run(manifest).set_named('boxed').confusion.counts == ((0, 0, 4), (0, 0, 0), (0, 0, 0))
    pipeline = FakePipeline()
    pipeline.options = replace(pipeline.options, score_threshold=0.05)
    report = run(manifest, pipeline)
    assert report.set_named('boxed').confusion.counts == ((4, 0, 0), (0, 0, 0), (0, 0, 0))


def test_models_of_different_tasks_are_compared(manifest: Manifest) -> None:
    pipelines: Any = [FakePipeline(), FakePipeline(segmentation=None)]
    result = evaluate_models(pipelines, ['both', 'boxes'], manifest, progress=False, samples=20,
                             images=1)
    both, boxes = result.reports
    assert (both.model, boxes.model) == ('both', 'boxes')
    assert [entry.name for entry in boxes.sets] == ['boxed', 'cars']
    assert set(result.bootstrap.sets) == {'boxed', 'cars'}
    assert all(one.value == 0 for item in result.bootstrap.sets['cars']
               for one in item.differences)
    masked = result.examples['masked'][0]
    assert masked.models[0].startswith(b'\xff\xd8')
    assert masked.models[1] == b''
    assert 0 < result.model_seconds <= result.seconds


def break_some(folder: Path) -> None:
    """Break image b of `boxed`, and give c a duplicate and a box without area."""
    (folder / 'boxed' / 'images' / 'b.png').write_bytes(b'')
    line = '0 0.25 0.25 0.5 0.5\n'
    (folder / 'boxed' / 'labels' / 'c.txt').write_text(2 * line + '1 0.5 0.5 0 0.5\n')


def test_broken_entries_are_skipped_and_counted(manifest: Manifest, tmp_path: Path) -> None:
    break_some(tmp_path)
    skipped: list[Broken] = []
    report, = evaluate_models([FakePipeline()], [''], manifest, sets=['boxed', 'masked'],
                              progress=False, skip=skipped.append).reports
    boxed, masked = report.sets
    assert (boxed.images, masked.images) == (3, 4)
    assert boxed.detection['car'].objects == 3
    assert boxed.detection['car'].ap50 == pytest.approx(1)
    entry, = skipped
    assert (entry.set_name, entry.split, entry.stem) == ('boxed', 'val', 'b')
    assert boxed.broken == (entry.reason,) and 'b.png' in entry.reason
    assert masked.broken == ()
    assert boxed.labels.to_dict() | {'listed': 5, 'duplicate': 1, 'no_area': 1} \
        == boxed.labels.to_dict()
    assert 'boxed: 1 broken, skipped' in report.table()
    values = report.to_dict()['sets'][0]
    assert values['broken'] == [entry.reason] and values['labels']['duplicate'] == 1


def test_set_without_a_good_entry_is_an_error(manifest: Manifest, tmp_path: Path) -> None:
    for stem in 'abcd':
        (tmp_path / 'boxed' / 'images' / f'{stem}.png').write_bytes(b'')
    with pytest.raises(DataError, match=r"boxed: none of the 4 entries of its split 'val' can be"):
        evaluate_models([FakePipeline()], [''], manifest, progress=False, skip=lambda entry: None)


def test_dropped_boxes_are_a_warning_above_a_hundredth(
        manifest: Manifest, tmp_path: Path) -> None:
    assert dropped_warnings(run(manifest)) == []
    break_some(tmp_path)
    report, = evaluate_models([FakePipeline()], [''], manifest, sets=['boxed'], progress=False,
                              skip=lambda entry: None).reports
    assert dropped_warnings(report) == [
        'warning: boxed: 2 of 5 boxes in the annotations were dropped '
        '(1 duplicates, 1 boxes without area); see `mtl data check`']
    few = replace(report.sets[0], labels=BoxCounts(listed=200, no_area=2))
    assert dropped_warnings(replace(report, sets=(few,))) == []
