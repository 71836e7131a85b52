"""Scores of a model, through the pipeline that users run, on the data sets of a manifest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
import math
from typing import Any

import numpy as np

from mtl_perception.data.manifest import Manifest, SetSpec
from mtl_perception.data.readers import DataSet, open_set
from mtl_perception.errors import ConfigError
from mtl_perception.evaluation.detection import DetectionScore, DetectionScorer, MAX_DETECTIONS
from mtl_perception.evaluation.segmentation import SegmentationScore, SegmentationScorer
from mtl_perception.inference.pipeline import Pipeline
from mtl_perception.inference.results import Detections, Perception
from mtl_perception.labels import LabelSet

SCORE_THRESHOLD = 0.02
"""
Detections below this score are not scored. AP is over the whole curve of precision and recall and
wants weak detections too; the weakest cost NMS its time and move it hardly at all.
"""


@dataclass(frozen=True)
class Milliseconds:
    """Median time of a picture, by stage; of all its tiles where there are several."""

    preprocess: float
    run: float
    postprocess: float


@dataclass(frozen=True)
class SetReport:
    """Scores of one data set."""

    name: str
    images: int
    detection: dict[str, DetectionScore]
    """By class that the set labels completely, then by group of such classes."""
    segmentation: SegmentationScore | None
    """None: the set has no masks, or the model does not segment."""
    time: Milliseconds


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

    def set_named(self, name: str) -> SetReport:
        """Return the report of the set `name`; KeyError where it was not scored."""
        for report in self.sets:
            if report.name == name:
                return report
        raise KeyError(name)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; None stands for a score that does not exist."""
        result: dict[str, Any] = _without_nan(asdict(self))
        return result

    def table(self) -> str:
        """Return the scores as aligned text for a terminal."""
        parts = [f'{self.split}: {self.runtime} on {self.device}, {self.precision}, '
                 f'tiles {self.tiles}, NMS {self.nms_threshold:g}']
        detection = [
            (report.name, str(report.images), name, str(score.objects),
             _score(score.ap50), _score(score.ap))
            for report in self.sets for name, score in report.detection.items()]
        if detection:
            parts.append(_aligned(
                ('data set', 'images', 'class', 'objects', 'AP50', 'AP'), detection))
        segmentation = []
        for report in self.sets:
            if report.segmentation is None:
                continue
            pixels = report.segmentation.pixels
            total = max(sum(pixels.values()), 1)
            segmentation += [
                (report.name, str(report.images), label, f'{100 * pixels[label] / total:.1f} %',
                 _score(iou)) for label, iou in report.segmentation.iou.items()]
            segmentation.append((report.name, str(report.images), 'mean of those present', '',
                                 _score(report.segmentation.mean)))
        if segmentation:
            parts.append(_aligned(('data set', 'images', 'label', 'pixels', 'IoU'), segmentation))
        times = [(report.name, f'{report.time.preprocess:.1f}', f'{report.time.run:.1f}',
                  f'{report.time.postprocess:.1f}') for report in self.sets]
        parts.append(_aligned(('data set', 'preprocess ms', 'run ms', 'postprocess ms'), times))
        return '\n\n'.join(parts)


def evaluate(pipeline: Pipeline, manifest: Manifest, split: str = 'val',
             sets: Sequence[str] | None = None, limit: int | None = None,
             progress: bool = True) -> Report:
    """
    Return the scores of the pipeline's model on the `split` of the manifest's sets.

    A set is scored in what it labels and the model does: boxes of the classes that it labels
    completely, and masks merged as the manifest says. The pipeline's own NMS threshold and tiles
    are used; its score threshold and limit of detections are opened for the while, as AP needs.

    Args:
        pipeline: the model; its classes must include the manifest's, in any order.
        manifest: the sets and what their labels mean.
        split: which pictures of them.
        sets: names of the sets; None takes all that have the split.
        limit: at most so many pictures of each set, evenly spread.
        progress: show a progress bar on stderr.

    Raises ConfigError for an unknown set or split and for a model of other classes, DataError for
    broken data.

    """
    if sets is None:
        chosen = [spec for spec in manifest.sets if split in spec.splits]
        if not chosen:
            raise ConfigError(f'no data set of the manifest has a split {split!r}')
    else:
        chosen = [manifest.set_named(name) for name in sets]
    if limit is not None and limit < 1:
        raise ConfigError(f'a limit of {limit} pictures leaves none to score')
    detection = _class_table(manifest.detection, pipeline.spec.detection, 'detection')
    segmentation = _class_table(manifest.segmentation, pipeline.spec.segmentation, 'segmentation')
    chosen = [spec for spec in chosen if (spec.boxes and spec.boxes.complete
                                          and detection is not None)
              or (spec.masks and segmentation is not None)]
    if not chosen:
        raise ConfigError('the model does no task that these data sets have labels for')
    # All sets are opened, and their splits read, before the first costs minutes.
    opened = [(open_set(spec, manifest), spec) for spec in chosen]
    indices = [_spread(len(data.stems(split)), limit) for data, _ in opened]

    before = pipeline.options
    pipeline.options = replace(
        before, score_threshold=SCORE_THRESHOLD, max_detections=MAX_DETECTIONS)
    try:
        reports = [
            _evaluate_set(pipeline, manifest, data, spec, split, _bar(picked, spec.name, progress),
                          detection, segmentation)
            for (data, spec), picked in zip(opened, indices, strict=True)]
    finally:
        pipeline.options = before
    runtime = pipeline.runtime
    return Report(split, runtime.name, runtime.device, runtime.precision, before.tiles,
                  before.nms_threshold, tuple(reports))


def _evaluate_set(pipeline: Pipeline, manifest: Manifest, data: DataSet, spec: SetSpec, split: str,
                  indices: Iterable[int], detection: np.ndarray | None,
                  segmentation: np.ndarray | None) -> SetReport:
    boxes = masks = None
    if spec.boxes and spec.boxes.complete and manifest.detection and detection is not None:
        boxes = DetectionScorer(manifest.detection.names, spec.boxes.complete,
                                manifest.score_groups, pipeline.options.nms_threshold)
    if spec.masks and segmentation is not None:
        masks = SegmentationScorer(spec.masks)
    times = []
    for index in indices:
        sample = data.read(split, index)
        perception = pipeline.run(sample.image)
        times.append((perception.timings.preprocess, perception.timings.run,
                      perception.timings.postprocess))
        if boxes and sample.boxes and detection is not None:
            boxes.add(sample.boxes, _detections(perception, detection))
        if masks and sample.mask is not None and segmentation is not None:
            assert perception.label_map is not None
            masks.add(sample.mask, segmentation[perception.label_map])
    median = 1e3 * np.median(np.array(times), axis=0)
    return SetReport(spec.name, len(times), boxes.scores() if boxes else {},
                     masks.scores() if masks else None, Milliseconds(*median.tolist()))


def _detections(perception: Perception, table: np.ndarray) -> Detections:
    """Return the detections with classes of the manifest; those it does not know are dropped."""
    assert perception.detections is not None
    found = perception.detections
    classes = table[found.classes]
    known = classes >= 0
    return Detections(found.boxes[known], found.scores[known], classes[known])


def _class_table(ours: LabelSet | None, models: LabelSet | None, task: str) -> np.ndarray | None:
    """
    Return, by class index of the model, the class index of the manifest, or None without the task.

    int32 [classes] with -1 for detection and uint8 [256] with 255 for segmentation where the
    manifest does not have the model's class.
    """
    if ours is None or models is None:
        return None
    missing = [name for name in ours.names if name not in models.names]
    if missing:
        raise ConfigError(
            f'the model has no {task} class {", ".join(missing)}; it knows '
            f'{", ".join(models.names)}: evaluate it with a manifest of its own classes')
    if task == 'detection':
        table = np.full(len(models), -1, np.int32)
    else:
        table = np.full(256, 255, np.uint8)
    for index, name in enumerate(models.names):
        if name in ours.names:
            table[index] = ours.index(name)
    return table


def _spread(count: int, limit: int | None) -> list[int]:
    if limit is None or limit >= count:
        return list(range(count))
    return [(2 * k + 1) * count // (2 * limit) for k in range(limit)]


def _bar(indices: list[int], name: str, progress: bool) -> Iterable[int]:
    if not progress:
        return indices
    from tqdm import tqdm
    bar: Iterable[int] = tqdm(indices, name, unit='image')
    return bar


def _score(value: float) -> str:
    return '-' if math.isnan(value) else f'{value:.3f}'


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _aligned(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return the table as text; a column of numbers is aligned to the right."""
    columns = list(zip(header, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    to_right = [all(cell[:1].isdigit() or cell in ('', '-') for cell in column[1:])
                for column in columns]
    lines = []
    for row in (header, *rows):
        cells = (cell.rjust(width) if right else cell.ljust(width)
                 for cell, width, right in zip(row, widths, to_right, strict=True))
        lines.append('  '.join(cells).rstrip())
    return '\n'.join(lines)
