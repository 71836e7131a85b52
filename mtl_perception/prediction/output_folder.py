"""The folder of predictions: COCO results, masks and overlays."""

from __future__ import annotations

from itertools import zip_longest
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mtl_perception.drawing import draw_overlay
from mtl_perception.errors import DataError
from mtl_perception.files import make_folder, readable, write_bytes, write_text
from mtl_perception.images.inputs import InputImage
from mtl_perception.inference.pipeline import PipelineOptions
from mtl_perception.inference.results import Detections, Perception
from mtl_perception.spec import ModelSpec

_OVERLAY_QUALITY = 90


class OutputFolder:
    """
    The folder that predictions are written to.

    `predictions.json` has COCO's `images`, `categories` (a category's id is its class index + 1)
    and `annotations` (with `bbox` x, y, width, height in source pixels, and `score`; of oriented
    boxes, `oriented_bbox`, too: centre x, y, length, width in source pixels, angle in radians);
    `masks/NAME.png` has a class index for each pixel; `overlay/NAME.jpg` is for people.
    """

    def __init__(self, folder: Path, spec: ModelSpec, options: PipelineOptions, model: str
                 ) -> None:
        """Make `folder`; DataError where that fails. `model` is the name of the model's file."""
        self._folder = folder
        self._spec = spec
        self._options = options
        self._model = model
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        make_folder(folder / 'overlay')
        if spec.segmentation:
            make_folder(folder / 'masks')

    @property
    def images(self) -> int:
        """Number of images so far."""
        return len(self._images)

    @property
    def objects(self) -> int:
        """Number of detections so far."""
        return len(self._annotations)

    def add(self, item: InputImage, image: np.ndarray, perception: Perception) -> None:
        """
        Add the `perception` of `image`, uint8 [H, W, 3] BGR; the mask and the overlay are written.

        Raises DataError where they cannot be written.
        """
        self._images.append({'id': self.images + 1, 'file_name': readable(item.file_name),
                             'width': perception.width, 'height': perception.height})
        if perception.detections is not None:
            self._annotate(perception.detections)
        if perception.label_map is not None:
            self._write(f'masks/{item.name}.png', perception.label_map, [])
        rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        overlay = cv2.cvtColor(draw_overlay(rgb, perception, self._spec), cv2.COLOR_RGB2BGR)
        self._write(f'overlay/{item.name}.jpg', overlay,
                    [cv2.IMWRITE_JPEG_QUALITY, _OVERLAY_QUALITY])

    def save(self) -> None:
        """Write `predictions.json`; DataError where that fails."""
        names = self._spec.detection.names if self._spec.detection else ()
        segmentation = self._spec.segmentation
        info = {'description': 'mtl predict', 'model': self._model,
                'tiles': self._options.tiles, 'box_format': self._options.box_format,
                'score_threshold': self._options.score_threshold,
                'nms_threshold': self._options.nms_threshold,
                'mask_names': list(segmentation.names) if segmentation else []}
        values = {
            'info': info,
            'images': self._images,
            'categories': [{'id': index, 'name': name} for index, name in enumerate(names, 1)],
            'annotations': self._annotations}
        write_text(self._folder / 'predictions.json', json.dumps(values) + '\n')

    def _annotate(self, detections: Detections) -> None:
        oriented = [] if detections.oriented is None else detections.oriented.tolist()
        for (x0, y0, x1, y1), score, index, turned in zip_longest(
                detections.boxes.tolist(), detections.scores.tolist(),
                detections.classes.tolist(), oriented):
            self._annotations.append({
                'id': self.objects + 1, 'image_id': self.images, 'category_id': index + 1,
                'bbox': [round(value, 2) for value in (x0, y0, x1 - x0, y1 - y0)],
                **({'oriented_bbox': [*(round(value, 2) for value in turned[:4]),
                                      round(turned[4], 4)]} if turned else {}),
                'area': round((x1 - x0) * (y1 - y0), 2), 'iscrowd': 0, 'score': round(score, 5)})

    def _write(self, name: str, image: np.ndarray, parameters: list[int]) -> None:
        path = self._folder / name
        good, data = cv2.imencode(path.suffix, image, parameters)
        if not good:
            raise DataError(f'{path}: cannot be encoded')
        write_bytes(path, data.tobytes())
