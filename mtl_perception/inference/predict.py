"""`mtl predict`: look at images, a folder of them or a video, and write down what is seen."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
import sys
import time
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from mtl_perception.drawing import draw_overlay
from mtl_perception.errors import DataError, MtlError
from mtl_perception.images.inputs import InputImage, open_images
from mtl_perception.inference.pipeline import Pipeline, PipelineOptions
from mtl_perception.inference.results import Detections, Perception
from mtl_perception.inference.runtime_arguments import (
    add_runtime_arguments,
    runtime_options,
    say,
)
from mtl_perception.resources import model_path

_OVERLAY_QUALITY = 90


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    defaults = PipelineOptions()
    parser.add_argument('--model', metavar='FILE', type=Path,
                        help='model file (default: the one that comes with the package)')
    parser.add_argument('--input', metavar='PATH', type=Path, required=True,
                        help='an image, a folder of images or a video')
    parser.add_argument('--output', metavar='DIR', type=Path, required=True,
                        help='folder for predictions.json, masks/ and overlay/; made if missing, '
                             'files of the same names are replaced')
    parser.add_argument('--score-threshold', metavar='T', type=float,
                        default=defaults.score_threshold,
                        help='least score of a box, 0..1 (default: %(default)s)')
    parser.add_argument('--nms-threshold', metavar='T', type=float,
                        default=defaults.nms_threshold,
                        help='IoU above which the weaker of two boxes of a class is dropped, 0..1 '
                             '(default: %(default)s)')
    parser.add_argument('--max-detections', metavar='N', type=int,
                        default=defaults.max_detections,
                        help='most boxes of a picture (default: %(default)s)')
    parser.add_argument('--tiles', default=defaults.tiles,
                        help='cut large pictures: off, auto or ROWSxCOLUMNS such as 2x3 '
                             '(default: %(default)s)')
    add_runtime_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """
    Predict every picture of the input; MtlError says what is wrong with an option or the model.

    A picture that cannot be read is named on stderr and left out; after the others are done,
    DataError says how many were.
    """
    options = PipelineOptions(args.score_threshold, args.nms_threshold, args.max_detections,
                              args.tiles)
    # What is said here in one line, OpenCV would say before that in three.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    pictures = open_images(args.input)
    model = args.model or model_path()
    pipeline = Pipeline(model, options, runtime_options(args), say)
    predictions = Predictions(pipeline, Path(model).name, args.output)
    broken: list[str] = []
    start = time.perf_counter()
    try:
        # None: no bar where stderr is no terminal.
        with tqdm(pictures.items, 'predict', pictures.count, unit='image', disable=None) as bar:
            for picture in bar:
                try:
                    predictions.add(picture)
                except _UnreadableError as error:
                    broken.append(picture.file_name)
                    bar.write(f'mtl: left out: {error}', sys.stderr)
    except KeyboardInterrupt:
        predictions.save()  # of what is done
        raise
    seconds = time.perf_counter() - start
    predictions.save()
    print(f'{predictions.images} images, {predictions.objects} objects, '
          f'{seconds / max(predictions.images, 1) * 1e3:.0f} ms an image '
          f'({pipeline.runtime.name}, {pipeline.runtime.device}, '
          f'{pipeline.runtime.precision}): {args.output}')
    if broken:
        raise DataError(
            f'{args.input}: {len(broken)} of {len(broken) + predictions.images} images could not '
            f'be read ({", ".join(broken[:3])}{", ..." if len(broken) > 3 else ""}); the others '
            f'are done')


class _UnreadableError(DataError):
    """A picture of the input is broken; the rest may be well."""


class Predictions:
    """
    The folder that results are written to.

    `predictions.json` has COCO's `images`, `categories` (a category's id is its class index + 1)
    and `annotations` (with `bbox` x, y, width, height in source pixels, and `score`);
    `masks/NAME.png` has a class index for each pixel; `overlay/NAME.jpg` is for people.
    """

    def __init__(self, pipeline: Pipeline, model: str, folder: Path) -> None:
        """Make `folder`; DataError where that cannot be done."""
        self._pipeline = pipeline
        self._folder = folder
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        self._model = model
        self._make(folder / 'overlay')
        if pipeline.spec.segmentation:
            self._make(folder / 'masks')

    @property
    def images(self) -> int:
        """Number of pictures so far."""
        return len(self._images)

    @property
    def objects(self) -> int:
        """Number of detections so far."""
        return len(self._annotations)

    def add(self, picture: InputImage) -> None:
        """Look at `picture` and write what is seen, but for the JSON; DataError on failure."""
        try:
            image = picture.read()
        except DataError as error:
            raise _UnreadableError(str(error)) from None
        try:
            seen = self._pipeline.run(image, 'bgr')
        except DataError as error:
            raise _UnreadableError(f'{picture.file_name}: {error}') from None
        self._images.append({'id': self.images + 1, 'file_name': picture.file_name,
                             'width': seen.width, 'height': seen.height})
        if seen.detections is not None:
            self._annotate(seen.detections)
        if seen.label_map is not None:
            self._write(f'masks/{picture.name}.png', seen.label_map, [])
        self._write(f'overlay/{picture.name}.jpg', self._overlay(image, seen),
                    [cv2.IMWRITE_JPEG_QUALITY, _OVERLAY_QUALITY])

    def save(self) -> None:
        """Write `predictions.json`."""
        spec = self._pipeline.spec
        names = spec.detection.names if spec.detection else ()
        info = {'description': 'mtl predict', 'model': self._model,
                'tiles': self._pipeline.options.tiles,
                'score_threshold': self._pipeline.options.score_threshold,
                'nms_threshold': self._pipeline.options.nms_threshold,
                'mask_names': list(spec.segmentation.names) if spec.segmentation else []}
        values = {
            'info': info,
            'images': self._images,
            'categories': [{'id': index, 'name': name} for index, name in enumerate(names, 1)],
            'annotations': self._annotations}
        path = self._folder / 'predictions.json'
        try:
            path.write_text(json.dumps(values) + '\n', 'utf-8')
        except OSError as error:
            raise _cannot_write(path, error.strerror) from None

    def _annotate(self, detections: Detections) -> None:
        for (x0, y0, x1, y1), score, index in zip(
                detections.boxes.tolist(), detections.scores.tolist(),
                detections.classes.tolist(), strict=True):
            self._annotations.append({
                'id': self.objects + 1, 'image_id': self.images, 'category_id': index + 1,
                'bbox': [round(value, 2) for value in (x0, y0, x1 - x0, y1 - y0)],
                'area': round((x1 - x0) * (y1 - y0), 2), 'iscrowd': 0, 'score': round(score, 5)})

    def _overlay(self, image: np.ndarray, seen: Perception) -> np.ndarray:
        rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        return cv2.cvtColor(draw_overlay(rgb, seen, self._pipeline.spec), cv2.COLOR_RGB2BGR)

    def _make(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _cannot_write(folder, error.strerror) from None

    def _write(self, name: str, image: np.ndarray, parameters: list[int]) -> None:
        path = self._folder / name
        try:
            good = cv2.imwrite(str(path), image, parameters)
        except cv2.error as error:
            raise _cannot_write(path, error.err) from None
        if not good:
            raise _cannot_write(path, 'is the disk full?')


def _cannot_write(path: Path, reason: str | None) -> MtlError:
    return DataError(f'{path}: cannot be written: {reason}; choose another --output')
