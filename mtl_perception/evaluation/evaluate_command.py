"""`mtl evaluate`: score a model on the data sets of a manifest."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from mtl_perception.data.manifest import load_manifest
from mtl_perception.errors import DataError
from mtl_perception.evaluation.evaluate import evaluate
from mtl_perception.inference.pipeline import Pipeline, PipelineOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    defaults = PipelineOptions()
    parser.add_argument('--model', required=True, metavar='FILE', help='model file')
    parser.add_argument('--config', required=True, metavar='YAML',
                        help='manifest of the data sets, such as config/aerial.yaml')
    parser.add_argument('--data', metavar='DIR',
                        help='folder of the data sets (default: $MTL_DATA, else as in the YAML)')
    parser.add_argument('--split', default='val', help='which pictures (default: %(default)s)')
    parser.add_argument('--sets', metavar='A,B', help='only these data sets (default: all)')
    parser.add_argument('--limit', type=int, metavar='N',
                        help='at most N pictures of each set, evenly spread')
    parser.add_argument('--tiles', default=defaults.tiles,
                        help='cut pictures: off, auto or ROWSxCOLUMNS (default: %(default)s)')
    parser.add_argument('--nms-threshold', type=float, default=defaults.nms_threshold, metavar='T',
                        help='IoU above which the weaker box is dropped (default: %(default)s)')
    parser.add_argument('--runtime', default='auto', help='runtime (default: %(default)s)')
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda (default: %(default)s)')
    parser.add_argument('--threads', type=int, default=0, help='CPU threads; 0: as many as fit')
    parser.add_argument('--json', metavar='FILE', help='write the scores as JSON too')


def run(args: argparse.Namespace) -> None:
    """Print the scores; MtlError says what is wrong with the model, the data or an option."""
    manifest = load_manifest(args.config, args.data)
    output = Path(args.json) if args.json else None
    if output and not output.parent.is_dir():
        raise DataError(f'{output.parent}: no such folder to write {output.name} in')
    pipeline = Pipeline(
        args.model, runtime=args.runtime, device=args.device, threads=args.threads,
        options=PipelineOptions(nms_threshold=args.nms_threshold, tiles=args.tiles))
    sets = [name.strip() for name in args.sets.split(',')] if args.sets else None
    report = evaluate(pipeline, manifest, args.split, sets, args.limit)
    print(report.table())
    if output:
        values = {'model': Path(args.model).name, **report.to_dict()}
        try:
            output.write_text(json.dumps(values, indent=2) + '\n', 'utf-8')
        except OSError as error:
            raise DataError(f'{output}: cannot be written: {error.strerror}') from None
