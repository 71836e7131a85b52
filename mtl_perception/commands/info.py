"""`mtl info`: print what a model file contains, and what its parts cost."""

from __future__ import annotations

import argparse
from pathlib import Path

from mtl_perception.extras import missing_package
from mtl_perception.inference.registry import read_spec
from mtl_perception.resources import model_path
from mtl_perception.spec import ModelSpec


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        'model', type=Path, nargs='?',
        help='model file, .onnx or .pt (default: the shipped model); the costs of its parts are '
        'printed if torch is installed')


def run(args: argparse.Namespace) -> None:
    """Print the description and the costs; MtlError where the model cannot be read."""
    spec = read_spec(args.model or model_path())
    print(describe(spec), flush=True)
    try:
        from mtl_perception.models.cost import part_costs
        from mtl_perception.models.network import build_model
    except ModuleNotFoundError as error:
        missing = missing_package(error)
        if missing is None:
            raise
        print(f'{"costs":<13} not known: {missing}')
        return
    print(f'{"part":<14}{"parameters":>12}{"GMAC":>9}')
    costs = part_costs(build_model(spec), spec.input_size)
    for cost in costs:
        print(f'{cost.part:<14}{cost.parameters:>12,}{cost.macs / 1e9:>9.2f}')
    print(f'{"together":<14}{sum(c.parameters for c in costs):>12,}'
          f'{sum(c.macs for c in costs) / 1e9:>9.2f}')


def describe(spec: ModelSpec) -> str:
    """Return a few lines about the model: network, sizes, classes and provenance."""
    width, height = spec.input_size
    lines = [f'network       {spec.architecture}, {spec.backbone}',
             f'input         {width}x{height}, label map at stride {spec.label_stride}']
    for task in spec.tasks:
        lines.append(f'{task:<14}{", ".join(getattr(spec, task).names)}')
    if spec.pixel_classes and len(spec.tasks) > 1:
        lines.append('oriented      ' + ', '.join(
            f'{name} ({pixels})' for name, pixels in spec.pixel_classes.items()))
    lines += [f'{key:<13} {value}' for key, value in spec.provenance.items()]
    return '\n'.join(lines)
