"""The worst and best images of a set, drawn beside their ground truth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mtl_perception.data.samples import BoxTruth, Sample
from mtl_perception.data.set_spec import Manifest, MaskLabels, SetSpec
from mtl_perception.drawing import draw_overlay
from mtl_perception.evaluation.set_scorer import ImageResult
from mtl_perception.inference.results import Perception, Timings
from mtl_perception.labels import Color, LabelSet
from mtl_perception.spec import ModelSpec

PANEL_SIDE = 640
"""Longest side of a drawn image in pixels."""

RIGHT, WRONG_CLASS, WRONG, MISSED, REGION = (
    (52, 224, 128), (255, 164, 40), (255, 72, 72), (255, 236, 64), (170, 174, 182))
"""RGB of boxes: correct, wrong class, false positive, missed, ignore region."""

_QUALITY = 82
_OPACITY = 0.42


@dataclass(frozen=True)
class Example:
    """One image: the original, the ground truth, and the result of each model, as JPEG."""

    name: str
    kind: str
    """'worst', 'best' or, for several models, 'differ'."""
    scores: tuple[float, ...]
    """See ``ImageResult.score``; NaN if a model has none."""
    image: bytes
    truth: bytes
    models: tuple[bytes, ...]
    """Empty bytes if a model has no task of the set."""
    wide: bool
    """Whether it is a panorama, shown in full width."""


@dataclass(frozen=True, eq=False)
class _Candidate:
    rank: tuple[float, float]
    """Sort key; the first ones are kept."""
    order: int
    sample: Sample
    results: tuple[ImageResult | None, ...]


class Examples:
    """
    Keeps the images of a set with the worst and best results, downscaled, and draws them.

    At most 2 `count` images are kept, 3 `count` if several models are compared.
    """

    def __init__(self, manifest: Manifest, spec: SetSpec, count: int) -> None:
        self._manifest, self._spec, self._count = manifest, spec, count
        self._kept: dict[str, list[_Candidate]] = {'differ': [], 'worst': [], 'best': []}
        self._seen = 0
        if spec.masks is not None and manifest.segmentation is not None:
            self._labels = label_colors(spec.masks, manifest.segmentation)

    def add(self, sample: Sample, results: Sequence[ImageResult | None]) -> None:
        """Consider an image and the result of each model; None if it has no task of the set."""
        scores = [result.score for result in results
                  if result is not None and not np.isnan(result.score)]
        self._seen += 1
        if not scores or not self._count:
            return
        mean = float(np.mean(scores))
        mistakes = sum(result.mistakes for result in results if result is not None)
        objects = sum(len(result.boxes.objects) for result in results
                      if result is not None and result.boxes is not None)
        # Among images with equal scores, those with more objects are more informative.
        ranks = {'worst': (mean, -mistakes), 'best': (-mean, -objects)}
        if len(scores) > 1 and max(scores) > min(scores):
            ranks['differ'] = (min(scores) - max(scores), -mistakes)
        shrunk: tuple[Sample, tuple[ImageResult | None, ...]] | None = None
        for kind, rank in ranks.items():
            kept = self._kept[kind]
            if len(kept) == self._count and kept[-1].rank <= rank:
                continue
            if shrunk is None:
                shrunk = _shrunk(sample, results)
            kept.append(_Candidate(rank, self._seen, *shrunk))
            kept.sort(key=lambda candidate: (candidate.rank, candidate.order))
            del kept[self._count:]

    def chosen(self) -> tuple[Example, ...]:
        """Return the drawn images, each once."""
        result = []
        taken: set[int] = set()
        for kind, kept in self._kept.items():
            for candidate in kept:
                if candidate.order not in taken:
                    taken.add(candidate.order)
                    result.append(self._draw(kind, candidate))
        return tuple(result)

    def _draw(self, kind: str, candidate: _Candidate) -> Example:
        sample, results = candidate.sample, candidate.results
        truth = sample.image
        for result in results:
            if result is not None and result.truth is not None:
                truth = self._tinted(sample.image, result.truth)
                break
        if sample.boxes is not None and self._manifest.detection is not None \
                and self._spec.boxes is not None:
            colors = self._manifest.detection.colors
            truth = _with_boxes(truth, sample.boxes.ignore, [REGION] * len(sample.boxes.ignore))
            own = np.isin(sample.boxes.classes, self._spec.boxes.complete)
            truth = _with_boxes(truth, sample.boxes.boxes[own],
                                [colors[index] for index in sample.boxes.classes[own].tolist()])
        return Example(
            sample.name, kind,
            tuple(float('nan') if result is None else result.score for result in results),
            _jpeg(sample.image), _jpeg(truth),
            tuple(b'' if result is None else _jpeg(self._seen_by(sample.image, result))
                  for result in results),
            sample.image.shape[1] > 2 * sample.image.shape[0])

    def _seen_by(self, image: np.ndarray, result: ImageResult) -> np.ndarray:
        if result.label_map is not None:
            image = self._tinted(image, result.label_map)
        boxes = result.boxes
        if boxes is None:
            return image
        missed = boxes.objects[~boxes.found]
        image = _with_boxes(image, missed, [MISSED] * len(missed))
        kinds = [REGION if partner == -2 else RIGHT if right else WRONG if partner < 0
                 else WRONG_CLASS
                 for partner, right in zip(boxes.partner.tolist(), boxes.right.tolist(),
                                           strict=True)]
        return _with_boxes(image, boxes.detections.boxes, kinds)

    def _tinted(self, image: np.ndarray, labels: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        return draw_overlay(
            image, Perception(width, height, None, labels, Timings(0.0, 0.0, 0.0)),
            ModelSpec(segmentation=self._labels), mask_opacity=_OPACITY)


def label_colors(masks: MaskLabels, classes: LabelSet) -> LabelSet:
    """
    Return the colours of the scored labels of a set, from those of their classes.

    A label of several classes has the mean of their colours.
    """
    scored = np.asarray(masks.allowed.any(axis=1))
    colors = np.array(classes.colors, float)
    means = [np.rint(colors[allowed].mean(axis=0)).astype(int).tolist()
             for allowed in masks.allowed[scored]]
    names = [name for name, keep in zip(masks.names, scored, strict=True) if keep]
    return LabelSet(tuple(names), tuple((red, green, blue) for red, green, blue in means))


def _shrunk(sample: Sample, results: Iterable[ImageResult | None]
            ) -> tuple[Sample, tuple[ImageResult | None, ...]]:
    """Return all parts at the size of the drawing."""
    height, width = sample.image.shape[:2]
    scale = min(1.0, PANEL_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    factors = np.array([size[0] / width, size[1] / height] * 2, np.float32)

    def labels(values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else np.array(
            cv2.resize(values, size, interpolation=cv2.INTER_NEAREST))

    boxes = sample.boxes
    if boxes is not None:
        boxes = BoxTruth(boxes.boxes * factors, boxes.classes, boxes.ignore * factors)
    smaller: list[ImageResult | None] = []
    for result in results:
        if result is None:
            smaller.append(None)
            continue
        smaller.append(ImageResult(
            result.score, result.mistakes,
            result.boxes.scaled(factors) if result.boxes is not None else None,
            labels(result.label_map), labels(result.truth)))
    image = np.array(cv2.resize(sample.image, size, interpolation=cv2.INTER_AREA))
    return Sample(sample.name, image, boxes, None), tuple(smaller)


def _with_boxes(image: np.ndarray, boxes: np.ndarray, colors: Sequence[Color]) -> np.ndarray:
    if not len(boxes):
        return image
    canvas = image.copy()
    line = 2 if np.median(boxes[:, 2:] - boxes[:, :2]) > 12 else 1
    for (x0, y0, x1, y1), color in zip(np.rint(boxes).astype(int).tolist(), colors, strict=True):
        cv2.rectangle(canvas, (x0, y0), (max(x1 - 1, x0), max(y1 - 1, y0)), color, line)
    return canvas


def _jpeg(image: np.ndarray) -> bytes:
    done, data = cv2.imencode('.jpg', cv2.cvtColor(image, cv2.COLOR_RGB2BGR),
                              [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not done:
        raise RuntimeError('OpenCV cannot encode JPEG')
    return data.tobytes()
