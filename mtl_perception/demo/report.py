"""The report of a flight: frames, times, detections, labels and their accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import math
from typing import Any

import numpy as np

from mtl_perception.bags.results import RecordedFrame
from mtl_perception.data.samples import BoxTruth
from mtl_perception.data.set_spec import MaskLabels
from mtl_perception.evaluation.detection import DetectionScore, DetectionScorer
from mtl_perception.evaluation.segmentation import SegmentationScore, SegmentationScorer
from mtl_perception.inference.results import Detections
from mtl_perception.labels import IGNORE_LABEL, LabelSet
from mtl_perception.spec import ModelSpec

STAGES = ('age', 'wait', 'preprocess', 'run', 'postprocess', 'publish')


@dataclass(frozen=True)
class FrameTruth:
    """The ground truth of one frame, in the classes of a `TruthScorer`."""

    boxes: np.ndarray
    """float32 [N, 4] x0, y0, x1, y1 in pixels."""
    classes: np.ndarray
    """int32 [N]."""
    mask: np.ndarray
    """uint8 [height, width]."""


class TruthScorer:
    """
    Scores published results against the ground truth of a flight.

    Classes are matched by name; a detection of a class that the flight does not have is ignored,
    a pixel of such a class is wrong.
    """

    def __init__(self, spec: ModelSpec, box_names: Sequence[str], mask_names: Sequence[str],
                 nms_threshold: float) -> None:
        self._boxes = self._masks = None
        if spec.detection and set(box_names) <= set(spec.detection.names):
            self._box_table = _table(spec.detection, box_names, -1)
            self._boxes = DetectionScorer(
                box_names, range(len(box_names)), {'vehicle': range(len(box_names))},
                nms_threshold)
        if spec.segmentation and set(mask_names) <= set(spec.segmentation.names):
            self._mask_table = _table(spec.segmentation, mask_names, IGNORE_LABEL)
            self._masks = SegmentationScorer(
                MaskLabels(tuple(mask_names), np.eye(len(mask_names), dtype=bool)))

    def add(self, frame: RecordedFrame, truth: FrameTruth) -> None:
        """Score one frame that was processed."""
        if self._boxes is not None and frame.detections is not None:
            found = frame.detections
            classes = self._box_table[found.classes]
            known = classes >= 0
            self._boxes.add(
                BoxTruth(truth.boxes, truth.classes, np.empty((0, 4), np.float32)),
                Detections(found.boxes[known], found.scores[known],
                           classes[known].astype(np.int32)))
        if self._masks is not None and frame.label_map is not None:
            predicted = self._mask_table[frame.label_map].astype(np.uint8)
            self._masks.add(truth.mask, predicted)

    def detection(self) -> dict[str, DetectionScore]:
        """Return AP by class, and of all classes as one under `vehicle`; empty: no such task."""
        return self._boxes.scores() if self._boxes is not None else {}

    def segmentation(self) -> SegmentationScore | None:
        return self._masks.scores() if self._masks is not None else None


class FlightReport:
    """Collects the frames of a flight; `to_dict` gives their statistics."""

    def __init__(self, flight: str, model: str, spec: ModelSpec, scorer: TruthScorer | None
                 ) -> None:
        self._flight, self._model, self._spec, self._scorer = flight, model, spec, scorer
        self._size = ''
        self._recorded = self._processed = 0
        self._first = self._last = 0
        self._latencies: list[float] = []
        self._found = np.zeros(len(spec.detection) if spec.detection else 0, np.int64)
        self._pixels = np.zeros(256, np.int64)

    def add(self, frame: RecordedFrame, truth: FrameTruth | None) -> None:
        """Add the next frame, processed or dropped."""
        self._size = f'{frame.image.shape[1]}x{frame.image.shape[0]}'
        self._first = self._first or frame.stamp
        self._last = frame.stamp
        self._recorded += 1
        if not frame.processed:
            return
        self._processed += 1
        if frame.latency is not None:
            self._latencies.append(frame.latency)
        if frame.detections is not None:
            self._found += np.bincount(frame.detections.classes, minlength=len(self._found))
        if frame.label_map is not None:
            self._pixels += np.bincount(frame.label_map.ravel(), minlength=256)
        if self._scorer is not None and truth is not None:
            self._scorer.add(frame, truth)

    def to_dict(self, sent: int, node: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
        """
        Return all numbers as plain values for JSON; None where a value does not exist.

        `sent` is the number of images that the camera published, `node` the perception node's last
        diagnostics.
        """
        images, times = node.get('images', {}), node.get('latency', {})
        received = int(images.get('images received', self._processed))
        dropped = {key.removeprefix('images dropped, '): int(value)
                   for key, value in images.items() if key.startswith('images dropped, ')}
        if lost := max(0, sent - received):
            dropped['lost on the way'] = lost
        seconds = (self._last - self._first) / 1e9
        result: dict[str, Any] = {
            'flight': self._flight,
            'size': self._size,
            'model': self._model,
            'runtime': node.get('model', {}).get('runtime', ''),
            'frames': {'sent': sent, 'received': received, 'processed': self._processed,
                       'recorded': self._recorded, 'dropped': dropped,
                       'rate_hz': (self._recorded - 1) / seconds if seconds > 0 else None},
            'latency_ms': _percentiles([1e3 * value for value in self._latencies]),
            'stages_ms': {
                stage: {f'p{percent}': float(times[key]) for percent in (50, 95)
                        if (key := f'{stage} p{percent} [ms]') in times}
                for stage in STAGES if f'{stage} p50 [ms]' in times},
        }
        if self._spec.detection:
            result['detections'] = dict(
                zip(self._spec.detection.names, self._found.tolist(), strict=True))
        if self._spec.segmentation:
            total = max(int(self._pixels.sum()), 1)
            result['segmentation'] = {name: self._pixels[index] / total for index, name
                                      in enumerate(self._spec.segmentation.names)}
        if self._scorer is not None and self._processed:
            detection, segmentation = self._scorer.detection(), self._scorer.segmentation()
            result['truth'] = {
                'ap50': {name: _finite(score.ap50) for name, score in detection.items()},
                'objects': {name: score.objects for name, score in detection.items()},
                'iou': {name: _finite(value) for name, value in segmentation.iou.items()}
                if segmentation else {},
                'miou': _finite(segmentation.mean) if segmentation else None}
        return result


def report_table(report: Mapping[str, Any]) -> str:
    """Return the report as aligned text for a terminal."""
    frames, latency = report['frames'], report['latency_ms']
    causes = ', '.join(f'{count} {cause}' for cause, count in frames['dropped'].items() if count)
    rate = f' at {frames["rate_hz"]:.1f} Hz' if frames['rate_hz'] else ''
    rows = [
        ('flight', f'{report["flight"]}, {report["size"]}{rate}'),
        ('model', report['model'] + (f', {report["runtime"]}' if report['runtime'] else '')),
        ('frames', f'sent {frames["sent"]}, received {frames["received"]}, '
                   f'processed {frames["processed"]}, '
                   f'dropped {sum(frames["dropped"].values())}'
                   + (f' ({causes})' if causes else '')),
    ]
    if latency:
        rows.append(('latency', f'p50 {latency["p50"]:.0f} ms, p95 {latency["p95"]:.0f} ms '
                                "from the image's stamp until all its results were recorded"))
    if report['stages_ms']:
        rows.append(('of which', ', '.join(
            f'{stage} {value["p50"]:.1f}' for stage, value in report['stages_ms'].items())
            + ' ms (p50, last 10 s)'))
    if 'detections' in report:
        total = sum(report['detections'].values())
        seen = ', '.join(f'{name} {count}' for name, count in report['detections'].items())
        per_frame = total / max(frames['processed'], 1)
        rows.append(('detections', f'{seen}; {per_frame:.1f} per frame'))
    if 'segmentation' in report:
        rows.append(('segmentation', ', '.join(
            f'{name} {share:.1%}' for name, share in report['segmentation'].items())))
    if truth := report.get('truth'):
        if truth['ap50']:
            rows.append(('AP50', ', '.join(
                f'{name} {_text(value)} ({truth["objects"][name]})'
                for name, value in truth['ap50'].items())
                + '; of the published results, against the ground truth'))
        if truth['miou'] is not None:
            rows.append(('mIoU', f'{truth["miou"]:.3f}: ' + ', '.join(
                f'{name} {_text(value)}' for name, value in truth['iou'].items())))
    width = max(len(name) for name, _ in rows)
    return '\n'.join(f'{name.ljust(width)}  {text}' for name, text in rows)


def _table(labels: LabelSet, names: Sequence[str], missing: int) -> np.ndarray:
    """Return int32 [256]: class index of a model -> index in `names`, or `missing`."""
    table = np.full(256, missing, np.int32)
    for index, name in enumerate(names):
        table[labels.index(name)] = index
    return table


def _percentiles(values: list[float]) -> dict[str, float]:
    if not values:
        return {}
    p50, p95 = np.percentile(values, (50, 95))
    return {'p50': float(p50), 'p95': float(p95)}


def _finite(value: float) -> float | None:
    return None if math.isnan(value) else value


def _text(value: float | None) -> str:
    return '-' if value is None else f'{value:.3f}'
