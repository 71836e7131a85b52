"""The scores of a model, as plain values and as text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
import math
from typing import Any

from mtl_perception.data.box_counts import BoxCounts
from mtl_perception.evaluation.bootstrap import Bootstrap
from mtl_perception.evaluation.box_confusion import BoxConfusion
from mtl_perception.evaluation.detection import DetectionScore
from mtl_perception.evaluation.segmentation import SegmentationScore

FORMAT = 1
"""Version of `metrics.json`."""

SEGMENTATION_CALIBRATION = (
    'The deployable graph outputs the most likely class of a pixel, not its probability, so the '
    'confidence of label maps cannot be measured. The ratio of predicted to true pixels of each '
    'label is reported instead.')


@dataclass(frozen=True)
class Milliseconds:
    """Median time of an image by stage, including all its tiles."""

    preprocess: float
    run: float
    postprocess: float


@dataclass(frozen=True)
class SetReport:
    """Scores of one data set."""

    name: str
    images: int
    detection: dict[str, DetectionScore]
    """By class that the set labels exhaustively, then by group of such classes."""
    segmentation: SegmentationScore | None
    """None if the set has no masks, or the model does not segment."""
    time: Milliseconds
    detection_mean: dict[str, dict[str, float]] = field(default_factory=dict)
    """'classes' or 'groups' -> name of a score -> its mean; see ``evidence.detection_mean``."""
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Group in `detection` -> its classes."""
    confusion: BoxConfusion | None = None
    """For the detections above the operating score threshold."""
    labels: BoxCounts = field(default_factory=BoxCounts)
    """What became of the boxes in the annotations of the scored images."""
    broken: tuple[str, ...] = ()
    """The reason for each entry that was skipped, in one line."""


@dataclass(frozen=True)
class Overall:
    """Scores over all sets."""

    means: dict[str, dict[str, float]]
    """'detection' or 'segmentation' -> name of a score -> its mean over the sets."""
    detection: dict[str, DetectionScore]
    """By class and group: all sets that label it exhaustively, scored as one set."""
    iou: dict[str, float]
    """
    By class: IoU over all images of the sets with a label for this class only; NaN if there are
    none.
    """


@dataclass(frozen=True)
class Report:
    """Scores of a model, and how it was run."""

    split: str
    runtime: str
    device: str
    precision: str
    tiles: str
    nms_threshold: float
    sets: tuple[SetReport, ...]
    score_threshold: float
    """The operating threshold, used for operating points, confusion and images."""
    overall: Overall
    model: str = ''

    def set_named(self, name: str) -> SetReport:
        """Return the report of the set `name`; KeyError if it was not scored."""
        for report in self.sets:
            if report.name == name:
                return report
        raise KeyError(name)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; None if a score does not exist."""
        result: dict[str, Any] = without_nan(asdict(self))
        return result

    def table(self) -> str:
        """Return the scores as aligned text for a terminal."""
        parts = [f'{self.split}: {self.runtime} on {self.device}, {self.precision}, '
                 f'tiles {self.tiles}, NMS {self.nms_threshold:g}']
        detection = [
            (report.name, str(report.images), name, str(score.objects), _score(score.ap50),
             _score(score.ap), _score(score.ap_small), _score(score.ap_medium),
             _score(score.ap_large), _score(score.best.f1), _score(score.best.threshold))
            for report in self.sets for name, score in report.detection.items()]
        if detection:
            parts.append(aligned(
                ('data set', 'images', 'class', 'objects', 'AP50', 'AP', 'small', 'medium',
                 'large', 'best F1', 'at score'), detection))
        segmentation = []
        for report in self.sets:
            score = report.segmentation
            if score is None:
                continue
            total = max(sum(score.pixels.values()), 1)
            segmentation += [
                (report.name, str(report.images), label,
                 f'{100 * score.pixels[label] / total:.1f} %', _score(iou),
                 _score(score.boundary[label])) for label, iou in score.iou.items()]
            segmentation.append((report.name, str(report.images), 'mean of those present', '',
                                 _score(score.mean), _score(score.boundary_mean)))
        if segmentation:
            parts.append(aligned(
                ('data set', 'images', 'label', 'pixels', 'IoU', 'boundary F'), segmentation))
        means = [(TITLES[task, name], _score(value))
                 for task, scores in self.overall.means.items() for name, value in scores.items()
                 if (task, name) in TITLES]
        if len(self.sets) > 1 and means:
            parts.append(aligned(('mean over data sets', ''), means))
        parts += [f'{report.name}: {len(report.broken)} broken, skipped'
                  for report in self.sets if report.broken]
        times = [(report.name, f'{report.time.preprocess:.1f}', f'{report.time.run:.1f}',
                  f'{report.time.postprocess:.1f}') for report in self.sets]
        parts.append(aligned(('data set', 'preprocess ms', 'run ms', 'postprocess ms'), times))
        return '\n\n'.join(parts)


TITLES = {
    ('detection', 'ap50'): 'AP50, mean of classes',
    ('detection', 'ap50_groups'): 'AP50, groups as one',
    ('detection', 'ap'): 'AP, mean of classes',
    ('detection', 'ap_groups'): 'AP, groups as one',
    ('segmentation', 'iou'): 'mIoU',
    ('segmentation', 'frequency_weighted'): 'Frequency-weighted IoU',
    ('segmentation', 'pixel_accuracy'): 'Pixel accuracy',
    ('segmentation', 'boundary'): 'Boundary F',
}
"""Heading of a score of a whole set, by task and name; see ``score_key``."""


MOST_DROPPED = 0.01
"""Share of the boxes in the annotations above which dropped ones are a warning."""


def dropped_warnings(report: Report) -> list[str]:
    """Return a line for each set of which more than `MOST_DROPPED` of the boxes were dropped."""
    return [
        f'warning: {item.name}: {item.labels.dropped} of {item.labels.listed} boxes in the '
        f'annotations were dropped ({item.labels.dropped_text()}); see `mtl data check`'
        for item in report.sets if item.labels.dropped > MOST_DROPPED * item.labels.listed]


def score_key(name: str, mean: str) -> str:
    """Return the key in `Overall.means` of a metric's name and mean."""
    return f'{name}_groups' if mean == 'groups' else name


def comparison_table(bootstrap: Bootstrap, models: Sequence[str]) -> str:
    """Return the differences between the models, by set and over all, as aligned text."""
    rows = []
    for name, comparisons in (*bootstrap.sets.items(), ('all sets', bootstrap.overall)):
        for item in comparisons:
            if item.metric.label:
                continue
            title = TITLES[item.metric.task, score_key(item.metric.name, item.metric.mean)]
            for model, value, difference in zip(
                    models[1:], item.models[1:], item.differences, strict=True):
                rows.append((name, title, _score(item.models[0].value), model,
                             _score(value.value), _signed(difference.value),
                             f'{_signed(difference.low)} .. {_signed(difference.high)}'))
    return aligned(('data set', 'score', models[0], 'model', 'its score', 'difference',
                    f'{100 * bootstrap.confidence:g} % interval'), rows)


def without_nan(value: Any) -> Any:
    """Return plain values with None for every NaN."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def aligned(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return the table as text; a column of numbers is aligned to the right."""
    columns = list(zip(header, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    to_right = [all(cell.lstrip('+-')[:1].isdigit() or cell in ('', '-') for cell in column[1:])
                for column in columns]
    lines = []
    for row in (header, *rows):
        cells = (cell.rjust(width) if right else cell.ljust(width)
                 for cell, width, right in zip(row, widths, to_right, strict=True))
        lines.append('  '.join(cells).rstrip())
    return '\n'.join(lines)


def _score(value: float) -> str:
    return '-' if math.isnan(value) else f'{value:.3f}'


def _signed(value: float) -> str:
    return '-' if math.isnan(value) else f'{value:+.3f}'
