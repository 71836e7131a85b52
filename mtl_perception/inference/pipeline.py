"""The path from an image to its detections and label map, for node, commands and evaluation."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
import math
from pathlib import Path
import time

import numpy as np

from mtl_perception.encodings import MAX_SIDE
from mtl_perception.errors import ConfigError, DataError
from mtl_perception.graph_contract import RawOutputs
from mtl_perception.inference.batches import choose_batch
from mtl_perception.inference.letterbox import Canvas, Letterbox, Scratch
from mtl_perception.inference.nms import suppress
from mtl_perception.inference.orientation import orient
from mtl_perception.inference.registry import open_runtime
from mtl_perception.inference.results import Detections, Perception, Timings
from mtl_perception.inference.runtime import MAX_BATCH, Runtime, RuntimeOptions, Say, silent
from mtl_perception.inference.seams import merge_tiles
from mtl_perception.inference.tiles import parse_tiles, plan_tiles, Tile
from mtl_perception.spec import ModelSpec

MAX_DETECTIONS = 10000

BOX_FORMATS = UPRIGHT, ORIENTED = 'upright', 'oriented'

MIN_BOX = 1.0
"""Boxes narrower or lower than this many network pixels inside the image are dropped."""


@dataclass(frozen=True)
class PipelineOptions:
    """Options that may change between two frames; ConfigError if a value is invalid."""

    score_threshold: float = 0.3
    """Boxes with a lower score are dropped; 0..1."""
    nms_threshold: float = 0.5
    """Of two boxes of a class with a higher IoU than this, the better one stays; 0..1."""
    max_detections: int = 300
    """Maximum number of boxes per image, best first; 1..10000."""
    tiles: str = 'off'
    """'off', 'auto' or 'ROWSxCOLUMNS'; see ``mtl_perception.inference.tiles``."""
    box_format: str = UPRIGHT
    """
    'upright' or 'oriented': with oriented boxes besides the upright ones where the label map is
    requested, too; see ``mtl_perception.inference.orientation``.
    """

    def __post_init__(self) -> None:
        for name in ('score_threshold', 'nms_threshold'):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not (
                    math.isfinite(value) and 0 <= value <= 1):
                raise ConfigError(f'{name} {value!r} is not a number in 0..1')
        if type(self.max_detections) is not int or not (
                0 < self.max_detections <= MAX_DETECTIONS):
            raise ConfigError(
                f'max_detections {self.max_detections!r} is not an integer in '
                f'1..{MAX_DETECTIONS}')
        parse_tiles(self.tiles)
        if self.box_format not in BOX_FORMATS:
            raise ConfigError(
                f'box_format {self.box_format!r} is none of {", ".join(BOX_FORMATS)}')


@dataclass(frozen=True, eq=False)
class Request:
    """An image and the requested results; see ``Pipeline.run`` for the image."""

    image: np.ndarray
    order: str = 'rgb'
    """Order of the channels: 'rgb' or 'bgr'."""
    tasks: frozenset[str] | None = None
    """The requested tasks of the model; None: all. The results of others are None."""
    options: PipelineOptions | None = None
    """None: those of the pipeline."""
    label_map: np.ndarray | None = None
    """Memory for the label map, uint8 [H, W]; None: new memory."""


class Pipeline:
    """
    A model ready to process images; `options` may be replaced between two of them.

    It is not thread-safe: the network input is one buffer, reused by every call.
    """

    def __init__(self, model: str | Path | Runtime, options: PipelineOptions | None = None,
                 runtime: RuntimeOptions | None = None, say: Say = silent) -> None:
        """
        Open the file `model`, or use an open runtime.

        `runtime` and `say` are those of ``open_runtime`` and apply to a file only. Raises
        ModelError, ConfigError or StartError as it does.
        """
        self.runtime: Runtime = (
            open_runtime(model, runtime, say) if isinstance(model, (str, Path)) else model)
        self.options = options or PipelineOptions()
        self._model = model
        self._runtime_options = replace(
            runtime or RuntimeOptions(), runtime=self.runtime.name, device=self.runtime.device)
        self.batch = self.runtime.batch
        """Maximum number of images or tiles in one run of the network."""
        self._canvas = Canvas(self.spec.input_size)
        self._scratch = Scratch()

    @property
    def spec(self) -> ModelSpec:
        """The model's specification: class names and colours, input size."""
        return self.runtime.spec

    def warm_up(self, most: int = 1) -> None:
        """
        Run the network on empty images, once for each batch size up to `most`.

        The first run of a size is slow and should not delay a frame.
        """
        for count in range(1, most + 1):
            batch = self._canvas.batch(count)
            for slot in range(count):
                self._canvas.place(slot, np.zeros(self.spec.input_size[::-1], np.uint8), 'rgb')
            self.runtime.run(batch)

    def choose_batch(self, most: int = MAX_BATCH) -> dict[int, float]:
        """
        Set `batch` to the size in 1..`most` with the best rate on this machine.

        Returns the images per second of the network by batch size, the selected size last. This
        takes about a second and, if the runtime compiles for a batch size, the time to open the
        model again.
        """
        def reopen(batch: int) -> Runtime:
            if not isinstance(self._model, (str, Path)):
                return self._model
            return open_runtime(self._model, replace(self._runtime_options, batch=batch))

        self.runtime, rates = choose_batch(self.runtime, reopen, most)
        self.batch = list(rates)[-1]
        return rates

    def run(self, image: np.ndarray, order: str = 'rgb', tasks: Collection[str] | None = None,
            label_map: np.ndarray | None = None) -> Perception:
        """
        Return the detections and label map of `image`.

        `image` is uint8 [H, W, 3], its channels in `order` ('rgb' or 'bgr'), or [H, W] grey;
        strided and read-only views are supported. `tasks` are the requested tasks of the model, by
        default all; the results of others are None and are not computed. The label map is written
        into `label_map`, uint8 [H, W], if given. Raises DataError for an image of another type or
        of an unsupported size, ValueError for tasks that the model does not have.
        """
        return self.run_batch([Request(
            image, order, None if tasks is None else frozenset(tasks), label_map=label_map)])[0]

    def run_batch(self, requests: Sequence[Request]) -> list[Perception]:
        """
        Return the results of several images, which may differ in size.

        The network runs on up to `batch` images or tiles at once, if the same tasks are requested
        for them; the timings of each result are those of the whole batch. Otherwise like `run`.
        """
        for request in requests:
            _check_image(request.image)
        options = self.options  # once: another thread may replace them meanwhile
        start = time.perf_counter()
        frames = [_Frame(request, self.spec, request.options or options, self._scratch)
                  for request in requests]
        preprocess = run = 0.0
        for tasks in dict.fromkeys(request.tasks for request in requests):
            views = [(frame, tile) for frame in frames if frame.request.tasks == tasks
                     for tile in frame.tiles]
            for first in range(0, len(views), self.batch):
                chunk = views[first:first + self.batch]
                begun = time.perf_counter()
                batch, letterboxes = self._canvas.load([
                    (frame.image[_slices(tile.box)], frame.request.order)
                    for frame, tile in chunk])
                loaded = time.perf_counter()
                raw = self.runtime.run(batch, tasks)
                done = time.perf_counter()
                preprocess += loaded - begun
                run += done - loaded
                for slot, (frame, tile) in enumerate(chunk):
                    frame.add(tile, letterboxes[slot], raw, slot)
        results = [(frame, frame.detections()) for frame in frames]
        timings = Timings(preprocess, run, time.perf_counter() - start - preprocess - run)
        return [
            Perception(frame.image.shape[1], frame.image.shape[0], detections, frame.label_map,
                       timings)
            for frame, detections in results]


class _Frame:
    """An image on its way through the network, tile by tile."""

    def __init__(self, request: Request, spec: ModelSpec, options: PipelineOptions,
                 scratch: Scratch) -> None:
        self.request = request
        self.image = image = request.image
        self.tiles = plan_tiles((image.shape[1], image.shape[0]), spec.input_size, options.tiles)
        self.label_map: np.ndarray | None = None
        self._memory = request.label_map
        self._scratch = scratch
        self._spec = spec
        self._options = options
        self._parts: list[Detections] = []
        self._scale = (1.0, 1.0)

    def add(self, tile: Tile, letterbox: Letterbox, raw: RawOutputs, slot: int) -> None:
        """Add the outputs for the next tile, at index `slot` of the batch."""
        self._scale = letterbox.scale
        if raw.boxes is not None and raw.scores is not None and raw.classes is not None:
            self._parts.append(_select(
                raw.boxes[slot], raw.scores[slot], raw.classes[slot], tile, letterbox,
                self._options, len(self._spec.detection or ())))
        if raw.label_map is None:
            return
        if self.label_map is None:
            self.label_map = (
                np.empty(self.image.shape[:2], np.uint8) if self._memory is None else self._memory)
        left, top = tile.box[:2]
        x0, y0, x1, y1 = tile.cell
        letterbox.labels_to_source(
            raw.label_map[slot], self._spec.label_stride,
            (x0 - left, y0 - top, x1 - left, y1 - top), self.label_map[_slices(tile.cell)],
            self._scratch)

    def detections(self) -> Detections | None:
        """Return the detections of all tiles as those of one image; None if there are none."""
        if not self._parts:
            return None
        if len(self._parts) == 1:
            found = self._parts[0]
        else:
            found = merge_tiles(self.tiles, self._parts, self._scale, self._options.nms_threshold,
                                self._options.max_detections)
        if self._options.box_format == ORIENTED and self.label_map is not None:
            found = replace(found, oriented=orient(found, self.label_map, self._spec))
        return found


def _select(boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray, tile: Tile,
            letterbox: Letterbox, options: PipelineOptions, known: int) -> Detections:
    """
    Apply thresholds and NMS to a tile's candidates; boxes are in pixels of the image.

    `known` is the number of named classes; a foreign file may contain others.
    """
    # Padded candidates have a score of 0; NaN compares false.
    kept = np.flatnonzero((scores >= options.score_threshold) & (scores > 0)
                          & (classes >= 0) & (classes < known))
    mapped = letterbox.to_source(boxes[kept])
    sides = (mapped[:, 2:] - mapped[:, :2]) * np.array(letterbox.scale, np.float32)
    inside = (sides >= MIN_BOX).all(axis=1)
    kept, mapped = kept[inside], mapped[inside]
    order = suppress(mapped, scores[kept], classes[kept], options.nms_threshold,
                     options.max_detections)
    kept = kept[order]
    mapped = mapped[order] + np.array(tile.box[:2] * 2, np.float32)
    return Detections(mapped, scores[kept], classes[kept])


def _slices(box: tuple[int, int, int, int]) -> tuple[slice, slice]:
    """Return the rows and columns of an array covered by (x0, y0, x1, y1)."""
    return slice(box[1], box[3]), slice(box[0], box[2])


def _check_image(image: np.ndarray) -> None:
    """Raise DataError if the pipeline does not support `image`."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or not (
            image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
        what = (f'{image.dtype} {list(image.shape)}' if isinstance(image, np.ndarray)
                else type(image).__name__)
        raise DataError(
            f'an image is {what}; give uint8 [height, width, 3] or grey [height, width]')
    height, width = image.shape[:2]
    if not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE):
        raise DataError(
            f'an image is {width}x{height} pixels; each side must be in 1..{MAX_SIDE}')
