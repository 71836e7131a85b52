"""Selection of calibration images in the form of the network input."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mtl_perception.data.readers import open_set
from mtl_perception.data.set_spec import Manifest
from mtl_perception.errors import ConfigError
from mtl_perception.images.inputs import open_images
from mtl_perception.images.listing import spread
from mtl_perception.inference.letterbox import Canvas
from mtl_perception.inference.tiles import plan_tiles
from mtl_perception.spec import ModelSpec

SPLIT = 'train'
"""Never a split on which models are scored."""

MAX_COUNT = 2000
"""Maximum number of images; 2.5 GB at 640x640."""


def images_of_folder(path: Path, spec: ModelSpec, tiles: str, count: int) -> np.ndarray:
    """
    Return up to `count` inputs of the network of `spec`: uint8 [N, H, W, 3] RGB.

    `path` is an image, a folder of images or a video; inputs are evenly spread over it, and
    letterboxed and tiled as in the pipeline. One of the `tiles` of each image is used. Raises
    DataError if an image cannot be read.
    """
    items = list(open_images(path).items)
    return _inputs((items[index].read() for index in spread(len(items), count)), 'bgr', spec,
                   tiles)


def images_of_manifest(manifest: Manifest, spec: ModelSpec, tiles: str, count: int) -> np.ndarray:
    """
    Return inputs like `images_of_folder`, from the training splits of all sets of `manifest`.

    Each set contributes an equal share of `count`, at least one. Raises ConfigError if no set has
    a training split, DataError for missing or broken data.
    """
    sets = [open_set(item, manifest) for item in manifest.sets if SPLIT in item.splits]
    if not sets:
        raise ConfigError(f'no data set of the manifest has a split {SPLIT!r} to calibrate on')
    each = max(1, count // len(sets))
    return _inputs((data.read(SPLIT, index).image for data in sets
                    for index in spread(len(data.stems(SPLIT)), each)), 'rgb', spec, tiles)


def _inputs(images: Iterator[np.ndarray], order: str, spec: ModelSpec, tiles: str) -> np.ndarray:
    canvas = Canvas(spec.input_size)
    batch = canvas.batch(1)
    inputs = []
    for number, image in enumerate(images):
        parts = plan_tiles((image.shape[1], image.shape[0]), spec.input_size, tiles)
        x0, y0, x1, y1 = parts[number % len(parts)].box
        canvas.place(0, image[y0:y1, x0:x1], order)
        inputs.append(batch[0].copy())
    return np.stack(inputs)
