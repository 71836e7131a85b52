"""`mtl quantize`: write an exported model with its convolutions in INT8."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
import sys

from mtl_perception.commands.arguments import add_data_argument
from mtl_perception.commands.model_arguments import (
    add_runtime_arguments,
    add_tiles_argument,
    runtime_options,
)
from mtl_perception.quantization.quantize import quantize_model, QuantizeConfig
from mtl_perception.quantization.sensitivity import LayerNoise


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    defaults = QuantizeConfig
    parser.add_argument('model', type=Path, help='ONNX file in FP32 of `mtl export`')
    parser.add_argument('-o', '--output', type=Path, metavar='FILE',
                        help='ONNX file to write (default: MODEL_int8.onnx beside the model)')
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument('--images', type=Path, metavar='PATH',
                        help='image, folder of images or video to calibrate on')
    source.add_argument('--config', metavar='YAML', type=Path,
                        help='manifest of the data sets whose training images are used for '
                        'calibration')
    add_data_argument(parser)
    parser.add_argument('--count', type=int, default=defaults.count, metavar='N',
                        help='images to calibrate on, evenly spread (default: %(default)s)')
    add_tiles_argument(parser, defaults.tiles)
    parser.add_argument('--auto', action='store_true',
                        help='measure the loss of each layer in INT8 and keep the most sensitive '
                        'layers in FP32; takes minutes (default: all in INT8)')
    parser.add_argument('--float-weights', type=float, default=defaults.float_weights,
                        metavar='SHARE',
                        help='share of the weights, 0..1, that --auto may keep in FP32 '
                        '(default: %(default)s)')
    parser.add_argument('--verify', metavar='YAML', type=Path,
                        help='manifest on whose val split the result and the FP32 model are '
                        'scored, with --data and --tiles; the loss of each set is printed '
                        '(default: not scored)')
    add_runtime_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Quantise, and print size, noise and scores; MtlError for an invalid option or file."""
    result = quantize_model(
        QuantizeConfig(args.model, args.output, args.images, args.config, args.data, args.count,
                       args.tiles, args.auto, args.float_weights, args.verify,
                       runtime_options(args)), _Printed())
    print(f'{result.path}: {result.megabytes:.2f} MB, {result.megabytes_before:.2f} before; '
          f'noise {result.noise:.1e} of the power of its outputs')
    print(result.verdict)
    if result.scores:
        print(result.scores)


class _Printed:
    """Progress on the terminal."""

    def stage(self, text: str) -> None:
        print(text, flush=True)

    def step(self, name: str, done: int, total: int) -> None:
        if sys.stderr.isatty():
            end = '\n' if done == total else ''
            print(f'\r{name} {done} of {total}', end=end, file=sys.stderr, flush=True)

    def layers(self, floating: Sequence[LayerNoise], rest: Sequence[LayerNoise]) -> None:
        print(f'{"stays FP32":<60}{"weights":>9}{"noise":>10}{"of all":>8}')
        for layer in floating:
            print(f'{layer.name:<60}{layer.weights:>9,}{layer.noise:>10.1e}{layer.share:>8.1%}')
        print(f'{f"{len(rest)} in INT8":<60}{sum(layer.weights for layer in rest):>9,}'
              f'{sum(layer.noise for layer in rest):>10.1e}'
              f'{sum(layer.share for layer in rest):>8.1%}')
