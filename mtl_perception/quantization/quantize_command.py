"""`mtl quantize`: write an exported model with its convolutions in INT8."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
import os
from pathlib import Path
import sys

import onnx

from mtl_perception import __version__
from mtl_perception.data.manifest import load_manifest
from mtl_perception.errors import ConfigError, DataError, ModelError
from mtl_perception.images.listing import spread
from mtl_perception.inference.model_file import check_model_file
from mtl_perception.inference.onnx_file import read_onnx_header
from mtl_perception.inference.runtime import one_line
from mtl_perception.inference.runtime_arguments import add_runtime_arguments, runtime_options
from mtl_perception.inference.tiles import parse_tiles
from mtl_perception.inference.trt.parsing import tensorrt_verdict
from mtl_perception.quantization.calibration import (
    images_of_folder,
    images_of_manifest,
    MAX_COUNT,
)
from mtl_perception.quantization.graph import layers_of
from mtl_perception.quantization.qdq import quantize
from mtl_perception.quantization.ranges import measure_ranges
from mtl_perception.quantization.sensitivity import choose_floating, measure_layers, Reference
from mtl_perception.quantization.verification import verify
from mtl_perception.spec import METADATA_KEY, ModelSpec

MEASURED = 7
"""Images on which single layers are measured: one run of the network for each layer and image."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument('model', type=Path, help='ONNX file in FP32 that `mtl export` wrote')
    parser.add_argument('-o', '--output', type=Path,
                        help='ONNX file to write (default: MODEL_int8.onnx beside it)')
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument('--images', type=Path, metavar='PATH',
                        help='calibrate on an image, a folder of images or a video')
    source.add_argument('--config', metavar='YAML',
                        help='calibrate on the training images of the data sets of a manifest')
    parser.add_argument('--data', metavar='DIR',
                        help='folder of the data sets (default: $MTL_DATA, else as in the YAML)')
    parser.add_argument('--count', type=int, default=84, metavar='N',
                        help='images to calibrate on, evenly spread (default: %(default)s)')
    parser.add_argument('--tiles', default='auto',
                        help='cut images as the pipeline will: off, auto or ROWSxCOLUMNS '
                        '(default: %(default)s)')
    parser.add_argument('--auto', action='store_true',
                        help='measure what each layer loses in INT8, and keep the most sensitive '
                        'ones in FP32; takes minutes')
    parser.add_argument('--float-weights', type=float, default=0.02, metavar='SHARE',
                        help='share of the weights that --auto may keep in FP32 '
                        '(default: %(default)s)')
    parser.add_argument('--verify', metavar='YAML',
                        help='score the result and the model in FP32 on the val split of a '
                        'manifest, with --data and --tiles, and print the loss of each set')
    add_runtime_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Quantise as `args` say; raises MtlError for what the user can mend."""
    path: Path = args.model.expanduser()
    check_model_file(path)
    header = read_onnx_header(path)
    if header.precision != 'fp32':
        raise ModelError(f'{path}: its weights are in {header.precision}; give a file in FP32, '
                         'from `mtl export`')
    output: Path = args.output or path.with_name(f'{path.stem}_int8.onnx')
    if output.suffix != '.onnx':
        raise ConfigError(f'{output}: what is written is an .onnx file; name it so')
    if output.exists() and output.samefile(path):
        raise ConfigError(f'{output}: is the model itself; choose another file with -o')
    if not 1 <= args.count <= MAX_COUNT:
        raise ConfigError(f'--count {args.count} is not in 1..{MAX_COUNT}')
    if not 0 <= args.float_weights <= 1:
        raise ConfigError(f'--float-weights {args.float_weights} is not a share in 0..1')
    parse_tiles(args.tiles)
    options = runtime_options(args)
    # Before minutes are spent on what comes before it.
    verified = load_manifest(args.verify, args.data) if args.verify else None
    if args.images:
        images = images_of_folder(args.images, header.spec, args.tiles, args.count)
        source = 'images of the user'
    else:
        images = images_of_manifest(load_manifest(args.config, args.data), header.spec, args.tiles,
                                    args.count)
        source = f'training images of {Path(args.config).name}'
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf has its own errors
        raise ModelError(f'{path}: cannot be read ({one_line(error)}); export it again'
                         ) from None
    layers = layers_of(model.graph)
    if not layers:
        raise ModelError(f'{path}: has no convolution to quantise')
    print(f'calibrating {len(layers)} convolutions on {len(images)} images ...', flush=True)
    ranges = measure_ranges(model, images, _counter('image', len(images)))
    reference = Reference(model, images[list(spread(len(images), MEASURED))])
    floating: set[str] = set()
    if args.auto:
        print('measuring each of them in INT8 ...', flush=True)
        measured = measure_layers(model, ranges, reference, _counter('layer', len(layers)))
        chosen = choose_floating(measured, args.float_weights)
        floating = {layer.node for layer in chosen}
        print(f'{"stays FP32":<60}{"weights":>9}{"noise":>10}{"of all":>8}')
        for layer in chosen:
            print(f'{layer.name:<60}{layer.weights:>9,}{layer.noise:>10.1e}{layer.share:>8.1%}')
        rest = [layer for layer in measured if layer.node not in floating]
        print(f'{f"{len(rest)} in INT8":<60}{sum(layer.weights for layer in rest):>9,}'
              f'{sum(layer.noise for layer in rest):>10.1e}'
              f'{sum(layer.share for layer in rest):>8.1%}')
    result = quantize(model, ranges, floating)
    spec = replace(header.spec, provenance={
        **header.spec.provenance,
        'quantisation': f'INT8 by mtl_perception {__version__} on {len(images)} {source}; '
                        f'{len(floating)} of {len(layers)} convolutions in FP32'})
    _write(result, spec, output)
    print(f'{output}: {output.stat().st_size / 1e6:.2f} MB, {path.stat().st_size / 1e6:.2f} '
          f'before; noise {reference.output_noise(result):.1e} of the power of its outputs')
    print(tensorrt_verdict(output))
    if verified:
        print(verify(path, output, verified, args.tiles, options))


def _write(model: onnx.ModelProto, spec: ModelSpec, path: Path) -> None:
    """Write `model` to `path` as a whole or not at all; DataError where it cannot be written."""
    onnx.helper.set_model_props(model, {METADATA_KEY: spec.to_json()})
    onnx.checker.check_model(model, full_check=True)
    temporary = path.with_name(f'.{path.stem}.{os.getpid()}.onnx')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(model, temporary)
        read_onnx_header(temporary)
        temporary.replace(path)
    except OSError as error:
        raise DataError(f'{path}: cannot be written: {error.strerror}') from None
    finally:
        temporary.unlink(missing_ok=True)


def _counter(what: str, count: int) -> Callable[[int], object]:
    """Return what shows on a terminal how many of `count` are done."""
    def show(done: int) -> None:
        if sys.stderr.isatty():
            end = '\n' if done == count else ''
            print(f'\r{what} {done} of {count}', end=end, file=sys.stderr, flush=True)
    return show
