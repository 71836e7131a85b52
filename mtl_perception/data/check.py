"""Check of the sets of a manifest: counts, sizes, shares, and everything that is broken."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
import math
from typing import Any

import numpy as np

from mtl_perception.data.box_counts import BoxCounts
from mtl_perception.data.broken import Broken, MAX_REASON, read_good
from mtl_perception.data.data_set import left_out
from mtl_perception.data.readers import DataSet, open_set
from mtl_perception.data.samples import Sample
from mtl_perception.data.set_spec import Manifest, SetSpec
from mtl_perception.errors import ConfigError, MtlError, one_line
from mtl_perception.images.listing import spread
from mtl_perception.labels import IGNORE_LABEL

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Quantiles of box sizes in the report."""


@dataclass
class SplitReport:
    """One split of a set."""

    spec: SetSpec
    split: str
    images: int = 0
    """Number of images that can be used."""
    sizes: tuple[int, int, int, int] | None = None
    """Smallest and largest width, smallest and largest height."""
    ignore_regions: int = 0
    counts: BoxCounts = field(default_factory=BoxCounts)
    """What became of the boxes in the annotations."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """What of the split is in none of its entries; see `data_set.left_out`."""
    sides: dict[int, list[float]] = field(default_factory=dict)
    """Our class -> root of the area of each of its boxes, in pixels of the image."""
    fitted: dict[int, list[float]] = field(default_factory=dict)
    """The same in pixels of the network's input that the whole image is fitted into."""
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))
    """Number of pixels by source label; `IGNORE_LABEL`: unlabelled."""
    broken: list[Broken] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    """Some images with their ground truth, evenly spread."""

    @property
    def training_scale(self) -> float:
        """The middle of the set's resize factors in training."""
        return math.sqrt(self.spec.scale[0] * self.spec.scale[1])

    def add(self, sample: Sample, input_size: tuple[int, int]) -> None:
        """Count an image."""
        height, width = sample.image.shape[:2]
        low_w, high_w, low_h, high_h = self.sizes or (width, width, height, height)
        self.sizes = (min(low_w, width), max(high_w, width),
                      min(low_h, height), max(high_h, height))
        self.images += 1
        if sample.boxes is not None:
            fit = min(input_size[0] / width, input_size[1] / height)
            extent = sample.boxes.boxes[:, 2:] - sample.boxes.boxes[:, :2]
            for label, side in zip(sample.boxes.classes.tolist(),
                                   np.sqrt(extent.prod(axis=1)).tolist(), strict=True):
                self.sides.setdefault(label, []).append(side)
                self.fitted.setdefault(label, []).append(side * fit)
            self.ignore_regions += len(sample.boxes.ignore)
            self.counts += sample.boxes.counts
        if sample.mask is not None:
            self.pixels += np.bincount(sample.mask.ravel(), minlength=256)


@dataclass(frozen=True)
class CheckReport:
    """Result of checking the sets of a manifest."""

    manifest: Manifest
    input_size: tuple[int, int]
    splits: tuple[SplitReport, ...]
    unopened: tuple[str, ...]
    """Reasons why sets could not be opened at all."""

    @property
    def reasons(self) -> list[str]:
        """One line for everything that is broken."""
        return [*self.unopened,
                *(broken.reason for report in self.splits for broken in report.broken)]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {'input_size': list(self.input_size), 'unopened': list(self.unopened),
                'splits': [self._split(report) for report in self.splits]}

    def _split(self, report: SplitReport) -> dict[str, Any]:
        result: dict[str, Any] = {
            'set': report.spec.name, 'split': report.split, 'images': report.images,
            'broken': [{'entry': item.stem, 'reason': item.reason} for item in report.broken]}
        if report.left_out:
            result['left_out'] = dict(report.left_out)
        if report.sizes:
            result['width'], result['height'] = list(report.sizes[:2]), list(report.sizes[2:])
        if report.spec.boxes is not None:
            result['ignore_regions'] = report.ignore_regions
            result['labels'] = report.counts.to_dict()
            result['boxes'] = {name: {
                'count': len(sides),
                'side_px': quantiles(sides),
                'side_training_px': quantiles(sides, report.training_scale),
                'side_fitted_px': quantiles(report.fitted.get(label, []))}
                for label, name, sides in self.classes(report)}
        if report.spec.masks is not None:
            result['pixel_shares'] = dict(label_shares(report))
        return result

    def classes(self, report: SplitReport) -> list[tuple[int, str, list[float]]]:
        """Return index, name and sides of our classes that the set labels or has boxes of."""
        if self.manifest.detection is None or report.spec.boxes is None:
            return []
        return [(label, name, report.sides.get(label, []))
                for label, name in enumerate(self.manifest.detection.names)
                if label in report.sides or label in report.spec.boxes.complete]

    def table(self) -> str:
        """Return the counts as aligned text for a terminal."""
        lines = []
        for report in self.splits:
            sizes = ''
            if report.sizes:
                low_w, high_w, low_h, high_h = report.sizes
                sizes = f', {low_w}x{low_h}' + (
                    f' to {high_w}x{high_h}' if (low_w, low_h) != (high_w, high_h) else '')
            lines.append(f'{report.spec.name} {report.split}: {report.images} images{sizes}, '
                         f'{len(report.broken)} broken')
            for _, name, sides in self.classes(report):
                trained = quantiles(sides, report.training_scale)
                lines.append(f'  {name:<16}{len(sides):>8} boxes' + (
                    f'   {_range(trained)} px in training' if trained else ''))
            if report.spec.boxes is not None and report.ignore_regions:
                lines.append(f'  {"ignore regions":<16}{report.ignore_regions:>8}')
            lines += [f'  {text:<40}{count:>8}' for text, count in notes(report)]
            for name, share in label_shares(report):
                lines.append(f'  {name:<16}{100 * share:>8.2f} % of pixels')
        return '\n'.join(lines)


def check(manifest: Manifest, splits: Sequence[str] | None = None,
          sets: Sequence[str] | None = None, input_size: tuple[int, int] = (640, 640),
          samples: int = 4,
          progress: Callable[[DataSet, str], None] | None = None) -> CheckReport:
    """
    Read all images of a manifest's sets and return their counts and faults.

    Args:
        manifest: the sets and what their labels mean.
        splits: only these; None takes all that a set has.
        sets: names of the sets; None takes all.
        input_size: width and height of the network's input, for the boxes' sizes in it.
        samples: number of images of each split that are kept to be shown.
        progress: called with the set and the split that is read next.

    Raises ConfigError for an unknown set or split; broken entries are in the report.

    """
    specs = manifest.sets if sets is None else tuple(manifest.set_named(name) for name in sets)
    for split in splits or ():
        if not any(split in spec.splits for spec in specs):
            raise ConfigError(f'no data set has a split {split!r}')
    reports: list[SplitReport] = []
    unopened: list[str] = []
    for spec in specs:
        try:
            data_set = open_set(spec, manifest)
        except MtlError as error:
            unopened.append(one_line(error, MAX_REASON))
            continue
        for split in spec.splits:
            if splits is None or split in splits:
                if progress:
                    progress(data_set, split)
                reports.append(_check_split(data_set, split, input_size, samples))
    return CheckReport(manifest, input_size, tuple(reports), tuple(unopened))


def _check_split(data_set: DataSet, split: str, input_size: tuple[int, int],
                 samples: int) -> SplitReport:
    report = SplitReport(data_set.spec, split, left_out=left_out(data_set, split))
    wanted: list[int] | None = None
    for index, sample in read_good(data_set, split, report.broken.append):
        if wanted is None:
            count = len(data_set.stems(split))
            wanted = list(spread(count, samples))
        report.add(sample, input_size)
        # A broken image's place among the samples goes to the next good one.
        if wanted and index >= wanted[0]:
            wanted = [place for place in wanted if place > index]
            report.samples.append(sample)
    return report


def notes(report: SplitReport) -> list[tuple[str, int]]:
    """Return what was dropped, ignored or changed in the split: text and number of each."""
    return [*report.left_out.items(), *report.counts.notes()]


def quantiles(values: Sequence[float], factor: float = 1.0) -> list[float]:
    """Return the `QUANTILES` of the values times `factor`; empty where there are none."""
    if not values:
        return []
    return [round(float(q), 2) for q in np.quantile(np.asarray(values) * factor, QUANTILES)]


def label_shares(report: SplitReport) -> list[tuple[str, float]]:
    """Return each label's share of the pixels, and that of unlabelled pixels."""
    total = int(report.pixels.sum())
    if report.spec.masks is None or not total:
        return []
    return [*((name, float(report.pixels[label]) / total)
              for label, name in enumerate(report.spec.masks.names)
              if label not in report.spec.masks.same_as),
            ('(unlabelled)', float(report.pixels[IGNORE_LABEL]) / total)]


def _range(values: list[float]) -> str:
    low, middle, high = (f'{values[k]:.0f}' for k in (0, 2, 4))
    return f'{low} / {middle} / {high}'
