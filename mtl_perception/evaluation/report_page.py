"""The report of an evaluation as one HTML page that needs no network and runs no script."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import math
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mtl_perception.data.set_spec import Manifest
from mtl_perception.evaluation.average_precision import RECALLS
from mtl_perception.evaluation.bootstrap import Bootstrap, Comparison
from mtl_perception.evaluation.detection import DetectionScore
from mtl_perception.evaluation.evaluate import Evaluation
from mtl_perception.evaluation.examples import (
    Example,
    label_colors,
    MISSED,
    REGION,
    RIGHT,
    WRONG,
    WRONG_CLASS,
)
from mtl_perception.evaluation.report import SetReport, TITLES

_TEMPLATES = Path(__file__).parent / 'templates'

MODEL_COLORS = ('#3b6fe0', '#e0700f', '#0f9d76', '#a04fd6', '#d13c6c', '#7d8a06')
LINE_COLORS = ('#3b6fe0', '#e0700f', '#0f9d76', '#a04fd6', '#d13c6c', '#7d8a06', '#0d9cc2',
               '#8f5b3c')

_KINDS = {'differ': 'Where the models differ most', 'worst': 'Worst', 'best': 'Best'}

_BOX_LEGEND = ((RIGHT, 'correct'), (WRONG_CLASS, 'wrong class'), (WRONG, 'false positive'),
               (MISSED, 'missed'), (REGION, 'ignore region'))


@dataclass(frozen=True)
class Mark:
    """A dot of a chart: place in 0..1, radius in pixels, and its tooltip."""

    x: float
    y: float
    radius: float
    hollow: bool
    text: str


@dataclass(frozen=True)
class Line:
    """A line of a chart, its points in 0..1."""

    name: str
    color: str
    dashed: bool
    points: tuple[tuple[float, float], ...]
    marks: tuple[Mark, ...]


def report_page(evaluation: Evaluation, manifest: Manifest, values: Mapping[str, Any]) -> str:
    """
    Return the page; `values` is the content of `metrics.json`.

    Names of models, sets, classes and images are untrusted: all text is escaped, and the page's
    security policy forbids scripts and requests.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(
        score=_score, signed=_signed, percent=_percent, css=_css, jpeg=_jpeg)
    environment.tests['number'] = lambda value: value is not None and not math.isnan(value)
    template = environment.get_template('report.html.j2')
    names = list(dict.fromkeys(
        item.name for report in evaluation.reports for item in report.sets))
    return template.render(
        values=values, evaluation=evaluation, reports=evaluation.reports,
        colors=MODEL_COLORS, bootstrap=evaluation.bootstrap, titles=TITLES,
        headline=_headline(evaluation.bootstrap), forest=_forest(evaluation.bootstrap),
        sets=[_set(evaluation, manifest, name) for name in names],
        box_legend=_BOX_LEGEND, settings=_settings(evaluation),
        overhead=_overhead(evaluation)).lstrip()


def _set(evaluation: Evaluation, manifest: Manifest, name: str) -> dict[str, Any]:
    """Return the values of one set for the page."""
    models = [(index, _find(report.sets, name))
              for index, report in enumerate(evaluation.reports)]
    present = [(index, item) for index, item in models if item is not None]
    spec = manifest.set_named(name)
    legend = []
    if spec.masks is not None and manifest.segmentation is not None \
            and any(item.segmentation for _, item in present):
        labels = label_colors(spec.masks, manifest.segmentation)
        legend = list(zip(labels.colors, labels.names, strict=True))
    classes = []
    if spec.boxes is not None and manifest.detection is not None:
        classes = [(manifest.detection.colors[index], manifest.detection.names[index])
                   for index in spec.boxes.complete]
    boxes = [(index, item) for index, item in present if item.detection]
    return {
        'name': name,
        'images': max(item.images for _, item in present),
        'broken': max(len(item.broken) for _, item in present),
        'dropped': next((text for _, item in present if (text := item.labels.dropped_text())), ''),
        'models': present,
        'boxes': boxes,
        'masks': [(index, item) for index, item in present if item.segmentation is not None],
        'curves': [(index, precision_recall(item), reliability(item)) for index, item in boxes],
        'intervals': _intervals(evaluation.bootstrap.sets.get(name, ())),
        'legend': legend,
        'classes': classes if boxes else [],
        'examples': _by_kind(evaluation.examples.get(name, ())),
    }


def precision_recall(report: SetReport) -> tuple[Line, ...]:
    """Return the precision over recall at IoU 0.5 of each class that has objects."""
    lines = []
    for color, dashed, name, score in _styled(report):
        if not score.curve.iou_50:
            continue
        points = [(recall, precision) for recall, precision in zip(
            RECALLS.tolist(), score.curve.iou_50, strict=True) if precision > 0]
        if points:
            points.append((points[-1][0], 0.0))
        marks = tuple(
            Mark(point.recall, point.precision, 4, hollow,
                 f'{name}, {what} {point.threshold:.2f}: precision {point.precision:.3f}, '
                 f'recall {point.recall:.3f}, F1 {point.f1:.3f}')
            for point, hollow, what in ((score.at_threshold, False, 'score at least'),
                                        (score.best, True, 'best F1 at score'))
            if not math.isnan(point.precision + point.recall))
        lines.append(Line(name, color, dashed, tuple(points), marks))
    return tuple(lines)


def reliability(report: SetReport) -> tuple[Line, ...]:
    """Return the share of correct detections over their mean score, by bin, for each class."""
    lines = []
    for color, dashed, name, score in _styled(report):
        bins = [(mean, share, count) for mean, share, count in zip(
            score.calibration.scores, score.calibration.precision,
            score.calibration.detections, strict=True) if count]
        if not bins or not score.objects:
            continue
        most = max(count for _, _, count in bins)
        marks = tuple(
            Mark(mean, share, 1.5 + 4.5 * math.sqrt(math.log1p(count) / math.log1p(most)), False,
                 f'{name}: {count} detections, mean score {mean:.2f}, {100 * share:.0f} % correct')
            for mean, share, count in bins)
        lines.append(Line(name, color, dashed, tuple((mean, share) for mean, share, _ in bins),
                          marks))
    return tuple(lines)


def _styled(report: SetReport) -> list[tuple[str, bool, str, DetectionScore]]:
    return [(LINE_COLORS[index % len(LINE_COLORS)], name in report.groups, name, score)
            for index, (name, score) in enumerate(report.detection.items())]


def _headline(bootstrap: Bootstrap) -> list[Comparison]:
    """Return the scores over all sets at the top of the page, at most six."""
    def rank(item: Comparison) -> int:
        order = [('ap50', 'groups'), ('ap50', 'classes'), ('ap', 'groups'), ('ap', 'classes'),
                 ('iou', 'classes'), ('frequency_weighted', ''), ('pixel_accuracy', ''),
                 ('boundary', 'classes')]
        return order.index((item.metric.name, item.metric.mean))

    return sorted(bootstrap.overall, key=rank)


def _forest(bootstrap: Bootstrap) -> dict[str, Any] | None:
    """Return the differences of whole sets for the interval chart; None for one model."""
    groups = [(name, [item for item in rows if not item.metric.label and item.differences])
              for name, rows in bootstrap.sets.items()]
    overall = [item for item in bootstrap.overall if item.differences]
    if not overall:
        return None
    groups.append(('', overall))
    groups = [(name, rows) for name, rows in groups if rows]
    ends = [abs(value) for _, rows in groups for item in rows for one in item.differences
            for value in (one.value, one.low, one.high) if not math.isnan(value)]
    return {'groups': groups, 'reach': _round_up(max(ends, default=0.01))}


def _round_up(value: float) -> float:
    """Return the next round number, for the end of an axis with a tick at its half."""
    value = max(value, 1e-3)
    power = 10.0 ** math.floor(math.log10(value))
    ends = (step * power for step in (1, 1.5, 2, 3, 4, 6, 8, 10))
    return next(end for end in ends if end >= value * 0.999)


def _intervals(rows: Sequence[Comparison]) -> dict[tuple[str, str, str, str], Comparison]:
    return {(item.metric.task, item.metric.name, item.metric.label, item.metric.mean): item
            for item in rows}


def _by_kind(examples: Sequence[Example]) -> list[tuple[str, list[Example]]]:
    return [(title, found) for kind, title in _KINDS.items()
            if (found := [item for item in examples if item.kind == kind])]


def _find(sets: Sequence[SetReport], name: str) -> SetReport | None:
    return next((item for item in sets if item.name == name), None)


def _settings(evaluation: Evaluation) -> list[tuple[list[str], str]]:
    """Return the settings of the runs, each with its models."""
    settings: dict[str, list[str]] = {}
    for report in evaluation.reports:
        text = (f'{report.runtime} on {report.device}, {report.precision}, tiles {report.tiles}, '
                f'NMS at {report.nms_threshold:g}')
        settings.setdefault(text, []).append(report.model)
    return [(names, text) for text, names in settings.items()]


def _overhead(evaluation: Evaluation) -> float:
    if not evaluation.model_seconds:
        return float('nan')
    return evaluation.seconds / evaluation.model_seconds - 1


def _score(value: float | None, digits: int = 3) -> str:
    return '–' if value is None or math.isnan(value) else f'{value:.{digits}f}'


def _signed(value: float) -> str:
    return '–' if math.isnan(value) else f'{value:+.3f}'.replace('-', '\u2212')


def _percent(value: float, digits: int = 1) -> str:
    return '–' if math.isnan(value) else f'{100 * value:.{digits}f} %'


def _css(color: tuple[int, int, int]) -> str:
    return '#{:02x}{:02x}{:02x}'.format(*color)


def _jpeg(data: bytes) -> str:
    return 'data:image/jpeg;base64,' + base64.b64encode(data).decode('ascii')
