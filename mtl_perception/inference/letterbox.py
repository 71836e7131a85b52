"""
Mapping between source image and network input.

The image is scaled to fit with its aspect ratio, and placed in the *top left* corner of the
network input; the rest is grey. It is not centred, so that source and network share their origin:
boxes are mapped back by a division, and a label map of stride 4 starts on a whole cell for any
image size.

Coordinates follow ``cv2.resize``: pixel (0, 0) covers 0..1, edges map to edges, and each axis has
its own scale because width and height are rounded to whole pixels separately.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
import math

import cv2
import numpy as np

from mtl_perception.errors import ConfigError
from mtl_perception.graph_contract import PAD_VALUE

ORDERS = ('rgb', 'bgr')

Window = tuple[int, int, int, int]
"""x0, y0, x1, y1 in whole pixels; x1 and y1 are the first outside."""


@dataclass(frozen=True)
class Letterbox:
    """Placement of source images of one size in the network input; sizes are (width, height)."""

    source: tuple[int, int]
    network: tuple[int, int]

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height of the scaled image in network pixels."""
        ratio = min(net / src for net, src in zip(self.network, self.source, strict=True))
        width, height = (
            min(max(round(src * ratio), 1), net)
            for net, src in zip(self.network, self.source, strict=True))
        return width, height

    @cached_property
    def scale(self) -> tuple[float, float]:
        """Network pixels per source pixel along x and y."""
        return self.size[0] / self.source[0], self.size[1] / self.source[1]

    def to_source(self, boxes: np.ndarray) -> np.ndarray:
        """
        Return `boxes` [N, 4] of the network in pixels of the source image, clipped to it.

        Both are x0, y0, x1, y1.
        """
        width, height = self.source
        mapped = (boxes / np.array(self.scale * 2)).astype(np.float32)
        return np.clip(mapped, 0, np.array([width, height, width, height], np.float32), out=mapped)

    def labels_to_source(self, label_map: np.ndarray, stride: int, window: Window, out: np.ndarray,
                         scratch: Scratch) -> None:
        """
        Write the label of each source pixel's centre into `out`, uint8 [height, width].

        `label_map` is uint8 [h, w] with one value per `stride` network pixels on each axis.
        `window` (x0, y0, x1, y1) is the part of the source image covered by `out`, in pixels.
        """
        x0, y0, x1, y1 = window
        if stride == 1 and self.size == self.source:
            np.copyto(out, label_map[y0:y1, x0:x1])
            return
        columns = _cells(self.source[0], self.size[0], stride)[x0:x1]
        rows = _cells(self.source[1], self.size[1], stride)[y0:y1]
        # Columns first, for the few rows of the label map; whole rows are then copied. (With mode
        # 'raise', the default, NumPy would write into a temporary buffer first.)
        first, last = int(rows[0]), int(rows[-1])
        wide = scratch.take('labels', (last + 1 - first, len(columns)))
        np.take(label_map[first:last + 1], columns, axis=1, out=wide, mode='clip')
        np.take(wide, rows - first, axis=0, out=out, mode='clip')


@lru_cache(maxsize=128)
def _cells(source: int, network: int, stride: int) -> np.ndarray:
    """Return the index of the label under the centre of each source pixel: int [source]."""
    # (i + 1/2) * network / source in integers, without rounding at pixel borders.
    return (2 * np.arange(source) + 1) * network // (2 * source) // stride


@lru_cache(maxsize=64)
def letterbox_of(source: tuple[int, int], network: tuple[int, int]) -> Letterbox:
    """Return the cached Letterbox for these sizes."""
    return Letterbox(source, network)


class Scratch:
    """Buffers for intermediate results, reused for each frame; for one thread."""

    def __init__(self) -> None:
        self._memory: dict[str, np.ndarray] = {}

    def take(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Return a uint8 buffer of this shape, valid until `name` is requested again."""
        count = math.prod(shape)
        memory = self._memory.get(name)
        if memory is None or memory.size < count:
            memory = self._memory[name] = np.empty(count, np.uint8)
        return memory[:count].reshape(shape)


class Canvas:
    """
    The network input, reused for each frame.

    Memory is allocated for each batch or image larger than all before, and the grey border is
    painted when the image size changes.
    """

    def __init__(self, network: tuple[int, int]) -> None:
        self._network = network
        self._images = np.empty((0, network[1], network[0], 3), np.uint8)
        self._painted: list[Letterbox | None] = []
        self._scratch = Scratch()

    def load(self, images: Sequence[tuple[np.ndarray, str]],
             ) -> tuple[np.ndarray, list[Letterbox]]:
        """
        Return the network input for `images` and the placement of each.

        The images and their orders are as in `place`. The input is uint8 [B, H, W, 3] RGB,
        contiguous, and valid until the next call; an image that already has this format is
        returned itself.
        """
        if len(images) == 1 and images[0][1] == 'rgb':
            [(image, _)] = images
            width, height = self._network
            if image.shape == (height, width, 3) and image.flags.c_contiguous:
                return image[None], [letterbox_of(self._network, self._network)]
        batch = self.batch(len(images))
        return batch, [
            self.place(slot, image, order) for slot, (image, order) in enumerate(images)]

    def batch(self, count: int) -> np.ndarray:
        """Return the first `count` images: uint8 [count, H, W, 3] RGB, contiguous, a view."""
        if count > len(self._images):
            width, height = self._network
            self._images = np.empty((count, height, width, 3), np.uint8)
            self._painted = [None] * count
        return self._images[:count]

    def place(self, slot: int, image: np.ndarray, order: str) -> Letterbox:
        """
        Write `image` to the index `slot` of the batch and return its placement.

        `image` is uint8 [h, w, 3], its channels in `order` ('rgb' or 'bgr'), or [h, w] grey;
        strided views are supported, and it is not modified.
        """
        if order not in ORDERS:
            raise ConfigError(f'no channel order {order!r}; the orders are {", ".join(ORDERS)}')
        height, width = image.shape[:2]
        letterbox = letterbox_of((width, height), self._network)
        target = self._images[slot, :letterbox.size[1], :letterbox.size[0]]
        if self._painted[slot] != letterbox:
            self._images[slot, letterbox.size[1]:] = PAD_VALUE
            self._images[slot, :letterbox.size[1], letterbox.size[0]:] = PAD_VALUE
            self._painted[slot] = letterbox
        is_rgb = image.ndim == 3 and order == 'rgb'
        image = self._halved(image, letterbox.size)
        if (image.shape[1], image.shape[0]) != letterbox.size:
            resized = target if is_rgb else self._scratch.take('resized', (
                *target.shape[:2], *image.shape[2:]))
            # Area interpolation is slow, and needed only below half the size.
            shrinks = any(2 * net < src for net, src in zip(
                letterbox.size, image.shape[1::-1], strict=True))
            cv2.resize(image, letterbox.size, dst=resized,
                       interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
            image = resized
        if image is target:
            return letterbox
        if is_rgb:
            np.copyto(target, image)
        else:
            code = cv2.COLOR_GRAY2RGB if image.ndim == 2 else cv2.COLOR_BGR2RGB
            cv2.cvtColor(image, code, dst=target)
        return letterbox

    def _halved(self, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """
        Return `image`, halved on both axes while it is at least twice `size` and its sides are
        even.

        From 1920x1080 to 640x360, means of 2x2 pixels and a bilinear step take 1.4 ms, area
        interpolation 5 ms, with no more aliasing.
        """
        level = 0
        height, width = image.shape[:2]
        while width > 2 * size[0] and height > 2 * size[1] and not (width | height) & 1:
            width, height = width // 2, height // 2
            half = self._scratch.take(f'half {level}', (height, width, *image.shape[2:]))
            cv2.resize(image, (width, height), dst=half, interpolation=cv2.INTER_AREA)
            image, level = half, level + 1
        return image
