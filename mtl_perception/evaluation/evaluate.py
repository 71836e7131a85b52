"""Evaluation of models with the deployed pipeline on the data sets of a manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
import time

import numpy as np

from mtl_perception.data.broken import Broken, broken_entry
from mtl_perception.data.readers import DataSet, open_set
from mtl_perception.data.samples import Sample
from mtl_perception.data.set_spec import Manifest
from mtl_perception.errors import ConfigError, DataError
from mtl_perception.evaluation.bootstrap import Bootstrap, bootstrap
from mtl_perception.evaluation.detection import detection_score, MAX_DETECTIONS
from mtl_perception.evaluation.evidence import mean_over_sets, sample_scores, SetEvidence
from mtl_perception.evaluation.examples import Example, Examples
from mtl_perception.evaluation.matching import Matches
from mtl_perception.evaluation.report import Overall, Report, score_key
from mtl_perception.evaluation.set_scorer import ClassTables, ImageResult, SetScorer
from mtl_perception.images.listing import spread
from mtl_perception.inference.pipeline import Pipeline
from mtl_perception.labels import LabelSet

SCORE_THRESHOLD = 0.02
"""
Detections below this score are not scored. AP covers the whole precision-recall curve and needs
low-scoring detections too, but the lowest ones cost NMS time and hardly change AP.
"""


@dataclass(frozen=True)
class Evaluation:
    """The scores of one or more models on the same images."""

    reports: tuple[Report, ...]
    bootstrap: Bootstrap
    examples: dict[str, tuple[Example, ...]]
    """By set: its worst and best images, drawn; empty if none were requested."""
    seconds: float
    """Wall-clock seconds of the evaluation."""
    model_seconds: float
    """Seconds of it in which the models' pipelines ran."""


def evaluate(pipeline: Pipeline, manifest: Manifest, split: str = 'val',
             sets: Sequence[str] | None = None, limit: int | None = None,
             progress: bool = True) -> Report:
    """Return the scores of one model; see `evaluate_models`."""
    return evaluate_models([pipeline], [''], manifest, split, sets, limit, progress).reports[0]


def evaluate_models(pipelines: Sequence[Pipeline], names: Sequence[str], manifest: Manifest,
                    split: str = 'val', sets: Sequence[str] | None = None,
                    limit: int | None = None, progress: bool = True, *, samples: int = 0,
                    seed: int = 0, images: int = 0,
                    skip: Callable[[Broken], object] | None = None) -> Evaluation:
    """
    Return the scores of the pipelines' models on the `split` of the manifest's sets.

    A set is scored on the tasks that it labels and the model has: boxes of the classes that it
    labels exhaustively, and masks merged according to the manifest. The pipelines' NMS thresholds
    and tiles are used; their score thresholds are lowered and limits of detections raised for the
    evaluation, as AP requires. The score threshold of each pipeline is the operating threshold,
    used for operating points, confusion and images.

    Args:
        pipelines: the models; their classes must include the manifest's, in any order. names:
        names of the models. manifest: the sets and the meaning of their labels. split: name of the
        split. sets: names of the sets; None: all that have the split. limit: maximum number of
        images of each set, evenly spread. progress: show a progress bar on stderr. samples:
        bootstrap samples for the intervals of scores and differences; 0: no intervals. seed: seed
        of the bootstrap. images: number of the worst and of the best images of each set to draw.
        skip: receives the broken entries, which are left out; None: the first one is an error.

    Raises ConfigError for an unknown set or split and for a model of other classes, DataError for
    broken data, and, with `skip`, for a set without any entry that can be read.

    """
    begun = time.perf_counter()
    if sets is None:
        chosen = [spec for spec in manifest.sets if split in spec.splits]
        if not chosen:
            raise ConfigError(f'no data set of the manifest has a split {split!r}')
    else:
        chosen = [manifest.set_named(name) for name in dict.fromkeys(sets)]
    if limit is not None and limit < 1:
        raise ConfigError(f'the limit of images is {limit}; it must be at least 1')
    if samples < 0 or images < 0:
        raise ConfigError('the numbers of bootstrap samples and of images must not be negative')
    tables = [_tables(manifest, pipeline) for pipeline in pipelines]
    scorers = {spec.name: [
        SetScorer(manifest, spec, table, pipeline.options.nms_threshold,
                  pipeline.options.score_threshold)
        for table, pipeline in zip(tables, pipelines, strict=True)] for spec in chosen}
    chosen = [spec for spec in chosen if any(item.has_task for item in scorers[spec.name])]
    if not chosen:
        raise ConfigError('the model has no task for which these data sets have labels')
    # All sets are opened, and their splits read, before minutes are spent on the first.
    opened = [open_set(spec, manifest) for spec in chosen]
    indices = [list(spread(len(data.stems(split)), limit)) for data in opened]
    for spec, picked in zip(chosen, indices, strict=True):
        if not picked:
            raise DataError(f'data set {spec.name}: its split {split!r} has no image')

    examples: dict[str, tuple[Example, ...]] = {}
    model_seconds = 0.0
    broken: dict[str, list[str]] = {spec.name: [] for spec in chosen}

    def note(entry: Broken) -> None:
        broken[entry.set_name].append(entry.reason)
        assert skip is not None
        skip(entry)

    before = [pipeline.options for pipeline in pipelines]
    try:
        for pipeline in pipelines:
            pipeline.options = replace(
                pipeline.options, score_threshold=SCORE_THRESHOLD, max_detections=MAX_DETECTIONS)
        for data, spec, picked in zip(opened, chosen, indices, strict=True):
            drawn = Examples(manifest, spec, images)
            entries = _read_ahead(data, split, picked, note if skip else None)
            model_seconds += _run_set(pipelines, _bar(entries, len(picked), spec.name, progress),
                                      scorers[spec.name], drawn)
            if len(broken[spec.name]) == len(picked):
                raise DataError(f'data set {spec.name}: none of the {len(picked)} entries of its '
                                f'split {split!r} can be read')
            examples[spec.name] = drawn.chosen()
    finally:
        for pipeline, options in zip(pipelines, before, strict=True):
            pipeline.options = options

    reports, evidences = [], []
    for number, pipeline in enumerate(pipelines):
        own = {spec.name: scorers[spec.name][number] for spec in chosen
               if scorers[spec.name][number].has_task}
        evidence = {name: scorer.evidence() for name, scorer in own.items()}
        evidences.append(evidence)
        runtime, options = pipeline.runtime, pipeline.options
        reports.append(Report(
            split, runtime.name, runtime.device, runtime.precision, options.tiles,
            options.nms_threshold,
            tuple(scorer.report(evidence[name], broken[name]) for name, scorer in own.items()),
            options.score_threshold, _overall(manifest, evidence, options.score_threshold),
            names[number]))
    intervals = bootstrap(evidences, samples, seed)
    return Evaluation(tuple(reports), intervals, examples, time.perf_counter() - begun,
                      model_seconds)


def _run_set(pipelines: Sequence[Pipeline], samples: Iterable[Sample | None],
             scorers: Sequence[SetScorer], examples: Examples) -> float:
    """Run the models with a task of the set on its samples; return their run time."""
    seconds = 0.0
    for sample in samples:
        if sample is None:
            continue
        results: list[ImageResult | None] = []
        for pipeline, scorer in zip(pipelines, scorers, strict=True):
            if not scorer.has_task:
                results.append(None)
                continue
            start = time.perf_counter()
            perception = pipeline.run(sample.image)
            seconds += time.perf_counter() - start
            results.append(scorer.add(sample, perception))
        examples.add(sample, results)
    return seconds


def _read_ahead(data: DataSet, split: str, indices: list[int],
                skip: Callable[[Broken], object] | None) -> Iterator[Sample | None]:
    """
    Yield the samples; the next one is decoded while the models process the current one.

    A broken entry is passed to `skip`, and None is yielded; without `skip`, it is a DataError.
    """
    with ThreadPoolExecutor(1, 'read') as reader:
        ahead = reader.submit(data.read, split, indices[0])
        for index, following in zip(indices, [*indices[1:], None], strict=True):
            sample: Sample | None = None
            try:
                sample = ahead.result()
            except DataError as error:
                if skip is None:
                    raise
                skip(broken_entry(data, split, index, error))
            if following is not None:
                ahead = reader.submit(data.read, split, following)
            yield sample


def _overall(manifest: Manifest, evidence: dict[str, SetEvidence], threshold: float) -> Overall:
    once = [sample_scores(item, np.ones((1, item.images))) for item in evidence.values()]
    means: dict[str, dict[str, float]] = {}
    for metric, values in mean_over_sets(once).items():
        means.setdefault(metric.task, {})[score_key(metric.name, metric.mean)] = float(values[0])
    detection = {}
    for name in dict.fromkeys(name for item in evidence.values() for name in item.detection):
        parts = [item.detection[name] for item in evidence.values() if name in item.detection]
        detection[name] = detection_score(Matches.joined(parts), threshold)
    return Overall(means, detection, _class_iou(manifest, evidence))


def _class_iou(manifest: Manifest, evidence: dict[str, SetEvidence]) -> dict[str, float]:
    """Return the IoU of each class over the sets with a label for it only."""
    if manifest.segmentation is None:
        return {}
    right = np.zeros(len(manifest.segmentation))
    union = np.zeros(len(manifest.segmentation))
    for name, item in evidence.items():
        masks = manifest.set_named(name).masks
        if masks is None or item.segmentation is None:
            continue
        total = item.segmentation.confusion.sum(axis=0)
        allowed = masks.allowed[masks.allowed.any(axis=1)]
        for row in np.flatnonzero(allowed.sum(axis=1) == 1):
            index = int(allowed[row].argmax())
            right[index] += total[row, row]
            union[index] += total[row].sum() + total[:, row].sum() - total[row, row]
    iou = np.divide(right, union, out=np.full(len(right), np.nan), where=union > 0)
    return dict(zip(manifest.segmentation.names, iou.tolist(), strict=True))


def _tables(manifest: Manifest, pipeline: Pipeline) -> ClassTables:
    return ClassTables(
        _class_table(manifest.detection, pipeline.spec.detection, 'detection'),
        _class_table(manifest.segmentation, pipeline.spec.segmentation, 'segmentation'))


def _class_table(ours: LabelSet | None, models: LabelSet | None, task: str) -> np.ndarray | None:
    """
    Return, by class index of the model, the class index of the manifest, or None without the task.

    int32 [classes] for detection, with -1 for a class of the model that is not in the manifest,
    and uint8 [256] for segmentation, with 255.
    """
    if ours is None or models is None:
        return None
    missing = [name for name in ours.names if name not in models.names]
    if missing:
        raise ConfigError(
            f'the model has no {task} class {", ".join(missing)}; its classes are '
            f'{", ".join(models.names)}: evaluate it with a manifest of its classes')
    if task == 'detection':
        table = np.full(len(models), -1, np.int32)
    else:
        table = np.full(256, 255, np.uint8)
    for index, name in enumerate(models.names):
        if name in ours.names:
            table[index] = ours.index(name)
    return table


def _bar(samples: Iterator[Sample | None], count: int, name: str,
         progress: bool) -> Iterable[Sample | None]:
    if not progress:
        return samples
    from tqdm import tqdm
    # None: no bar unless stderr is a terminal.
    bar: Iterable[Sample | None] = tqdm(samples, name, count, unit='image', disable=None)
    return bar
