"""
`mtl demo`: a flight through the real nodes, and what came of it.

Camera, perception and recorder run as processes of their own and talk over ROS 2. What the report
and the pictures show is read back from the bag that they leave behind.
"""

from __future__ import annotations

import argparse
from collections import deque
from collections.abc import Iterator
import contextlib
from dataclasses import dataclass
import json
import math
from pathlib import Path
import re
import shutil
import signal
import sys
import time
from types import FrameType

import cv2
import numpy as np

from mtl_perception.commands.arguments import add_runtime_arguments, runtime_options
from mtl_perception.data.synthetic import BOX_NAMES, MASK_NAMES, SyntheticFlight
from mtl_perception.data.synthetic.flight import MAX_SIDE, MIN_SIDE
from mtl_perception.errors import ConfigError, DataError, MtlError
from mtl_perception.evaluation.bag_tail import BagTail
from mtl_perception.evaluation.bags import (
    count_messages,
    image_topic,
    is_bag,
    last_diagnostics,
    read_frames,
    read_images,
    ResultTopics,
)
from mtl_perception.evaluation.flight_pictures import FlightPictures
from mtl_perception.evaluation.flight_report import (
    FlightReport,
    FrameTruth,
    report_table,
    TruthScorer,
)
from mtl_perception.image_size import parse_size
from mtl_perception.images.inputs import open_images
from mtl_perception.inference.pipeline import PipelineOptions
from mtl_perception.inference.registry import open_runtime
from mtl_perception.node_processes import NodeProcesses
from mtl_perception.resources import model_path
from mtl_perception.spec import ModelSpec

DEFAULT_FLIGHT = 'synthetic:8'
DEFAULT_RATE = 5.0
"""Images per second: two cores look at every one with the shipped model, beside the recorder."""

MAX_FRAMES = 100_000

_MARKER = '.made_by_mtl_demo'
"""A folder with this file in it was made here and may be replaced."""

_CAMERA, _PERCEPTION, _RECORDER = 'camera_node', 'perception_node', 'recorder_node'
_TOPICS = ResultTopics()

_LOOK_EVERY = 0.25
_START_WITHIN = 60.0
"""Seconds until the first image must have come: a cold start loads a model from a slow disk."""

_SETTLE = 1.6
"""Seconds that results and the diagnostics (1 Hz) get to come in after the last image."""


@dataclass(frozen=True)
class Flight:
    """What is flown."""

    name: str
    source: str
    """Parameter `source` of the camera node."""
    rate: float
    """Images per second; 0: the source's own."""
    frames: int
    """At most so many."""
    synthetic: tuple[int, int, int] | None = None
    """Seed, width and height of a flight that is drawn."""

    def drawn(self) -> SyntheticFlight | None:
        """Return the flight with its truth; None where no one knows that."""
        if self.synthetic is None:
            return None
        seed, width, height = self.synthetic
        return SyntheticFlight(seed, width, height, self.frames, self.rate)


@dataclass(frozen=True)
class Sent:
    """What the camera says that it published."""

    images: int
    rate: float
    """Images per second, as it came to be."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `mtl demo`."""
    parser.add_argument('--flight', default=DEFAULT_FLIGHT, metavar='FLIGHT',
                        help='synthetic:SEED, a folder of images, a video, or a bag '
                             f'(default: {DEFAULT_FLIGHT})')
    parser.add_argument('--topic', default='', help='image topic of a bag (default: found)')
    parser.add_argument('--frames', type=int, default=250,
                        help='end the flight after so many (default: %(default)s)')
    parser.add_argument('--rate', type=float, default=0.0, metavar='HZ',
                        help="images per second (default: the video's or bag's own, else "
                             f'{DEFAULT_RATE:g})')
    parser.add_argument('--size', default='640x480', metavar='WIDTHxHEIGHT',
                        help='of a synthetic flight (default: %(default)s)')
    parser.add_argument('--model', type=Path, help='model file (default: the one in the box)')
    parser.add_argument('--tiles', default='auto', metavar='off|auto|ROWSxCOLUMNS',
                        help='cut large pictures into tiles (default: %(default)s)')
    parser.add_argument('--output', type=Path, default=Path('out/demo'),
                        help='folder for the results; one made by an earlier demo is replaced '
                             '(default: %(default)s)')
    add_runtime_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Fly, then report; MtlError says in one line what went wrong."""
    if not 1 <= args.frames <= MAX_FRAMES:
        raise ConfigError(f'--frames {args.frames} is not in 1..{MAX_FRAMES}')
    if not (math.isfinite(args.rate) and 0 <= args.rate <= 1000):
        raise ConfigError(f'--rate {args.rate} is not in 0..1000 Hz')
    options = PipelineOptions(tiles=args.tiles)
    model = args.model.expanduser().resolve() if args.model else model_path()
    # Opened here only to learn what it is: one that cannot run is told before anything starts.
    spec = open_runtime(model, runtime_options(args)).spec
    output: Path = args.output.expanduser().resolve()
    with contextlib.ExitStack() as undo:
        undo.enter_context(_ended_like_ctrl_c())
        flight = _flight(args, output, undo)
        with NodeProcesses(output / 'logs') as nodes:
            sent = _fly(nodes, flight, model, spec, args, output)
        _report(flight, model, spec, options, sent, output)


# -- the flight


def _flight(args: argparse.Namespace, output: Path, undo: contextlib.ExitStack) -> Flight:
    """Return what `--flight` names, with the output folder ready; nothing is made before."""
    text: str = args.flight
    if text.startswith('synthetic:'):
        seed, (width, height) = text.partition(':')[2], _size(args.size)
        if not seed.isdecimal():
            raise ConfigError(f'--flight {text}: the seed after `synthetic:` is a whole number')
        rate = args.rate or DEFAULT_RATE
        _prepare(output)
        return Flight(f'synthetic flight {seed}', text, rate, args.frames,
                      (int(seed), width, height))
    path = Path(text).expanduser().resolve()
    if not path.exists():
        raise DataError(f'--flight {text}: no such folder, video or bag, nor synthetic:SEED')
    if path == output or output in path.parents:
        raise ConfigError(f'--flight {text} lies in the output folder, which is replaced; '
                          'name another --output')
    if not is_bag(path):
        # Of a folder it is known how many images come, or that none do.
        count = open_images(path).count if path.is_dir() else None
        _prepare(output)
        return Flight(str(path), str(path), args.rate, min(args.frames, count or args.frames))
    topic = image_topic(path, args.topic)
    _prepare(output)
    folder = output / 'frames'
    undo.callback(shutil.rmtree, folder, ignore_errors=True)
    rate, count = _extract(path, topic, folder, args.frames)
    return Flight(f'{topic} of {path}', str(folder), args.rate or rate, count)


def _extract(bag: Path, topic: str, folder: Path, most: int) -> tuple[float, int]:
    """Write the images of a bag to `folder`, without loss; return their rate in Hz and number."""
    folder.mkdir()
    stamps = []
    line = _StatusLine()
    for number, recorded in enumerate(read_images(bag, topic)):
        if number == most:
            break
        stamps.append(recorded.stamp)
        path = folder / f'{number:06}.png'
        if not cv2.imwrite(str(path), cv2.cvtColor(recorded.image, cv2.COLOR_RGB2BGR),
                           [cv2.IMWRITE_PNG_COMPRESSION, 1]):
            raise DataError(f'{path} cannot be written')
        line.show(f'reading {topic}: {number + 1} images')
    line.end()
    gaps = np.diff(stamps)
    gap = float(np.median(gaps)) if len(gaps) else 0.0
    return min(1e9 / gap, 1000.0) if gap > 0 else DEFAULT_RATE, len(stamps)


def _size(text: str) -> tuple[int, int]:
    width, height = parse_size(text, '--size')
    if not (MIN_SIDE <= width <= MAX_SIDE and MIN_SIDE <= height <= MAX_SIDE):
        raise ConfigError(f'--size {text}: a side is not in {MIN_SIDE}..{MAX_SIDE} pixels')
    return width, height


def _prepare(output: Path) -> None:
    """Make an empty output folder; only what an earlier demo made is removed for it."""
    if output.is_symlink() or (output.exists() and not output.is_dir()):
        raise ConfigError(f'--output {output} is not a folder')
    try:
        if output.is_dir() and any(output.iterdir()):
            if not (output / _MARKER).is_file():
                raise ConfigError(f'--output {output} has files that no demo made; name another')
            shutil.rmtree(output)
        output.mkdir(parents=True, exist_ok=True)
        (output / _MARKER).write_text('mtl demo replaces this folder\n', encoding='utf-8')
    except OSError as error:
        raise ConfigError(f'--output {output}: {error.strerror}') from None


def _fly(nodes: NodeProcesses, flight: Flight, model: Path, spec: ModelSpec,
         args: argparse.Namespace, output: Path) -> Sent:
    """Run the nodes until the flight is over; return what the camera sent."""
    recorded = [_TOPICS.image, '/camera_info', _TOPICS.detections, _TOPICS.segmentation,
                f'{_TOPICS.detections}/label_info', f'{_TOPICS.segmentation}/label_info',
                _TOPICS.diagnostics]
    # The truth of a synthetic image is found by its pixels, and the progress is that of one file.
    nodes.start(_RECORDER, {'output': str(output / 'bag'), 'topics': recorded,
                            'image_format': 'raw', 'max_file_size': 0})
    runtime = runtime_options(args)
    nodes.start(_PERCEPTION, {
        'model': str(model), 'runtime': runtime.runtime, 'device': runtime.device,
        'precision': runtime.precision, 'threads': runtime.threads,
        'cache_folder': str(runtime.cache.expanduser().resolve()) if runtime.cache else 'auto',
        'tiles': args.tiles})
    progress = _Progress(output / 'bag' / 'bag_0.mcap', flight.frames)
    progress.look()
    # The first results come within milliseconds of the first image: the recorder must be there.
    results = [f'subscribed to {_TOPICS.detections} '] if spec.detection else []
    results += [f'subscribed to {_TOPICS.segmentation} '] if spec.segmentation else []
    nodes.wait_for_words(_RECORDER, results, _START_WITHIN)
    camera: dict[str, object] = {
        'source': flight.source, 'rate': flight.rate, 'loop': False,
        'wait_for_subscribers': 2}
    if flight.synthetic is not None:
        _, width, height = flight.synthetic
        camera |= {'width': width, 'height': height, 'frames': flight.frames}
    nodes.start(_CAMERA, camera)
    began = time.monotonic()
    while nodes.running(_CAMERA):
        nodes.check(may_end=_CAMERA)
        progress.look()
        if not progress.images and time.monotonic() - began > _START_WITHIN:
            raise MtlError(f'no image within {_START_WITHIN:g} s: '
                           f'{nodes.last_words(_CAMERA)}')
        if flight.synthetic is None and progress.images >= flight.frames:
            nodes.stop(_CAMERA)
            break
        time.sleep(_LOOK_EVERY)
    nodes.check(may_end=_CAMERA)
    end = time.monotonic() + _SETTLE + 3 * progress.latency
    while time.monotonic() < end:
        nodes.check(may_end=_CAMERA)
        progress.look()
        time.sleep(_LOOK_EVERY)
    nodes.stop(_PERCEPTION)
    nodes.stop(_RECORDER)
    progress.end()
    return _said_by_camera(nodes.log(_CAMERA))


def _said_by_camera(log: Path) -> Sent:
    words = log.read_text(encoding='utf-8', errors='replace')
    published = re.findall(r'published (\d+) images[^(\n]*(?:\(([\d.]+) Hz\))?', words)
    if not published:
        raise MtlError(f'the camera did not say how many images it published; see {log}')
    images, rate = published[-1]
    return Sent(int(images), float(rate) if rate and float(rate) > 0 else DEFAULT_RATE)


class _Progress:
    """A line that tells how the flight goes, from what is in the bag so far."""

    def __init__(self, bag: Path, frames: int) -> None:
        self._tail = BagTail(bag, {_TOPICS.image, _TOPICS.detections})
        self._frames = frames
        self._line = _StatusLine()
        self._latest: deque[tuple[int, int]] = deque(maxlen=30)  # recorded, stamp
        self._objects = 0
        self.images = 0

    @property
    def latency(self) -> float:
        """Seconds, the median of the latest frames; 0 before the first."""
        ages = [(recorded - stamp) / 1e9 for recorded, stamp in self._latest]
        return float(np.median(ages)) if ages else 0.0

    def look(self) -> None:
        """Read what is new and show it."""
        for message in self._tail.read():
            if message.topic == _TOPICS.image:
                self.images += 1
            else:
                self._objects += message.length
                self._latest.append((message.recorded, message.stamp))
        if not self.images:
            self._line.show('starting camera, perception and recorder')
            return
        text = f'flying: {self.images}/{self._frames} frames'
        if len(self._latest) > 1:
            span = (self._latest[-1][0] - self._latest[0][0]) / 1e9
            rate = (len(self._latest) - 1) / span if span > 0 else 0.0
            text += (f' | {rate:.1f} fps | latency {1e3 * self.latency:.0f} ms | '
                     f'{self._objects} detections')
        self._line.show(text)

    def end(self) -> None:
        self.look()
        self._line.end()


class _StatusLine:
    """One line that changes on a terminal; elsewhere a line every few seconds."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._shown = ''
        self._said = -math.inf

    def show(self, text: str) -> None:
        if text == self._shown:
            return
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            print(f'\r{text[:width].ljust(min(len(self._shown), width))}', end='',
                  file=sys.stderr, flush=True)
        elif time.monotonic() - self._said >= 5:
            self._said = time.monotonic()
            print(text, file=sys.stderr, flush=True)
            self._shown = text
            return
        self._shown = text

    def end(self) -> None:
        """Leave the latest text on its line."""
        if self._shown and self._terminal:
            print(file=sys.stderr, flush=True)
        self._shown = ''


# -- what came of it


def _report(flight: Flight, model: Path, spec: ModelSpec, options: PipelineOptions,
            sent: Sent, output: Path) -> None:
    bag = output / 'bag'
    images = count_messages(bag).get(_TOPICS.image, 0)
    drawn = flight.drawn()
    scorer = None
    if drawn is not None:
        scorer = TruthScorer(spec, BOX_NAMES, MASK_NAMES, options.nms_threshold)
    report = FlightReport(flight.name, model.name, spec, scorer)
    pictures = FlightPictures(output, spec, sent.rate, images)
    truths = _TruthFinder(drawn) if drawn is not None else None
    line = _StatusLine()
    for number, frame in enumerate(read_frames(bag, _TOPICS)):
        report.add(frame, truths.find(frame.image) if truths is not None else None)
        pictures.add(frame)
        line.show(f'drawing: {number + 1}/{images} frames')
    line.end()
    made = [bag, *pictures.close(), output / 'report.json']
    numbers = report.to_dict(sent.images, last_diagnostics(bag, _TOPICS, _PERCEPTION))
    (output / 'report.json').write_text(
        json.dumps(numbers, indent=2) + '\n', encoding='utf-8')
    print(report_table(numbers))
    print(f'in {output}: ' + ', '.join(path.name for path in made))


class _TruthFinder:
    """
    Gives the truth of recorded images of a flight, in their order.

    An image is known by its pixels, which the flight draws again: no count of frames that were
    lost on the way can shift the truth.
    """

    def __init__(self, flight: SyntheticFlight) -> None:
        self._flight = flight
        self._next = 0

    def find(self, image: np.ndarray) -> FrameTruth:
        """Return the truth of the flight's next frame that looks like `image`; DataError: none."""
        for index in range(self._next, len(self._flight)):
            frame = self._flight[index]
            if np.array_equal(frame.image, image):
                self._next = index + 1
                return FrameTruth(frame.boxes, frame.classes, frame.mask)
        raise DataError(f"the bag has an image that is none of the flight's after {self._next}")


@contextlib.contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind like Ctrl-C, so that no process is left behind."""
    def end(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
