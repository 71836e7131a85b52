"""`mtl benchmark`: one multitask network against the two that it takes the place of."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import datetime
import hashlib
from pathlib import Path
import tempfile
from typing import Any

from mtl_perception import __version__
from mtl_perception.benchmark import machine
from mtl_perception.benchmark.costs import file_cost
from mtl_perception.benchmark.frames import FrameFile, SIZE, write_frames
from mtl_perception.benchmark.measure import measure, Plan, TORCH
from mtl_perception.benchmark.model_files import gather, ModelFiles
from mtl_perception.benchmark.peer_subjects import peer_subjects
from mtl_perception.benchmark.report import write_report
from mtl_perception.benchmark.requested import (
    measure_parts,
    measure_requested,
    MEMORY_LIMIT,
    prepare_report,
    SWEEP,
)
from mtl_perception.benchmark.results import FORMAT, RATIOS, Results
from mtl_perception.benchmark.rounds import Effort, MIN_ROUNDS
from mtl_perception.benchmark.subjects import Network, Subject
from mtl_perception.benchmark.tables import tables
from mtl_perception.benchmark.targets import find_targets, Found
from mtl_perception.errors import ConfigError, DataError, StartError
from mtl_perception.image_size import parse_size
from mtl_perception.inference.registry import read_spec
from mtl_perception.inference.runtime import DEVICES, RuntimeOptions, usable_cores
from mtl_perception.inference.runtime_arguments import say
from mtl_perception.resources import model_path
from mtl_perception.spec import ModelSpec

VALUES = 'benchmark.json'

MAX_ROUNDS, MAX_FRAMES, MAX_SECONDS = 10_000, 1_000, 86_400.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument('model', nargs='?', type=Path,
                        help='multitask model, .onnx or .pt (default: the shipped one); its '
                        'single-task models are made from it')
    for task in ('detection', 'segmentation'):
        parser.add_argument(f'--{task}', type=Path, metavar='FILE',
                            help=f'model for {task} alone to compare with instead')
    parser.add_argument('--runtimes', nargs='+', default=[], metavar='NAME[:PRECISION]',
                        help='what runs them, such as onnxruntime openvino:bf16 (default: all '
                        'that start)')
    parser.add_argument('--device', choices=DEVICES, default='auto',
                        help='where they run (default: wherever they start)')
    parser.add_argument('--threads', type=int, default=0, metavar='N',
                        help='CPU threads of each process (default: as many as it may use)')
    parser.add_argument('--images', type=Path, metavar='PATH',
                        help='image, folder of images or video to measure on (default: frames '
                        'of a synthetic flight)')
    parser.add_argument('--size', metavar='WxH',
                        help=f'scale frames (default: of the first image; {SIZE[0]}x{SIZE[1]} '
                        'of a synthetic flight)')
    parser.add_argument('--rounds', type=int, default=15, metavar='N',
                        help='rounds, in each of which every subject has its turn '
                        '(default: %(default)s)')
    parser.add_argument('--frames', type=int, default=2, metavar='N',
                        help='counted frames of a turn (default: %(default)s)')
    parser.add_argument('--seconds', type=float, default=120.0, metavar='S',
                        help=f'time for all rounds; after it, only the first {MIN_ROUNDS} are '
                        'made (default: %(default)g)')
    parser.add_argument('--cache', metavar='DIR', type=Path,
                        help='folder for what is compiled for this machine, such as engines of '
                        'TensorRT (default: none is kept)')
    parser.add_argument('--peers', action='store_true',
                        help='compare with pairs of public networks of torchvision; needs torch')
    parser.add_argument('--memory-limit', action='store_true',
                        help='look for the smallest limit of memory under which they run '
                        '(minutes)')
    parser.add_argument('--sweep', action='store_true',
                        help='measure over input size, batch, threads and classes (minutes)')
    parser.add_argument('--output', type=Path, metavar='DIR',
                        help=f'folder for a page, a picture and {VALUES}; made if missing')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write all values as JSON')


def run(args: argparse.Namespace) -> None:
    """Print the tables; MtlError says what is wrong with a model, the data or an option."""
    effort = _effort(args)
    size = parse_size(args.size, '--size') if args.size else None
    RuntimeOptions(threads=args.threads)
    if args.json and not args.json.parent.is_dir():
        raise DataError(f'{args.json.parent}: no such folder to write {args.json.name} in')
    if args.output:
        prepare_report(args.output)
    model = args.model or model_path()
    spec = read_spec(model)
    with tempfile.TemporaryDirectory(prefix='mtl_benchmark_') as name:
        folder = Path(name)
        given = {task: path for task in ('detection', 'segmentation')
                 if (path := getattr(args, task))}
        files = gather(model, given, folder, say)
        say('drawing frames' if args.images is None else f'reading {args.images}')
        frames = write_frames(args.images, size, 8, folder / 'frames.npy')
        network = Network(threads=args.threads or usable_cores(),
                          cache=str(args.cache or folder / 'cache'))
        found = find_targets({suffix: item.multitask for suffix, item in files.items()},
                             args.runtimes, args.device, network, frames.path, say)
        results = _begin(model, files, frames, found, effort)
        plan = Plan(files, found.targets, frames, network, effort,
                    _peers(args, spec, network, folder, found, results))
        what = [name for name in (MEMORY_LIMIT, SWEEP) if getattr(args, name)]
        _finish(plan, what, results, folder, args)


def _peers(args: argparse.Namespace, spec: ModelSpec, network: Network, folder: Path,
           found: Found, results: Results) -> tuple[Subject, ...]:
    if not args.peers:
        return ()
    in_torch = any(target.runtime == TORCH for target in found.targets)
    try:
        subjects, costs = peer_subjects(spec, network, folder, in_torch, say)
    except StartError as error:
        results.values['left_out'].append(f'peers: {error}')
        return ()
    results.costs.update(costs)
    return tuple(subjects)


def _finish(plan: Plan, what: Sequence[str], results: Results, folder: Path,
            args: argparse.Namespace) -> None:
    """Measure, and print and write what there is, also on Ctrl-C."""
    others: dict[str, float | None] = {}
    values = results.values
    written = [args.json] if args.json else []
    try:
        measure(plan, results, others, say)
        measure_parts(plan, results, say)
        measure_requested(plan, what, results, folder, say)
    except KeyboardInterrupt:
        values['interrupted'] = True
        raise
    finally:
        values['machine'] |= {'load_after': machine.load(), 'others': others}
        values['warnings'] += machine.warnings(values['machine'], others)
        print(tables(values), flush=True)
        if args.json:
            results.write(args.json)
        if args.output and values['subjects']:
            results.write(args.output / VALUES)
            written += [*write_report(values, args.output), args.output / VALUES]
    if written:
        print('', *written, sep='\n')


def _begin(model: Path, files: dict[str, ModelFiles], frames: FrameFile, found: Found,
           effort: Effort) -> Results:
    spec = read_spec(model)
    costs = {str(path): file_cost(path) for suffix in {
        '.pt' if target.runtime == 'torch' else '.onnx' for target in found.targets}
        for path in vars(files[suffix]).values()}
    values: dict[str, Any] = {
        'format': FORMAT,
        'date': datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'),
        'mtl_perception': __version__, 'interrupted': False, 'warnings': [],
        'left_out': list(found.left_out),
        'model': {
            'file': model.name, 'sha256': hashlib.sha256(model.read_bytes()).hexdigest(),
            'architecture': spec.architecture, 'backbone': spec.backbone,
            'input_size': list(spec.input_size),
            **{task: list(getattr(spec, task).names) for task in spec.tasks}},
        'machine': {**machine.describe(), 'load_before': machine.load()},
        'frames': frames.to_dict(), 'rounds': effort.rounds,
        'frames_per_round': effort.frames, 'subjects': [], 'fastest': None,
        'ratios': dict.fromkeys(RATIOS), 'ratios_by_runtime': {}, 'bare_loop': {},
        'across_runtimes': {}, 'parts': None, 'memory_limit': None, 'sweep': None}
    return Results(values, costs)


def _effort(args: argparse.Namespace) -> Effort:
    for name, least, most in (('rounds', 1, MAX_ROUNDS), ('frames', 1, MAX_FRAMES),
                              ('seconds', 0, MAX_SECONDS)):
        if not least <= getattr(args, name) <= most:
            raise ConfigError(f'--{name} {getattr(args, name)} is not in {least}..{most:g}')
    return Effort(args.rounds, args.frames, args.seconds)
