"""`mtl predict`: detect objects and label pixels in images or a video."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2

from mtl_perception.commands.arguments import say
from mtl_perception.commands.model_arguments import (
    add_black_hot_argument,
    add_runtime_arguments,
    add_tiles_argument,
    runtime_options,
)
from mtl_perception.errors import DataError
from mtl_perception.inference.pipeline import BOX_FORMATS, PipelineOptions
from mtl_perception.prediction.predict import predict, PredictConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    defaults = PipelineOptions()
    parser.add_argument('--model', metavar='FILE', type=Path,
                        help='model file (default: the shipped model)')
    parser.add_argument('--input', metavar='PATH', type=Path, required=True,
                        help='image, folder of images or video')
    parser.add_argument('--output', metavar='DIR', type=Path, required=True,
                        help='folder for predictions.json, masks/ and overlay/; made if missing, '
                             'files of the same names are replaced')
    parser.add_argument('--score-threshold', metavar='T', type=float,
                        default=defaults.score_threshold,
                        help='lowest score of a detection, 0..1 (default: %(default)s)')
    parser.add_argument('--nms-threshold', metavar='T', type=float,
                        default=defaults.nms_threshold,
                        help='IoU above which the lower-scoring of two boxes of a class is '
                             'suppressed, 0..1 (default: %(default)s)')
    parser.add_argument('--max-detections', metavar='N', type=int,
                        default=defaults.max_detections,
                        help='most detections of an image (default: %(default)s)')
    add_tiles_argument(parser)
    parser.add_argument('--box-format', choices=BOX_FORMATS, default=defaults.box_format,
                        help="upright, or oriented along the object's pixels in the label map "
                             '(vehicles in the shipped model) (default: %(default)s)')
    add_black_hot_argument(parser)
    add_runtime_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Predict, and print a summary; MtlError for an invalid option, and for broken images."""
    # Broken files are reported in one line; OpenCV would add three.
    if hasattr(cv2.utils, 'logging'):
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    else:  # OpenCV 4.7
        cv2.setLogLevel(0)  # type: ignore[attr-defined]
    options = PipelineOptions(args.score_threshold, args.nms_threshold, args.max_detections,
                              args.tiles, args.box_format)
    result = predict(
        PredictConfig(args.input, args.output, args.model, args.black_hot, options,
                      runtime_options(args)), say)
    print(f'{result.images} images, {result.objects} objects, '
          f'{result.seconds / max(result.images, 1) * 1e3:.0f} ms an image '
          f'({result.runtime}): {args.output}')
    if broken := result.broken:
        raise DataError(
            f'{args.input}: {len(broken)} of {len(broken) + result.images} images could not be '
            f'read ({", ".join(broken[:3])}{", ..." if len(broken) > 3 else ""}); the others are '
            f'complete')
