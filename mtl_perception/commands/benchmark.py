"""`mtl benchmark`: measure one multitask network against the two that it replaces."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from mtl_perception.benchmark.frames import SIZE
from mtl_perception.benchmark.rounds import MIN_ROUNDS
from mtl_perception.benchmark.run import BenchmarkConfig, run_benchmark, VALUES
from mtl_perception.benchmark.tables import tables
from mtl_perception.commands.arguments import say
from mtl_perception.image_size import parse_size
from mtl_perception.inference.runtime import DEVICES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    defaults = BenchmarkConfig
    parser.add_argument('model', nargs='?', type=Path,
                        help='multitask model, .onnx or .pt (default: the shipped model); its '
                        'single-task models are made from it')
    for task in ('detection', 'segmentation'):
        parser.add_argument(f'--{task}', type=Path, metavar='FILE',
                            help=f'model for {task} alone to compare with (default: made from the '
                            'multitask model)')
    parser.add_argument('--runtimes', nargs='+', default=[], metavar='NAME[:PRECISION]',
                        help='inference runtimes, such as onnxruntime openvino:bf16 (default: all '
                        'that start)')
    parser.add_argument('--device', choices=DEVICES, default=defaults.device,
                        help='device to run on (default: every device that starts)')
    parser.add_argument('--threads', type=int, default=defaults.threads, metavar='N',
                        help='CPU threads of each process (default: all cores that it may use)')
    parser.add_argument('--images', type=Path, metavar='PATH',
                        help='image, folder of images or video to measure on (default: frames '
                        'of a synthetic flight)')
    parser.add_argument('--size', metavar='WxH',
                        help='size in pixels that frames are scaled to (default: that of the '
                        f'first image; {SIZE[0]}x{SIZE[1]} for a synthetic flight)')
    parser.add_argument('--rounds', type=int, default=defaults.rounds, metavar='N',
                        help='rounds, in each of which every subject has its turn '
                        '(default: %(default)s)')
    parser.add_argument('--frames', type=int, default=defaults.frames, metavar='N',
                        help='timed frames of a turn (default: %(default)s)')
    parser.add_argument('--seconds', type=float, default=defaults.seconds, metavar='S',
                        help='time in seconds for all rounds; when it has passed, only the first '
                        f'{MIN_ROUNDS} are completed (default: %(default)g)')
    parser.add_argument('--cache', metavar='DIR', type=Path,
                        help='folder for compiled models, such as TensorRT engines (default: they '
                        'are not kept)')
    parser.add_argument('--peers', action='store_true',
                        help='compare with pairs of public networks of torchvision; needs torch '
                        '(default: no)')
    parser.add_argument('--memory-limit', action='store_true',
                        help='find the smallest memory limit that they run in; takes minutes '
                        '(default: no)')
    parser.add_argument('--sweep', action='store_true',
                        help='measure over input size, batch, threads and classes; takes minutes '
                        '(default: no)')
    parser.add_argument('--output', type=Path, metavar='DIR',
                        help=f'folder for a page, a figure and {VALUES}; made if missing '
                        '(default: none is written)')
    parser.add_argument('--json', type=Path, metavar='FILE',
                        help='file for all values as JSON (default: not written)')


def run(args: argparse.Namespace) -> None:
    """Measure, and print the tables; MtlError for an invalid model, image or option."""
    config = BenchmarkConfig(
        args.model, args.detection, args.segmentation, tuple(args.runtimes), args.device,
        args.threads, args.images, parse_size(args.size, '--size') if args.size else None,
        args.rounds, args.frames, args.seconds, args.cache, args.peers, args.memory_limit,
        args.sweep, args.output, args.json)
    if written := run_benchmark(config, _print_tables, say):
        print('', *written, sep='\n')


def _print_tables(values: dict[str, Any]) -> None:
    print(tables(values), flush=True)
