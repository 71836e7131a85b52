"""Evaluation of model files on a manifest, with metrics and a page as output files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
import json
from pathlib import Path
from typing import Any

from mtl_perception import __version__
from mtl_perception.data.broken import Broken
from mtl_perception.data.manifest import load_manifest
from mtl_perception.errors import ConfigError, DataError
from mtl_perception.evaluation.evaluate import evaluate_models, Evaluation
from mtl_perception.evaluation.report import (
    dropped_warnings,
    FORMAT,
    SEGMENTATION_CALIBRATION,
    without_nan,
)
from mtl_perception.files import make_folder, write_text
from mtl_perception.inference.pipeline import Pipeline, PipelineOptions
from mtl_perception.inference.runtime import RuntimeOptions, Say

METRICS_FILE = 'metrics.json'
REPORT_FILE = 'report.html'

MAX_SAMPLES = 100_000
MAX_IMAGES = 50


@dataclass(frozen=True)
class EvaluationConfig:
    """Models, data sets and output files of an evaluation; ConfigError if invalid."""

    models: tuple[Path, ...]
    """Model files; the others are compared with the first."""
    manifest: Path
    data: Path | None = None
    """Folder of the data sets; None: $MTL_DATA, else `root` of the manifest."""
    split: str = 'val'
    sets: tuple[str, ...] | None = None
    """Names of data sets; None: all with the split."""
    limit: int | None = None
    """Maximum number of images of each set, evenly spread; None: all."""
    output: Path | None = None
    """Folder for the page and the metrics; None: neither is written."""
    json: Path | None = None
    """File for the metrics only; None: not written."""
    bootstrap: int = 1000
    """Bootstrap samples for the intervals; 0: no intervals."""
    seed: int = 0
    """Seed of the bootstrap."""
    images: int = 3
    """Number of worst and of best images of each set on the page."""
    skip_bad: bool = False
    """Whether broken images and annotations are skipped and counted instead of being an error."""
    black_hot: bool = False
    """Whether high values of images of more than 8 bits are black, in sets that do not say so."""
    pipeline: PipelineOptions = field(default_factory=PipelineOptions)
    runtime: RuntimeOptions = field(default_factory=RuntimeOptions)

    def __post_init__(self) -> None:
        for option, value, most in (('--bootstrap', self.bootstrap, MAX_SAMPLES),
                                    ('--images', self.images, MAX_IMAGES)):
            if not 0 <= value <= most:
                raise ConfigError(f'{option} {value} is not in 0..{most}')
        if self.seed < 0:
            raise ConfigError(f'--seed {self.seed} is negative')


def run_evaluation(config: EvaluationConfig, say: Say) -> Evaluation:
    """
    Score the models and write the files of `config`.

    `say` receives messages of runtimes, broken entries that are skipped, and a warning for each
    set that lost more than a few boxes on the way; see ``report.dropped_warnings``.

    Raises MtlError for an invalid model, data set or option, or a file that cannot be written; as
    far as possible this is checked before the first image.
    """
    manifest = load_manifest(config.manifest, config.data)
    if config.black_hot:
        manifest = replace(manifest, sets=tuple(
            replace(spec, black_hot=True) for spec in manifest.sets))
    if config.json and not config.json.parent.is_dir():
        raise DataError(f'{config.json.parent}: no such folder to write {config.json.name} in')
    if config.output:
        # Imported before hours are spent, since packages of the page may be missing.
        from mtl_perception.evaluation.report_page import report_page
        make_folder(config.output)
    pipelines = [Pipeline(model, config.pipeline, config.runtime, say) for model in config.models]

    def skip(broken: Broken) -> None:
        say(f'left out of {broken.set_name}: {broken.reason}')

    compared = config.output is not None or len(pipelines) > 1
    evaluation = evaluate_models(
        pipelines, model_names(config.models), manifest, config.split, config.sets, config.limit,
        samples=config.bootstrap if compared else 0, seed=config.seed,
        images=config.images if config.output else 0, skip=skip if config.skip_bad else None)
    for line in dropped_warnings(evaluation.reports[0]):
        say(line)
    values = metrics(evaluation, config)
    if config.json:
        (first, *others) = values['models']
        write_text(config.json, _json(values if others else first))
    if config.output:
        write_text(config.output / METRICS_FILE, _json(values))
        write_text(config.output / REPORT_FILE, report_page(evaluation, manifest, values))
    return evaluation


def metrics(evaluation: Evaluation, config: EvaluationConfig) -> dict[str, Any]:
    """Return the content of `metrics.json`: plain values, None for missing scores."""
    return {
        'format': FORMAT, 'version': __version__, 'manifest': config.manifest.name,
        'split': evaluation.reports[0].split, 'limit': config.limit,
        'black_hot': config.black_hot,
        'models': [report.to_dict() for report in evaluation.reports],
        'bootstrap': without_nan(asdict(evaluation.bootstrap)),
        'segmentation_calibration': SEGMENTATION_CALIBRATION,
        'seconds': evaluation.seconds, 'model_seconds': evaluation.model_seconds}


def model_names(paths: Sequence[str | Path]) -> list[str]:
    """Return a short, unique name for each model file."""
    names = [Path(path).name for path in paths]
    if len(set(names)) < len(names):
        names = ['/'.join(Path(path).parts[-2:]) for path in paths]
    seen: Counter[str] = Counter()
    result = []
    for name in names:
        seen[name] += 1
        result.append(name if seen[name] == 1 else f'{name} ({seen[name]})')
    return result


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, indent=2, allow_nan=False) + '\n'
