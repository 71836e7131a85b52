"""`mtl demo`: fly through the nodes, and report how they did."""

from __future__ import annotations

import argparse
from pathlib import Path

from mtl_perception.commands.model_arguments import (
    add_black_hot_argument,
    add_runtime_arguments,
    add_tiles_argument,
    runtime_options,
)
from mtl_perception.demo.config import DEFAULT_RATE, DemoConfig
from mtl_perception.demo.report import report_table
from mtl_perception.demo.run import run_demo
from mtl_perception.errors import DataError
from mtl_perception.image_size import parse_size


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    defaults = DemoConfig
    parser.add_argument('--flight', default=defaults.flight, metavar='FLIGHT',
                        help='synthetic:SEED, a folder of images, a video or a bag '
                             '(default: %(default)s)')
    parser.add_argument('--topic', default=defaults.topic,
                        help='image topic of a bag (default: the likeliest one)')
    parser.add_argument('--frames', type=int, default=defaults.frames, metavar='N',
                        help='most images of the flight (default: %(default)s)')
    parser.add_argument('--rate', type=float, default=defaults.rate, metavar='HZ',
                        help='images per second (default: that of the video or bag, else '
                             f'{DEFAULT_RATE:g})')
    parser.add_argument('--size', default='x'.join(map(str, defaults.size)), metavar='WxH',
                        help='size of the images of a synthetic flight in pixels '
                             '(default: %(default)s)')
    parser.add_argument('--model', type=Path, metavar='FILE',
                        help='model file (default: the shipped model)')
    add_tiles_argument(parser, defaults.tiles)
    add_black_hot_argument(parser)
    parser.add_argument('--output', type=Path, default=defaults.output, metavar='DIR',
                        help='folder for the results; one that an earlier demo made is replaced '
                             '(default: %(default)s)')
    add_runtime_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Fly, and print the report; MtlError for an invalid option, model or flight, or its end."""
    result = run_demo(DemoConfig(
        args.flight, args.topic, args.frames, args.rate, parse_size(args.size, '--size'),
        args.model, args.tiles, args.black_hot, args.output, runtime_options(args)))
    print(report_table(result.report))
    print(f'in {result.output}: ' + ', '.join(path.name for path in result.made))
    if result.problem:
        raise DataError(result.problem)
