"""`mtl export`: write a checkpoint as the deployable graph in ONNX."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from mtl_perception.deployment.export import export_checkpoint, ExportConfig
from mtl_perception.models.export import TOLERANCES
from mtl_perception.spec import LABEL_STRIDES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    defaults = ExportConfig
    parser.add_argument('checkpoint', type=Path, help='checkpoint (.pt) of `mtl train`')
    parser.add_argument('-o', '--output', type=Path, metavar='FILE',
                        help='ONNX file to write (default: beside the checkpoint)')
    parser.add_argument('--precision', choices=tuple(TOLERANCES), default=defaults.precision,
                        help='number format of the weights and of the network; box decoding stays '
                        'in FP32 (default: %(default)s)')
    parser.add_argument('--images', type=Path, metavar='PATH',
                        help='image or folder of images on which ONNX is compared with torch; use '
                        'some of your own (default: frames of a synthetic flight)')
    parser.add_argument('--limit', type=int, default=defaults.limit, metavar='N',
                        help='most images to compare on (default: %(default)s)')
    parser.add_argument('--label-stride', type=int, choices=LABEL_STRIDES,
                        help='network pixels per pixel of the label map (default: that of the '
                        'checkpoint)')


def run(args: argparse.Namespace) -> None:
    """Export, and print how close ONNX is to torch; MtlError for an invalid option or file."""
    result = export_checkpoint(
        ExportConfig(args.checkpoint, args.output, args.precision, args.images, args.limit,
                     args.label_stride), partial(print, flush=True))
    found, parts = result.difference, []
    if result.spec.detection:
        parts.append(f'{found.candidates} candidates within {found.box:.4f} px and '
                     f'{found.score:.1e} of score')
    if result.spec.segmentation:
        parts.append(f'{found.equal_labels:.3%} of labels equal')
    print(f'{result.path}: {result.path.stat().st_size / 1e6:.1f} MB; {", ".join(parts)}')
    print(result.verdict)
