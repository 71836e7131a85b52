from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np

from mtl_perception.inference.nms import suppress


def _reference(boxes, scores, classes, threshold):
    """Return NMS as its definition says it, one box at a time."""
    kept = []
    for i in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        for j in kept:
            width = min(boxes[i][2], boxes[j][2]) - max(boxes[i][0], boxes[j][0])
            height = min(boxes[i][3], boxes[j][3]) - max(boxes[i][1], boxes[j][1])
            common = max(width, 0) * max(height, 0)
            union = sum((boxes[k][2] - boxes[k][0]) * (boxes[k][3] - boxes[k][1])
                        for k in (i, j)) - common
            if classes[i] == classes[j] and common > threshold * union:
                break
        else:
            kept.append(i)
    return kept


BOX = st.tuples(st.integers(-5, 40), st.integers(-5, 40), st.integers(1, 20), st.integers(1, 20))


@settings(max_examples=120)
@given(st.lists(st.tuples(BOX, st.sampled_from([0.1, 0.25, 0.5, 0.9, 1.0]), st.integers(0, 2)),
                max_size=30), st.sampled_from([0.0, 0.3141, 0.5927, 1.0]), st.integers(1, 40))
def test_nms_is_greedy_per_class(found, threshold, limit):
    boxes = np.array([(x, y, x + w, y + h) for (x, y, w, h), _, _ in found], np.float32)
    scores = np.array([score for _, score, _ in found], np.float32)
    classes = np.array([index for _, _, index in found], np.int32)
    kept = suppress(boxes.reshape(-1, 4), scores, classes, threshold, limit)
    assert kept.tolist() == _reference(boxes.tolist(), scores.tolist(), classes, threshold)[:limit]


def test_overlapping_boxes_of_different_classes_are_kept():
    boxes = np.tile(np.array([[1000, 2000, 1010, 2010]], np.float32), (254, 1))
    kept = suppress(boxes, np.full(254, 0.5, np.float32), np.arange(254), 0.1, 1000)
    assert kept.tolist() == list(range(254))
