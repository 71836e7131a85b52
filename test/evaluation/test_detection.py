import math

import numpy as np
import pytest

from mtl_perception.data.samples import BoxTruth
from mtl_perception.evaluation.detection import DetectionScorer
from mtl_perception.inference.results import Detections

pytest.importorskip('pycocotools')

NAMES = ('car', 'bus', 'person')
CAR, BUS, PERSON = range(3)
Box = tuple[float, float, float, float]
A: Box = (0, 0, 10, 10)
B: Box = (20, 0, 30, 10)
C: Box = (40, 0, 50, 10)
D: Box = (60, 0, 70, 10)


def truth(*boxes: tuple[Box, int], ignore: tuple[Box, ...] = ()) -> BoxTruth:
    return BoxTruth(np.array([b for b, _ in boxes], np.float32).reshape(-1, 4),
                    np.array([c for _, c in boxes], np.int32),
                    np.array(ignore, np.float32).reshape(-1, 4))


def found(*boxes: tuple[Box, int, float]) -> Detections:
    return Detections(np.array([b for b, _, _ in boxes], np.float32).reshape(-1, 4),
                      np.array([s for _, _, s in boxes], np.float32),
                      np.array([c for _, c, _ in boxes], np.int32))


def scorer(classes: tuple[int, ...] = (CAR,)) -> DetectionScorer:
    return DetectionScorer(NAMES, classes, {'vehicle': (CAR, BUS)}, nms_threshold=0.6)


def test_perfect_detections_score_one() -> None:
    s = scorer()
    s.add(truth((A, CAR), (B, CAR)), found((A, CAR, 0.9), (B, CAR, 0.2)))
    assert s.scores()['car'].ap50 == pytest.approx(1)
    assert s.scores()['car'].ap == pytest.approx(1)
    assert s.scores()['car'].objects == 2


def test_precision_and_recall_of_small_example() -> None:
    s = scorer()
    s.add(truth((A, CAR), (B, CAR)), found((A, CAR, 0.9), (C, CAR, 0.8), (B, CAR, 0.7)))
    # Recall 0.5 at precision 1, recall 1 at precision 2/3: 51 of the 101 recall points 0, 0.01,
    # ... 1 lie at or below 0.5.
    assert s.scores()['car'].ap50 == pytest.approx((51 * 1 + 50 * 2 / 3) / 101)


def test_missed_objects_lower_the_score() -> None:
    s = scorer()
    s.add(truth((A, CAR), (B, CAR), (C, CAR), (D, CAR)), found((A, CAR, 0.9)))
    assert s.scores()['car'].ap50 == pytest.approx(26 / 101)


def test_duplicate_detection_is_false_positive() -> None:
    s = scorer()
    s.add(truth((A, CAR), (B, CAR)), found((A, CAR, 0.9), (A, CAR, 0.8), (B, CAR, 0.7)))
    assert s.scores()['car'].ap50 == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_score_depends_on_iou_threshold() -> None:
    s = scorer()
    # An IoU of 0.701 is right at five of the ten thresholds: 0.5, 0.55, 0.6, 0.65 and 0.7.
    s.add(truth((A, CAR)), found(((0, 0, 7.01, 10), CAR, 0.9)))
    score = s.scores()['car']
    assert score.ap50 == pytest.approx(1)
    assert score.ap == pytest.approx(0.5)


def test_detections_are_ranked_over_all_images() -> None:
    s = scorer()
    s.add(truth((A, CAR)), found((A, CAR, 0.5)))
    s.add(truth(), found((B, CAR, 0.9)))
    assert s.scores()['car'].ap50 == pytest.approx(0.5)


def test_detection_in_ignore_region_is_not_counted() -> None:
    # Both cars of the region are left out, although it is one box; C is not in it.
    region = (18.0, 0.0, 42.0, 10.0)
    inside = ((20.0, 0.0, 28.0, 10.0), CAR, 0.9), ((30.0, 0.0, 38.0, 10.0), CAR, 0.8)
    s = scorer()
    s.add(truth((A, CAR), ignore=(region,)), found(*inside, (A, CAR, 0.7)))
    assert s.scores()['car'].ap50 == pytest.approx(1)
    assert s.scores()['car'].objects == 1
    s = scorer()
    s.add(truth((A, CAR)), found(*inside, (A, CAR, 0.7)))
    assert s.scores()['car'].ap50 == pytest.approx(1 / 3)


def test_class_not_exhaustively_labelled_is_not_scored() -> None:
    s = scorer((CAR, BUS))
    s.add(truth((A, CAR), (B, PERSON)), found((A, CAR, 0.9), (C, PERSON, 0.9)))
    assert set(s.scores()) == {'car', 'bus', 'vehicle'}
    assert set(scorer((CAR, PERSON)).scores()) == {'car', 'person'}


def test_group_is_scored_as_one_class() -> None:
    s = scorer((CAR, BUS))
    s.add(truth((A, CAR), (B, BUS)), found((A, BUS, 0.9), (B, BUS, 0.8)))
    scores = s.scores()
    assert scores['car'].ap50 == 0
    assert scores['bus'].ap50 == pytest.approx(0.5)
    assert scores['vehicle'].ap50 == pytest.approx(1)
    assert scores['vehicle'].objects == 2


def test_object_detected_as_two_classes_of_group_counts_once() -> None:
    s = scorer((CAR, BUS))
    shifted = (1.0, 0.0, 11.0, 10.0)
    s.add(truth((A, CAR), (B, CAR)),
          found((A, CAR, 0.9), (shifted, BUS, 0.8), (B, CAR, 0.7)))
    assert s.scores()['vehicle'].ap50 == pytest.approx(1)


def test_detections_beyond_the_first_hundred_count() -> None:
    boxes: list[Box] = [
        (x, y, x + 5.0, y + 5.0) for x in range(0, 150, 10) for y in range(0, 100, 10)]
    s = scorer()
    s.add(truth(*((box, CAR) for box in boxes)), found(*((box, CAR, 0.9) for box in boxes)))
    assert s.scores()['car'].ap50 == pytest.approx(1)


def test_class_without_objects_has_no_score() -> None:
    s = scorer((CAR, BUS))
    s.add(truth((A, CAR)), found((A, CAR, 0.9), (B, BUS, 0.9)))
    assert math.isnan(s.scores()['bus'].ap50)
    assert s.scores()['bus'].objects == 0


def test_no_detections_score_zero() -> None:
    s = scorer((CAR, BUS))
    s.add(truth((A, CAR)), found())
    assert s.scores()['car'].ap50 == 0
    assert math.isnan(s.scores()['bus'].ap)


def test_no_images_give_no_score() -> None:
    assert math.isnan(scorer().scores()['car'].ap50)


def test_evaluator_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    s = scorer()
    s.add(truth((A, CAR)), found((A, CAR, 0.9)))
    s.scores()
    assert capsys.readouterr() == ('', '')
