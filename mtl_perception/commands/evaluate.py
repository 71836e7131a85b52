"""`mtl evaluate`: score models on the data sets of a manifest, and compare them."""

from __future__ import annotations

import argparse
from pathlib import Path

from mtl_perception.commands.arguments import add_data_argument, names, say
from mtl_perception.commands.model_arguments import (
    add_black_hot_argument,
    add_runtime_arguments,
    add_tiles_argument,
    runtime_options,
)
from mtl_perception.evaluation.report import comparison_table
from mtl_perception.evaluation.run import (
    EvaluationConfig,
    METRICS_FILE,
    model_names,
    REPORT_FILE,
    run_evaluation,
)
from mtl_perception.inference.pipeline import PipelineOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    defaults, pipeline = EvaluationConfig, PipelineOptions()
    parser.add_argument('--model', required=True, action='append', metavar='FILE', type=Path,
                        help='model file; give it several times to compare models with the first')
    parser.add_argument('--config', required=True, metavar='YAML', type=Path,
                        help='manifest of the data sets, such as config/aerial.yaml')
    add_data_argument(parser)
    parser.add_argument('--split', default=defaults.split,
                        help='split of the data sets (default: %(default)s)')
    parser.add_argument('--sets', metavar='A,B', help='data sets to score (default: all)')
    parser.add_argument('--limit', type=int, metavar='N',
                        help='most images of each set, evenly spread (default: all)')
    parser.add_argument('--output', metavar='DIR', type=Path,
                        help=f'folder for {REPORT_FILE} and {METRICS_FILE}; made if missing '
                        '(default: neither is written)')
    add_tiles_argument(parser)
    add_black_hot_argument(parser)
    parser.add_argument('--nms-threshold', type=float, default=pipeline.nms_threshold, metavar='T',
                        help='IoU above which the lower-scoring of two boxes of a class is '
                        'suppressed, 0..1 (default: %(default)s)')
    parser.add_argument('--score-threshold', type=float, default=pipeline.score_threshold,
                        metavar='T', help='lowest score of a box in confusion matrices and '
                        'example images, 0..1; AP uses all boxes (default: %(default)s)')
    parser.add_argument('--bootstrap', type=int, default=defaults.bootstrap, metavar='N',
                        help='bootstrap samples for the intervals of scores and differences; 0: '
                        'no intervals (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=defaults.seed,
                        help='seed of the bootstrap (default: %(default)s)')
    parser.add_argument('--images', type=int, default=defaults.images, metavar='N',
                        help='worst and best images of each set that the report shows '
                        '(default: %(default)s)')
    parser.add_argument('--pictures', type=int, dest='images', default=argparse.SUPPRESS,
                        help=argparse.SUPPRESS)
    parser.add_argument('--skip-bad', action='store_true',
                        help='leave broken images and annotations out, with a line for each, '
                        'and count them (default: the first one is an error)')
    parser.add_argument('--json', metavar='FILE', type=Path,
                        help='file for the scores as JSON (default: not written)')
    add_runtime_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Print the scores; MtlError for an invalid model, data set or option."""
    sets = names(args.sets)
    options = PipelineOptions(score_threshold=args.score_threshold,
                              nms_threshold=args.nms_threshold, tiles=args.tiles)
    evaluation = run_evaluation(EvaluationConfig(
        models=tuple(args.model), manifest=args.config, data=args.data, split=args.split,
        sets=tuple(sets) if sets else None, limit=args.limit, output=args.output, json=args.json,
        bootstrap=args.bootstrap, seed=args.seed, images=args.images,
        skip_bad=args.skip_bad, black_hot=args.black_hot,
        pipeline=options, runtime=runtime_options(args)), say)
    several = len(evaluation.reports) > 1
    for report in evaluation.reports:
        print(f'{report.model}\n{report.table()}\n' if several else report.table())
    if several:
        print(comparison_table(evaluation.bootstrap, model_names(args.model)))
    if args.output:
        print(f'\n{args.output / REPORT_FILE}\n{args.output / METRICS_FILE}')
