"""The flight of a demo: its source of images, its ground truth, and the folder of its results."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
import shutil

import numpy as np

from mtl_perception.bags.images import image_topic, is_bag, read_images
from mtl_perception.compressed import compress
from mtl_perception.data.synthetic import SyntheticFlight
from mtl_perception.demo.config import DEFAULT_RATE, DemoConfig
from mtl_perception.demo.report import FrameTruth
from mtl_perception.demo.status_line import StatusLine
from mtl_perception.errors import ConfigError, DataError
from mtl_perception.files import absolute, readable, write_bytes
from mtl_perception.images.containers import read_container
from mtl_perception.images.inputs import open_images

_MARKER = '.made_by_mtl_demo'
"""A folder with this file in it was made by a demo and may be replaced."""


@dataclass(frozen=True)
class Flight:
    """What is flown."""

    name: str
    source: str
    """Parameter `source` of the camera node."""
    rate: float
    """Images per second; 0: the source's own."""
    frames: int
    """Most images."""
    synthetic: tuple[int, int, int] | None = None
    """Seed, width and height of a synthetic flight."""
    problem: str = ''
    """Why images at its end are missing; empty if none are known to be."""

    def rendered(self) -> SyntheticFlight | None:
        """Return the synthetic flight, with its ground truth; None for other sources."""
        if self.synthetic is None:
            return None
        seed, width, height = self.synthetic
        return SyntheticFlight(seed, width, height, self.frames, self.rate)


def open_flight(config: DemoConfig, output: Path, undo: contextlib.ExitStack) -> Flight:
    """
    Return the flight of `config`, with the folder `output` prepared.

    Images of a bag are extracted to `output`/frames, which `undo` removes. Raises ConfigError or
    DataError, before anything is written, for a flight that does not exist.
    """
    text = config.flight
    for option, value in (('--flight', text), ('--output', str(output))):
        if readable(value) != value:
            raise ConfigError(f'{option} {readable(value)} is not UTF-8, as the parameters of '
                              'nodes must be; rename it')
    if text.startswith('synthetic:'):
        seed = text.partition(':')[2]
        if not seed.isdecimal():
            raise ConfigError(f'--flight {text}: the seed after `synthetic:` is a whole number')
        prepare_output(output)
        return Flight(f'synthetic flight {seed}', text, config.rate or DEFAULT_RATE,
                      config.frames, (int(seed), *config.size))
    path = absolute(text)
    if not path.exists():
        raise DataError(f'--flight {text}: no such folder, video or bag, nor synthetic:SEED')
    if path == output or output in path.parents:
        raise ConfigError(f'--flight {text} lies in the output folder, which is replaced; '
                          'choose another --output')
    if not is_bag(path):
        # The number of images of a folder is known, of a video it is not.
        count = open_images(path).count if path.is_dir() else None
        problem = '' if path.is_dir() else read_container(path).problem
        prepare_output(output)
        return Flight(str(path), str(path), config.rate,
                      min(config.frames, count or config.frames),
                      problem=f'{path}: {problem}' if problem else '')
    topic = image_topic(path, config.topic)
    prepare_output(output)
    folder = output / 'frames'
    undo.callback(shutil.rmtree, folder, ignore_errors=True)
    rate, count = _extract(path, topic, folder, config)
    return Flight(f'{topic} of {path}', str(folder), config.rate or rate, count)


def prepare_output(output: Path) -> None:
    """Make an empty folder; only what an earlier demo made is removed, else ConfigError."""
    if output.is_symlink() or (output.exists() and not output.is_dir()):
        raise ConfigError(f'--output {output} is not a folder')
    try:
        if output.is_dir() and any(output.iterdir()):
            if not (output / _MARKER).is_file():
                raise ConfigError(f'--output {output} has files that no demo made; choose another')
            shutil.rmtree(output)
        output.mkdir(parents=True, exist_ok=True)
        (output / _MARKER).write_text('mtl demo replaces this folder\n', encoding='utf-8')
    except OSError as error:
        raise ConfigError(f'--output {output}: {error.strerror}') from None


class TruthFinder:
    """
    Finds the ground truth of recorded images of a flight, in their order.

    An image is identified by its pixels, which the flight renders again: images that were lost on
    the way cannot shift the ground truth.
    """

    def __init__(self, flight: SyntheticFlight) -> None:
        self._flight = flight
        self._next = 0

    def find(self, image: np.ndarray) -> FrameTruth:
        """Return that of the flight's next frame equal to `image`; DataError if none is."""
        for index in range(self._next, len(self._flight)):
            frame = self._flight[index]
            if np.array_equal(frame.image, image):
                self._next = index + 1
                return FrameTruth(frame.boxes, frame.classes, frame.mask)
        raise DataError(f"the bag has an image that is none of the flight's after {self._next}")


def _extract(bag: Path, topic: str, folder: Path, config: DemoConfig) -> tuple[float, int]:
    """Write the images of a bag to `folder`, lossless; return their rate in Hz and number."""
    folder.mkdir()
    stamps = []
    line = StatusLine()
    for number, recorded in enumerate(read_images(bag, topic, config.black_hot)):
        if number == config.frames:
            break
        stamps.append(recorded.stamp)
        path = folder / f'{number:06}.png'
        write_bytes(path, compress(recorded.image, 'rgb', 'png'))
        line.show(f'reading {topic}: {number + 1} images')
    line.end()
    gaps = np.diff(stamps)
    gap = float(np.median(gaps)) if len(gaps) else 0.0
    return min(1e9 / gap, 1000.0) if gap > 0 else DEFAULT_RATE, len(stamps)
