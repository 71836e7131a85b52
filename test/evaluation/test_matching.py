"""Matching and AP compared with pycocotools, and VOC's AP with small examples."""

import contextlib
import io

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from mtl_perception.data.samples import BoxTruth
from mtl_perception.evaluation.detection import DetectionScore, DetectionScorer, MAX_DETECTIONS
from mtl_perception.evaluation.matching import IOUS, match, Matches
from mtl_perception.inference.results import Detections

coco = pytest.importorskip('pycocotools.coco')
cocoeval = pytest.importorskip('pycocotools.cocoeval')

NONE = np.empty((0, 4), np.float32)


def boxes(rng: np.random.Generator, count: int, side: float = 160) -> np.ndarray:
    corners = rng.uniform(0, 200, (count, 2))
    sizes = rng.uniform(4, side, (count, 2)) * rng.choice([0.1, 0.4, 1], (count, 1))
    return np.concatenate([corners, corners + sizes], axis=1).astype(np.float32)


def images(seed: int, count: int) -> list[tuple[BoxTruth, Detections]]:
    """Return crowded random images: true, shifted, duplicate and false boxes, equal scores."""
    rng = np.random.default_rng(seed)
    result = []
    for _ in range(count):
        truth = boxes(rng, rng.integers(0, 9))
        regions = boxes(rng, rng.integers(0, 3), 200)
        sizes = np.tile(truth[:, 2:] - truth[:, :2], 2)
        near = np.concatenate([truth + sizes * rng.normal(0, spread, truth.shape)
                               for spread in (0, 0.04, 0.12)])
        found = np.concatenate([near[rng.random(len(near)) < 0.7], boxes(rng, 4)])
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
        scores = np.round(rng.uniform(0.05, 1, len(found)), 1)
        order = np.argsort(-scores, kind='stable')
        areas = (truth[:, 2:] - truth[:, :2]).prod(axis=1) * rng.uniform(0.4, 1.1, len(truth))
        result.append((
            BoxTruth(truth, rng.integers(0, 2, len(truth)).astype(np.int32), regions,
                     areas.astype(np.float32) if rng.random() < 0.5 else None),
            Detections(found[order].astype(np.float32), scores[order].astype(np.float32),
                       rng.integers(0, 2, len(found)).astype(np.int32))))
    return result


def reference(data: list[tuple[BoxTruth, Detections]], index: int) -> dict[str, float]:
    """Return pycocotools' scores of the class `index`."""
    annotations, results = [], []
    for image, (truth, found) in enumerate(data, 1):
        own = truth.classes == index
        areas = [None] * len(own) if truth.areas is None else truth.areas.tolist()
        rows = [(box, area, 0) for box, area, wanted in zip(
            truth.boxes.tolist(), areas, own, strict=True) if wanted]
        rows += [(box, None, 1) for box in truth.ignore.tolist()]
        for (x0, y0, x1, y1), area, crowd in rows:
            annotations.append({
                'id': len(annotations) + 1, 'image_id': image, 'category_id': 1,
                'bbox': [x0, y0, x1 - x0, y1 - y0],
                'area': (x1 - x0) * (y1 - y0) if area is None else area, 'iscrowd': crowd})
        seen = found.classes == index
        for (x0, y0, x1, y1), score in zip(
                found.boxes[seen].tolist(), found.scores[seen].tolist(), strict=True):
            results.append({'image_id': image, 'category_id': 1, 'score': score,
                            'bbox': [x0, y0, x1 - x0, y1 - y0]})
    with contextlib.redirect_stdout(io.StringIO()):
        known = coco.COCO()
        known.dataset = {'images': [{'id': number + 1} for number in range(len(data))],
                         'categories': [{'id': 1}], 'annotations': annotations, 'info': {}}
        known.createIndex()
        evaluation = cocoeval.COCOeval(known, known.loadRes(results), 'bbox')
        evaluation.params.maxDets = [1, 10, MAX_DETECTIONS]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval['precision'][:, :, 0, :, -1]
    recall = evaluation.eval['recall'][:, 0, :, -1]

    def mean(values: np.ndarray) -> float:
        return float(values.mean()) if (values > -1).all() else float('nan')

    return {'ap': mean(precision[:, :, 0]), 'ap50': mean(precision[0, :, 0]),
            'ap75': mean(precision[5, :, 0]), 'ap_small': mean(precision[:, :, 1]),
            'ap_medium': mean(precision[:, :, 2]), 'ap_large': mean(precision[:, :, 3]),
            'ar': mean(recall[:, 0])}


def scored(data: list[tuple[BoxTruth, Detections]]) -> dict[str, DetectionScore]:
    scorer = DetectionScorer(('car', 'bus'), (0, 1), {}, 0.6)
    for truth, found in data:
        scorer.add(truth, found)
    return scorer.scores()


@settings(max_examples=12)
@given(st.integers(0, 10 ** 6), st.integers(3, 8))
def test_scores_agree_with_pycocotools(seed: int, count: int) -> None:
    data = images(seed, count)
    ours = scored(data)
    for index, name in enumerate(('car', 'bus')):
        if not any((found.classes == index).any() for _, found in data):
            continue
        for score, value in reference(data, index).items():
            assert getattr(ours[name], score) == pytest.approx(value, abs=1e-6, nan_ok=True), score


def test_order_of_equal_scores_agrees_with_pycocotools() -> None:
    truth = BoxTruth(np.array([[0, 0, 10, 10]], np.float32), np.zeros(1, np.int32), NONE)
    nothing = BoxTruth(NONE, np.zeros(0, np.int32), NONE)
    found = Detections(truth.boxes, np.array([0.5], np.float32), np.zeros(1, np.int32))
    for data in ([(truth, found), (nothing, found)], [(nothing, found), (truth, found)]):
        assert scored(data)['car'].ap50 == pytest.approx(reference(data, 0)['ap50'], abs=1e-9)


def test_small_objects_are_ignored_in_larger_area_ranges() -> None:
    result = match(np.array([[0, 0, 20, 20], [100, 0, 150, 50]], np.float32), NONE,
                   np.array([[0, 0, 20, 20], [100, 0, 150, 50]], np.float32))
    assert result.objects.tolist() == [2, 1, 1, 0]
    assert result.right[:, 0].tolist() == [
        [True, True], [True, False], [False, True], [False, False]]
    assert result.ignored[1:, 0].tolist() == [[False, True], [True, False], [True, True]]


def test_box_matches_above_iou_threshold() -> None:
    result = match(np.array([[0, 0, 10, 10]], np.float32), NONE,
                   np.array([[0, 0, 7.01, 10]], np.float32))
    assert result.right[0, :, 0].tolist() == (IOUS < 0.701).tolist()


def voc(truth: np.ndarray, found: np.ndarray, regions: np.ndarray = NONE) -> DetectionScore:
    scorer = DetectionScorer(('car',), (0,), {}, 0.6)
    scores = np.linspace(0.9, 0.1, len(found)).astype(np.float32)
    scorer.add(BoxTruth(truth, np.zeros(len(truth), np.int32), regions),
               Detections(found, scores, np.zeros(len(found), np.int32)))
    return scorer.scores()['car']


def row(*places: int) -> np.ndarray:
    return np.array([[place, 0, place + 10, 10] for place in places], np.float32)


def test_voc_scores_of_small_example() -> None:
    # Correct, wrong, correct, of three objects: precision 1 to recall 1/3, then 2/3 to 2/3, then
    # 0.
    score = voc(row(0, 20, 40), row(0, 100, 20))
    assert score.voc12 == pytest.approx(1 / 3 + 1 / 3 * 2 / 3)
    # Recalls 0, 0.1, 0.2, 0.3 at precision 1; 0.4, 0.5, 0.6 at 2/3; four at 0.
    assert score.voc07 == pytest.approx((4 + 3 * 2 / 3) / 11)


def test_voc_matches_largest_overlap_even_if_already_matched() -> None:
    # The second overlaps both by half or more, the first object more; COCO matches it to the
    # other.
    truth = np.array([[0, 0, 10, 10], [0, 0, 10, 16]], np.float32)
    found = np.array([[0, 0, 10, 10], [0, 0, 10, 10.4]], np.float32)
    score = voc(truth, found)
    assert score.ap50 == pytest.approx(1)
    assert score.voc12 == pytest.approx(1 / 2)


def test_voc_excludes_detections_in_ignore_regions() -> None:
    score = voc(row(0), row(50, 0), np.array([[45, 0, 65, 20]], np.float32))
    assert (score.voc12, score.voc07) == (pytest.approx(1), pytest.approx(1))


def test_joined_sets_equal_one_set() -> None:
    data = images(3, 7)
    parts = []
    for chosen in (data[:4], data[4:], data):
        scorer = DetectionScorer(('car', 'bus'), (0, 1), {}, 0.6)
        for truth, found in chosen:
            scorer.add(truth, found)
        parts.append(scorer.matches()['car'])
    joined = Matches.joined(parts[:2])
    for name in ('scores', 'image', 'right', 'ignored', 'voc_right', 'voc_ignored', 'objects'):
        assert (getattr(joined, name) == getattr(parts[2], name)).all()
