"""Evaluation during training: the val split, through the pipeline that users run."""

from __future__ import annotations

from dataclasses import dataclass
import math

import numpy as np
from torch import nn

from mtl_perception.data.readers import open_set
from mtl_perception.data.set_spec import Manifest
from mtl_perception.drawing import draw_overlay
from mtl_perception.errors import ConfigError
from mtl_perception.evaluation.evaluate import evaluate, Report
from mtl_perception.inference.pipeline import Pipeline, PipelineOptions
from mtl_perception.inference.torch_runtime import TorchRuntime
from mtl_perception.spec import ModelSpec

SPLIT = 'val'


@dataclass(frozen=True)
class Scores:
    """The results of an evaluation."""

    totals: dict[str, float]
    """`score`, by which the best checkpoint is chosen, and `AP50` and `mIoU`, its parts."""
    details: dict[str, float]
    """By set and class: 'cars/AP50/vehicle', 'land/IoU/road'."""
    images: dict[str, np.ndarray]
    """One image of each set with the network's results drawn over it, uint8 [H, W, 3] RGB."""

    @property
    def score(self) -> float:
        """Mean of AP50 and mIoU, or the one that exists."""
        return self.totals['score']


class Validation:
    """
    The val split of a manifest, to score a network on it repeatedly.

    AP50 is the mean over the sets with boxes, where the classes of a score group count as one;
    mIoU is the mean over the sets with masks. Each set has the same weight, whatever its size.
    """

    def __init__(self, manifest: Manifest, spec: ModelSpec, device: str, limit: int) -> None:
        """
        Raise ConfigError where no set has a val split.

        `limit` images of each set are evaluated, evenly spread; 0: all.
        """
        self.sets = [data_set.name for data_set in manifest.sets if SPLIT in data_set.splits]
        if not self.sets:
            raise ConfigError(f'no set of the manifest has a split {SPLIT!r} to evaluate on; '
                              'train without --evaluate-every')
        self.manifest = manifest
        self.spec = spec
        self.device = device
        self.limit = limit or None

    def __call__(self, network: nn.Module) -> Scores:
        """Return the scores of `network`, which is left in evaluation mode."""
        pipeline = Pipeline(TorchRuntime.of_network(network, self.spec, self.device),
                            options=PipelineOptions(tiles='auto'))
        report = evaluate(
            pipeline, self.manifest, SPLIT, self.sets, self.limit, progress=False)
        totals, details = summarize(report)
        return Scores(totals, details, self._drawn(pipeline))

    def _drawn(self, pipeline: Pipeline) -> dict[str, np.ndarray]:
        images = {}
        for name in self.sets:
            sample = open_set(self.manifest.set_named(name), self.manifest).read(SPLIT, 0)
            images[name] = draw_overlay(sample.image, pipeline.run(sample.image), self.spec)
        return images


def summarize(report: Report) -> tuple[dict[str, float], dict[str, float]]:
    """Return totals and details of `report`, as in `Scores`; missing scores are left out."""
    details: dict[str, float] = {}
    for one in report.sets:
        details.update({f'{one.name}/AP50/{name}': score.ap50
                        for name, score in one.detection.items()})
        if one.segmentation is not None:
            details.update({f'{one.name}/IoU/{name}': iou
                            for name, iou in one.segmentation.iou.items()})
    detection = report.overall.means.get('detection', {})
    totals = {
        'AP50': detection.get('ap50_groups', detection.get('ap50', math.nan)),
        'mIoU': report.overall.means.get('segmentation', {}).get('iou', math.nan)}
    totals, details = (
        {name: value for name, value in values.items() if not math.isnan(value)}
        for values in (totals, details))
    return {**totals, 'score': float(np.mean(list(totals.values()))) if totals else 0.0}, details
