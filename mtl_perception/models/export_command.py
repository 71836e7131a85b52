"""`mtl export`: write a checkpoint as the deployable graph in ONNX."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from mtl_perception.errors import DataError
from mtl_perception.models.checkpoint import load_checkpoint
from mtl_perception.models.export import export_onnx

SUFFIXES = ('.jpg', '.jpeg', '.png')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument('checkpoint', type=Path, help='checkpoint (.pt) that `mtl train` wrote')
    parser.add_argument('-o', '--output', type=Path,
                        help='ONNX file to write (default: beside the checkpoint)')
    parser.add_argument('--images', type=Path, required=True,
                        help='picture or folder of pictures on which ONNX is held against torch')
    parser.add_argument('--limit', type=int, default=16,
                        help='most pictures to compare on (%(default)s)')
    parser.add_argument('--label-stride', type=int, choices=(1, 4),
                        help="network pixels per pixel of the label map (default: the spec's)")


def run(args: argparse.Namespace) -> None:
    """Export as `args` say; raises MtlError for what the user can mend."""
    spec, network = load_checkpoint(args.checkpoint)
    if args.label_stride:
        spec = replace(spec, label_stride=args.label_stride)
    output = args.output or args.checkpoint.with_suffix('.onnx')
    pictures = read_pictures(args.images, spec.input_size, args.limit)
    print(f'exporting, and comparing with torch on {len(pictures)} pictures ...', flush=True)
    found = export_onnx(network, spec, output, pictures)
    parts = []
    if spec.detection:
        parts.append(f'{found.candidates} candidates within {found.box:.4f} px and '
                     f'{found.score:.1e} of score')
    if spec.segmentation:
        parts.append(f'{found.equal_labels:.3%} of labels equal')
    print(f'{output}: {output.stat().st_size / 1e6:.1f} MB; {", ".join(parts)}')


def read_pictures(path: Path, size: tuple[int, int], limit: int) -> list[np.ndarray]:
    """
    Return up to `limit` pictures of a folder (or the one) as uint8 [H, W, 3] RGB of `size`.

    They are evenly spread over the folder and simply resized: any picture will do to compare.
    """
    files = [path] if path.is_file() else sorted(
        file for file in path.glob('*') if file.suffix.lower() in SUFFIXES)
    if not files:
        raise DataError(f'{path}: no picture ({", ".join(SUFFIXES)}) to compare on')
    pictures = []
    for file in files[::max(1, len(files) // limit)][:limit]:
        picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if picture is None:
            raise DataError(f'{file}: cannot be decoded as a picture')
        pictures.append(cv2.cvtColor(
            cv2.resize(picture, size, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB))
    return pictures
