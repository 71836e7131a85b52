"""
Matching of detections to objects, according to COCO and to Pascal VOC.

COCO (T.-Y. Lin and others, Microsoft COCO, 2014), as in pycocotools: detections are matched, best
score first, to the unmatched object that they overlap most, at each of ten intersections over
union (IoU) and in each range of areas; objects and unmatched detections outside the range are
ignored, and so are detections of which at least the IoU's share of *their* area is in an ignore
region. VOC (M. Everingham and others, The Pascal Visual Object Classes Challenge, 2010): a
detection is correct at an IoU of 0.5 with the object that it overlaps most, if no better one is
matched to that object.

The overlaps are computed by pycocotools. Its matching is not used, since it visits every pair of
detection and object in Python; here only pairs that overlap by half are visited.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

IOUS = np.linspace(0.5, 0.95, 10)
"""IoU thresholds of COCO's AP."""

AREAS = {'all': (0.0, 1e10), 'small': (0.0, 32.0 ** 2), 'medium': (32.0 ** 2, 96.0 ** 2),
         'large': (96.0 ** 2, 1e10)}
"""COCO's ranges of an object's area in pixels of the source image, both ends included."""

ALL = list(AREAS).index('all')
IOU_50, IOU_75 = 0, 5


@dataclass(frozen=True, eq=False)
class ImageMatches:
    """Matches of the detections of one class in one image."""

    right: np.ndarray
    """bool [areas, IoUs, N]."""
    ignored: np.ndarray
    """bool [areas, IoUs, N]: not counted."""
    voc_right: np.ndarray
    """bool [N]."""
    voc_ignored: np.ndarray
    """bool [N]."""
    objects: np.ndarray
    """int64 [areas]: number of objects to detect."""


@dataclass(frozen=True, eq=False)
class Matches:
    """Matches of the detections of one class in many images, best score first."""

    scores: np.ndarray
    """float32 [N]."""
    image: np.ndarray
    """int64 [N]: index of the image of each."""
    right: np.ndarray
    """bool [areas, IoUs, N]."""
    ignored: np.ndarray
    """bool [areas, IoUs, N]."""
    voc_right: np.ndarray
    """bool [N]."""
    voc_ignored: np.ndarray
    """bool [N]."""
    objects: np.ndarray
    """int64 [areas, images]."""

    @classmethod
    def of(cls, images: list[ImageMatches], scores: list[np.ndarray]) -> Matches:
        """Return the detections of all images; equal scores keep the order of the images."""
        areas = (len(AREAS), len(IOUS))
        joined = np.concatenate([np.empty(0, np.float32), *scores])
        order = np.argsort(-joined, kind='stable')
        image = np.repeat(np.arange(len(images)), [len(values) for values in scores])

        def join(name: str, shape: tuple[int, ...]) -> np.ndarray:
            parts = [np.empty((*shape, 0), bool), *(getattr(item, name) for item in images)]
            return np.concatenate(parts, axis=-1)[..., order]

        objects = np.stack([item.objects for item in images], axis=1) if images \
            else np.zeros((len(AREAS), 0), np.int64)
        return cls(joined[order], image[order], join('right', areas), join('ignored', areas),
                   join('voc_right', ()), join('voc_ignored', ()), objects)

    @classmethod
    def joined(cls, sets: list[Matches]) -> Matches:
        """Return the matches of several sets of images as one set."""
        starts = np.cumsum([0, *(item.objects.shape[1] for item in sets)])
        order = np.argsort(-np.concatenate([item.scores for item in sets]), kind='stable')
        image = np.concatenate(
            [item.image + start for item, start in zip(sets, starts, strict=False)])

        def join(name: str) -> np.ndarray:
            return np.concatenate([getattr(item, name) for item in sets], axis=-1)[..., order]

        return cls(join('scores'), image[order], join('right'), join('ignored'),
                   join('voc_right'), join('voc_ignored'),
                   np.concatenate([item.objects for item in sets], axis=1))


def match(truth: np.ndarray, regions: np.ndarray, boxes: np.ndarray,
          areas: np.ndarray | None = None) -> ImageMatches:
    """
    Match the detections of one class in one image.

    Args:
        truth: [G, 4] the class's objects; boxes are x0, y0, x1, y1 in pixels. regions: [R, 4]
        ignore regions. boxes: [N, 4] detections, best score first. areas: [G] the objects' areas
        in pixels, which decide whether they are small, medium or large; None: those of their
        boxes.

    """
    truth, regions, boxes = (np.asarray(item, np.float64) for item in (truth, regions, boxes))
    known = np.concatenate([truth, regions])
    is_region = np.arange(len(known)) >= len(truth)
    known_areas = _areas(known)
    if areas is not None:
        known_areas[:len(truth)] = areas
    left_out = _outside(known_areas) | is_region
    right = np.zeros((len(AREAS), len(IOUS), len(boxes)), bool)
    ignored = np.repeat(_outside(_areas(boxes))[:, None], len(IOUS), axis=1)
    voc_right = np.zeros(len(boxes), bool)
    voc_ignored = np.zeros(len(boxes), bool)
    if len(boxes) and len(known):
        overlaps = overlap(boxes, known, is_region)
        _match_coco(overlaps, is_region, left_out, right, ignored)
        own = overlaps[:, :len(truth)]
        if len(truth):
            nearest = own.argmax(axis=1)
            hits = np.flatnonzero(own.max(axis=1) >= IOUS[IOU_50])
            voc_right[hits[np.unique(nearest[hits], return_index=True)[1]]] = True
        if len(regions):
            voc_ignored = ~voc_right & (
                overlaps[:, len(truth):].max(axis=1) >= IOUS[IOU_50])
    return ImageMatches(right, ignored, voc_right, voc_ignored, (~left_out).sum(axis=1))


def overlap(boxes: np.ndarray, known: np.ndarray, is_region: np.ndarray) -> np.ndarray:
    """
    Return the IoU of each box with each of `known`: float64 [N, K].

    For regions (`is_region`, bool [K]) it is the share of the box's area inside the region.
    """
    from pycocotools.mask import iou

    if not len(boxes) or not len(known):
        return np.zeros((len(boxes), len(known)))
    return np.asarray(iou(_xywh(boxes), _xywh(known), is_region.astype(np.uint8).tolist()))


def _match_coco(overlaps: np.ndarray, is_region: np.ndarray, left_out: np.ndarray,
                right: np.ndarray, ignored: np.ndarray) -> None:
    """Fill `right` and `ignored`; `left_out` is bool [areas, K]."""
    pairs: dict[int, list[tuple[int, float]]] = {}
    for box, other in np.argwhere(overlaps >= IOUS[0]).tolist():
        pairs.setdefault(box, []).append((other, float(overlaps[box, other])))
    regions = is_region.tolist()
    for area in range(len(AREAS)):
        out = left_out[area].tolist()
        # Objects to detect precede ignored ones, as in pycocotools.
        ordered = {box: sorted(others, key=lambda other: out[other[0]])
                   for box, others in pairs.items()}
        for level, least in enumerate(IOUS.tolist()):
            matched: set[int] = set()
            for box, others in ordered.items():
                best, best_overlap = -1, least
                for other, value in others:
                    if other in matched and not regions[other]:
                        continue
                    if best >= 0 and out[other] and not out[best]:
                        break
                    if value >= best_overlap:
                        best, best_overlap = other, value
                if best >= 0:
                    matched.add(best)
                    right[area, level, box] = not out[best]
                    ignored[area, level, box] = out[best]


def _areas(boxes: np.ndarray) -> np.ndarray:
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


def _outside(areas: np.ndarray) -> np.ndarray:
    """Return whether each area is outside each range: bool [ranges, N]."""
    return np.stack([(areas < least) | (areas > most) for least, most in AREAS.values()])


def _xywh(boxes: np.ndarray) -> np.ndarray:
    boxes = np.asarray(boxes, np.float64)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
