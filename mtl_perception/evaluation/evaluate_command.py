"""`mtl evaluate`: score models on the data sets of a manifest, and compare them."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
import json
from pathlib import Path
from typing import Any

from mtl_perception import __version__
from mtl_perception.data.manifest import load_manifest
from mtl_perception.errors import ConfigError, DataError
from mtl_perception.evaluation.evaluate import evaluate_models, Evaluation
from mtl_perception.evaluation.report import (
    comparison_table,
    FORMAT,
    SEGMENTATION_CALIBRATION,
    without_nan,
)
from mtl_perception.inference.pipeline import Pipeline, PipelineOptions
from mtl_perception.inference.runtime_arguments import (
    add_runtime_arguments,
    runtime_options,
    say,
)

METRICS_FILE = 'metrics.json'
REPORT_FILE = 'report.html'

MAX_SAMPLES = 100_000
MAX_PICTURES = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    defaults = PipelineOptions()
    parser.add_argument('--model', required=True, action='append', metavar='FILE',
                        help='model file; more than one are compared with the first')
    parser.add_argument('--config', required=True, metavar='YAML',
                        help='manifest of the data sets, such as config/aerial.yaml')
    parser.add_argument('--data', metavar='DIR',
                        help='folder of the data sets (default: $MTL_DATA, else as in the YAML)')
    parser.add_argument('--split', default='val', help='which pictures (default: %(default)s)')
    parser.add_argument('--sets', metavar='A,B', help='only these data sets (default: all)')
    parser.add_argument('--limit', type=int, metavar='N',
                        help='at most N pictures of each set, evenly spread')
    parser.add_argument('--output', metavar='DIR',
                        help=f'folder for {REPORT_FILE} and {METRICS_FILE}; made if missing')
    parser.add_argument('--tiles', default=defaults.tiles,
                        help='cut pictures: off, auto or ROWSxCOLUMNS (default: %(default)s)')
    parser.add_argument('--nms-threshold', type=float, default=defaults.nms_threshold, metavar='T',
                        help='IoU above which the weaker box is dropped (default: %(default)s)')
    parser.add_argument('--score-threshold', type=float, default=defaults.score_threshold,
                        metavar='T', help='least score of a box in confusion matrices and '
                        'pictures; AP takes all (default: %(default)s)')
    parser.add_argument('--bootstrap', type=int, default=1000, metavar='N',
                        help='samples for the intervals of scores and differences; 0: no '
                        'intervals (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0,
                        help='of the bootstrap (default: %(default)s)')
    parser.add_argument('--pictures', type=int, default=3, metavar='N',
                        help='worst and best pictures of each set that the report shows '
                        '(default: %(default)s)')
    parser.add_argument('--json', metavar='FILE', help='write the scores as JSON too')
    add_runtime_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Print the scores; MtlError says what is wrong with a model, the data or an option."""
    manifest = load_manifest(args.config, args.data)
    for name, most in (('bootstrap', MAX_SAMPLES), ('pictures', MAX_PICTURES)):
        if not 0 <= getattr(args, name) <= most:
            raise ConfigError(f'--{name} is in 0..{most}, not {getattr(args, name)}')
    if args.seed < 0:
        raise ConfigError(f'--seed is not negative: {args.seed}')
    output = Path(args.json) if args.json else None
    if output and not output.parent.is_dir():
        raise DataError(f'{output.parent}: no such folder to write {output.name} in')
    folder = Path(args.output) if args.output else None
    if folder:
        # What the page needs is asked for now, not when hours are spent.
        from mtl_perception.evaluation.report_page import report_page
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f'{folder}: cannot be made: {error.strerror}') from None
    options = PipelineOptions(score_threshold=args.score_threshold,
                              nms_threshold=args.nms_threshold, tiles=args.tiles)
    pipelines = [Pipeline(model, options, runtime_options(args), say) for model in args.model]
    names = model_names(args.model)
    sets = [name.strip() for name in args.sets.split(',')] if args.sets else None
    compared = folder is not None or len(pipelines) > 1
    evaluation = evaluate_models(
        pipelines, names, manifest, args.split, sets, args.limit,
        samples=args.bootstrap if compared else 0, seed=args.seed,
        pictures=args.pictures if folder else 0)
    for report in evaluation.reports:
        print(f'{report.model}\n{report.table()}\n' if len(pipelines) > 1 else report.table())
    if len(pipelines) > 1:
        print(comparison_table(evaluation.bootstrap, names))
    values = metrics(evaluation, Path(args.config).name, args.limit)
    if output:
        (first, *others) = values['models']
        _write(output, _json(values if others else first))
    if folder:
        _write(folder / METRICS_FILE, _json(values))
        _write(folder / REPORT_FILE, report_page(evaluation, manifest, values))
        print(f'\n{folder / REPORT_FILE}\n{folder / METRICS_FILE}')


def metrics(evaluation: Evaluation, manifest: str, limit: int | None) -> dict[str, Any]:
    """Return what `metrics.json` holds: plain values, None for a score that does not exist."""
    return {
        'format': FORMAT, 'version': __version__, 'manifest': manifest,
        'split': evaluation.reports[0].split, 'limit': limit,
        'models': [report.to_dict() for report in evaluation.reports],
        'bootstrap': without_nan(asdict(evaluation.bootstrap)),
        'segmentation_calibration': SEGMENTATION_CALIBRATION,
        'seconds': evaluation.seconds, 'model_seconds': evaluation.model_seconds}


def model_names(paths: Sequence[str]) -> list[str]:
    """Return a short name for each model file, no two alike."""
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


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, 'utf-8')
    except OSError as error:
        raise DataError(f'{path}: cannot be written: {error.strerror}') from None
