"""What the source labels of a set mean in the classes of the manifest: names to indices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from mtl_perception.data.manifest_model import BoxesSection
from mtl_perception.data.set_spec import BoxLabels, MaskLabels
from mtl_perception.data.yaml_file import brief, Place
from mtl_perception.labels import Color, LabelSet, MAX_CLASSES


def class_index(name: Any, labels: LabelSet, place: Place) -> int:
    """Return the index of the class `name`; ConfigError at `place` lists the classes otherwise."""
    if name not in labels.names:
        raise place.error(f'names no class: {brief(name)}; the classes are '
                          + ', '.join(labels.names))
    return labels.index(name)


def class_indices(names: Iterable[Any], labels: LabelSet, place: Place) -> tuple[int, ...]:
    """Return the indices of the classes; ConfigError for an unknown one or one named twice."""
    indices = tuple(class_index(name, labels, place) for name in names)
    if len(set(indices)) != len(indices):
        raise place.error(f'names a class twice: {brief(names)}')
    return indices


def box_labels(section: BoxesSection, labels: LabelSet, place: Place) -> BoxLabels:
    """Return what the boxes of a set mean; `place` is the key `boxes` of the set."""
    mapping = {
        source: None if ours is None else class_index(ours, labels, place / 'classes' / source)
        for source, ours in section.classes.items()}
    if not mapping:
        raise (place / 'classes').error('maps no class')
    by_length = {}
    for source, rule in section.by_length.items():
        at = place / 'by_length' / source
        if source not in mapping:
            raise at.error('is no source class of `classes`')
        by_length[source] = rule.at_least, class_index(rule.class_name, labels, at / 'class')
    complete = class_indices(section.complete, labels, place / 'complete')
    return BoxLabels(mapping, complete, by_length)


def mask_labels(section: Mapping[str, list[Any]], labels: LabelSet, place: Place) -> MaskLabels:
    """Return what the mask values of a set mean; `place` is the key `masks` of the set."""
    names = tuple(section)
    if not 0 < len(names) <= MAX_CLASSES:
        raise place.error(f'maps {len(names)} labels; 1..{MAX_CLASSES} are supported')
    allowed = np.zeros((len(names), len(labels)), bool)
    rows: dict[frozenset[int], int] = {}
    same_as: dict[int, int] = {}
    for row, name in enumerate(names):
        classes = class_indices(section[name], labels, place / name)
        first = rows.setdefault(frozenset(classes), row)
        if classes and first != row:
            same_as[row] = first
            continue
        for index in classes:
            taken = allowed[:, index].nonzero()[0]
            if taken.size:
                raise (place / name).error(
                    f'shares the class {labels.names[index]} with {names[taken[0]]}; the labels '
                    'of one set have the same classes or none in common')
            allowed[row, index] = True
    if not allowed.any():
        raise place.error('maps no label to a class')
    allowed.setflags(write=False)
    return MaskLabels(names, allowed, same_as=same_as)


def colored(masks: MaskLabels, colors: Mapping[str, Color], place: Place) -> MaskLabels:
    """Return `masks` with the colours of its labels; `place` is the key `colors` of the set."""
    if set(colors) != set(masks.names):
        raise place.error('must name the labels of `masks`, not '
                          + ', '.join(sorted(set(colors) ^ set(masks.names))))
    owners: dict[Color, str] = {}
    for name, color in colors.items():
        if owners.setdefault(color, name) != name:
            raise (place / name).error(
                f'is a colour that another label has too, {owners[color]}: {list(color)}')
    return replace(masks, colors=tuple(colors[name] for name in masks.names))


def box_class_pixels(section: Mapping[str, str], boxes: BoxLabels, detection: LabelSet,
                     segmentation: LabelSet, place: Place) -> dict[int, int]:
    """Return box class -> class of its pixels; `place` is the key `boxes_as_masks` of the set."""
    pixels = {}
    for name, ours in section.items():
        box_class = class_index(name, detection, place / name)
        if box_class not in boxes.complete:
            raise (place / name).error(
                'is not in `boxes.complete`, the classes that the set labels exhaustively')
        pixels[box_class] = class_index(ours, segmentation, place / name)
    return pixels


def pasted_classes(section: Mapping[str, float], boxes: BoxLabels, detection: LabelSet,
                   place: Place) -> dict[int, float]:
    """Return class -> mean number of pasted objects; `place` is the key `paste` of the set."""
    pasted = {}
    for name, rate in section.items():
        index = class_index(name, detection, place / name)
        if index not in boxes.complete:
            raise (place / name).error(
                'is not in `boxes.complete`, the classes that the set labels exhaustively')
        pasted[index] = rate
    return pasted


def background_classes(section: Mapping[str, list[Any]], masks: MaskLabels, detection: LabelSet,
                       segmentation: LabelSet, place: Place) -> dict[int, tuple[int, ...]]:
    """
    Return class of pixels -> classes of the objects that there are only in such pixels.

    `place` is the key `masks_as_background` of the set.
    """
    background = {}
    for name, ours in section.items():
        pixels = class_index(name, segmentation, place / name)
        if not masks.allowed[:, pixels].any():
            raise (place / name).error('is the class of no label of `masks`, which therefore do '
                                       'not tell where there is none')
        background[pixels] = class_indices(ours, detection, place / name)
        if not background[pixels]:
            raise (place / name).error('names no class')
    if not background:
        raise place.error('names no class')
    return background
