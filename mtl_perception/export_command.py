"""`mtl export`: write a checkpoint as the deployable graph in ONNX."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from mtl_perception.data.synthetic import SyntheticFlight
from mtl_perception.errors import ConfigError
from mtl_perception.images.listing import list_images, spread
from mtl_perception.images.reading import read_image
from mtl_perception.inference.trt.parsing import tensorrt_verdict
from mtl_perception.models.checkpoint import load_checkpoint
from mtl_perception.models.export import export_onnx, TOLERANCES
from mtl_perception.spec import LABEL_STRIDES

FLIGHT_SIZE, FLIGHT_FRAMES = (640, 480), 300
"""Width and height in pixels and number of frames of the flight that stands in for pictures."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument('checkpoint', type=Path, help='checkpoint (.pt) that `mtl train` wrote')
    parser.add_argument('-o', '--output', type=Path,
                        help='ONNX file to write (default: beside the checkpoint)')
    parser.add_argument('--precision', choices=tuple(TOLERANCES), default='fp32',
                        help='number format of the weights and of the network; what decodes boxes '
                        'stays FP32 (default: %(default)s)')
    parser.add_argument('--images', type=Path,
                        help='picture or folder of pictures on which ONNX is held against torch; '
                        'take some of your own (default: frames of a synthetic flight)')
    parser.add_argument('--limit', type=int, default=16,
                        help='most pictures to compare on (%(default)s)')
    parser.add_argument('--label-stride', type=int, choices=LABEL_STRIDES,
                        help="network pixels per pixel of the label map (default: the spec's)")


def run(args: argparse.Namespace) -> None:
    """Export as `args` say; raises MtlError for what the user can mend."""
    spec, network = load_checkpoint(args.checkpoint)
    if args.label_stride:
        spec = replace(spec, label_stride=args.label_stride)
    output = args.output or args.checkpoint.with_suffix('.onnx')
    if args.limit < 1:
        raise ConfigError(f'--limit {args.limit} leaves no picture to compare on')
    pictures = (read_pictures(args.images, spec.input_size, args.limit) if args.images
                else drawn_pictures(spec.input_size, args.limit))
    print(f'exporting, and comparing with torch on {len(pictures)} '
          f'{"pictures" if args.images else "drawn frames"} ...', flush=True)
    found = export_onnx(network, spec, output, pictures, args.precision)
    parts = []
    if spec.detection:
        parts.append(f'{found.candidates} candidates within {found.box:.4f} px and '
                     f'{found.score:.1e} of score')
    if spec.segmentation:
        parts.append(f'{found.equal_labels:.3%} of labels equal')
    print(f'{output}: {output.stat().st_size / 1e6:.1f} MB; {", ".join(parts)}')
    print(tensorrt_verdict(output))


def read_pictures(path: Path, size: tuple[int, int], limit: int) -> list[np.ndarray]:
    """
    Return up to `limit` pictures of a folder (or the one) as uint8 [H, W, 3] RGB of `size`.

    They are evenly spread over the folder and simply resized: any picture will do to compare.
    """
    files = [path] if path.is_file() else list_images(path)
    return [cv2.resize(read_image(files[index]), size, interpolation=cv2.INTER_AREA)
            for index in spread(len(files), limit)]


def drawn_pictures(size: tuple[int, int], limit: int) -> list[np.ndarray]:
    """Return `limit` frames of a synthetic flight as uint8 [H, W, 3] RGB of `size`."""
    flight = SyntheticFlight(0, *FLIGHT_SIZE, FLIGHT_FRAMES, 1.0)
    return [cv2.resize(flight[index * FLIGHT_FRAMES // limit].image, size)
            for index in range(limit)]
