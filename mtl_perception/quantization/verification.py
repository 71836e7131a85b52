"""Loss in scores of a quantised model relative to the original, for each set."""

from __future__ import annotations

from pathlib import Path

from mtl_perception.data.set_spec import Manifest
from mtl_perception.evaluation.evaluate import evaluate_models
from mtl_perception.evaluation.report import SetReport
from mtl_perception.inference.pipeline import Pipeline, PipelineOptions
from mtl_perception.inference.runtime import RuntimeOptions, Say

MAX_LOSS = {'AP50': 0.01, 'mIoU': 0.005}
"""Loss of a set above which it is marked; AP50 is the mean over classes."""


def verify(whole: Path, quantized: Path, manifest: Manifest, tiles: str,
           runtime: RuntimeOptions, say: Say) -> str:
    """
    Return the scores of two models on the val split of `manifest` and their loss as text.

    Both are run with `runtime`: 'auto' may select a different number format for each, as in
    deployment; `say` receives their messages. Raises the errors of `evaluate_models`.
    """
    pipelines = [Pipeline(path, PipelineOptions(tiles=tiles), runtime, say)
                 for path in (whole, quantized)]
    first, second = evaluate_models(
        pipelines, [whole.name, quantized.name], manifest).reports
    return loss_table(first.sets, second.sets, f'{first.runtime} {first.precision}',
                      f'{second.runtime} {second.precision}')


def loss_table(before: tuple[SetReport, ...], after: tuple[SetReport, ...], first: str,
               second: str) -> str:
    """Return a table of two models' scores on the same sets; `first` and `second` head them."""
    width = max(len(first), len(second), 6) + 2
    lines = [f'{"data set":<20}{"score":<24}{first:>{width}}{second:>{width}}{"loss":>9}']
    worst = 0
    for old, new in zip(before, after, strict=True):
        rows = []
        if old.detection:
            rows.append(('AP50', old.detection_mean['classes']['ap50'],
                         new.detection_mean['classes']['ap50']))
            rows += [(f'AP50 {name}', score.ap50, new.detection[name].ap50)
                     for name, score in old.detection.items()]
        if old.segmentation and new.segmentation:
            rows.append(('mIoU', old.segmentation.mean, new.segmentation.mean))
        for name, was, now in rows:
            # A missing score is NaN and compares false.
            is_too_much = was - now > MAX_LOSS.get(name, float('inf'))
            worst += is_too_much
            lines.append(f'{old.name:<20}{name:<24}{was:>{width}.4f}{now:>{width}.4f}'
                         f'{was - now:>+9.4f}{"  too much" if is_too_much else ""}')
    limits = ' or '.join(f'{most} of {name}' for name, most in MAX_LOSS.items())
    lines.append(f'no set loses more than {limits}' if not worst else
                 f'{worst} of these scores lose more than {limits}')
    return '\n'.join(lines)
