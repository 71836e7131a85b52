"""
Loading of the manifest: which data sets there are, and what their labels mean in our classes.

See ``docs/data.md`` for every key and every reader, ``config/aerial.yaml`` for a manifest in use,
``mtl_perception.data.set_spec`` for what a loaded manifest is.
"""

from __future__ import annotations

import os
from pathlib import Path

from mtl_perception.data.label_meaning import (
    background_classes,
    box_class_pixels,
    box_labels,
    class_index,
    class_indices,
    colored,
    mask_labels,
    pasted_classes,
)
from mtl_perception.data.manifest_model import (
    DetectionSection,
    keys_in_file,
    manifest_model,
    SegmentationSection,
    SetSection,
    TASK_LABELS,
)
from mtl_perception.data.readers.registry import all_readers, reader_named
from mtl_perception.data.set_spec import Crops, DATA_VARIABLE, Manifest, SetSpec
from mtl_perception.data.yaml_file import load_yaml, Place
from mtl_perception.data.yaml_model import validate_yaml
from mtl_perception.errors import ConfigError
from mtl_perception.labels import LabelSet


def load_manifest(path: str | Path, data_root: str | Path | None = None) -> Manifest:
    """
    Return the manifest in the YAML file `path`.

    The sets' paths are relative to `data_root`, else to $MTL_DATA, else to `root` in the file,
    which is relative to the file. Whether they exist is found out when a set is opened.

    Raises DataError where the file cannot be read, ConfigError for an invalid value.
    """
    path = Path(path)
    file = load_yaml(path)
    content = validate_yaml(file, manifest_model(all_readers()), keys_in_file)
    root = Path(data_root or os.environ.get(DATA_VARIABLE) or path.parent / content.root)
    top = Place(file)

    detection = segmentation = None
    groups: dict[str, tuple[int, ...]] = {}
    pixel_weights: tuple[float, ...] = ()
    if content.detection is not None:
        detection = _label_set(content.detection, top / 'detection')
        groups = _score_groups(content.detection, detection, top / 'detection' / 'score_groups')
    if content.segmentation is not None:
        segmentation = _label_set(content.segmentation, top / 'segmentation')
        pixel_weights = _pixel_weights(content.segmentation, segmentation,
                                       top / 'segmentation' / 'weights')
    labels = {'detection': detection, 'segmentation': segmentation}
    sets = tuple(_set(name, section, root, labels, top / 'sets' / name)
                 for name, section in content.sets.items())
    return Manifest(detection, segmentation, groups, pixel_weights, sets)


def _label_set(section: DetectionSection | SegmentationSection, place: Place) -> LabelSet:
    try:
        return LabelSet.from_dict(section.model_dump(include={'names', 'colors'},
                                                     exclude_unset=True))
    except ConfigError as error:
        raise place.error(f'is not a label set: {error}') from None


def _score_groups(section: DetectionSection, labels: LabelSet,
                  place: Place) -> dict[str, tuple[int, ...]]:
    groups = {}
    for name, classes in section.score_groups.items():
        if name in labels.names:
            raise (place / name).error('has the name of a class; call the group something else')
        groups[name] = class_indices(classes, labels, place / name)
        if not groups[name]:
            raise (place / name).error('names no class')
    return groups


def _pixel_weights(section: SegmentationSection, labels: LabelSet,
                   place: Place) -> tuple[float, ...]:
    weights = [1.0] * len(labels)
    for name, weight in section.weights.items():
        weights[class_index(name, labels, place / name)] = weight
    return tuple(weights)


def _set(name: str, section: SetSection, root: Path, labels: dict[str, LabelSet | None],
         place: Place) -> SetSpec:
    for task, kind in TASK_LABELS.items():
        if getattr(section, kind) is not None and labels[task] is None:
            raise (place / kind).error(f'need the label set `{task}` in the manifest')
    detection, segmentation = labels['detection'], labels['segmentation']
    boxes = masks = None
    if section.boxes is not None and detection is not None:
        boxes = box_labels(section.boxes, detection, place / 'boxes')
    if section.masks is not None and segmentation is not None:
        masks = mask_labels(section.masks, segmentation, place / 'masks')
    if boxes is None and masks is None:
        reader = reader_named(section.reader)
        kinds = [f'`{kind}`' for kind in TASK_LABELS.values() if getattr(reader, kind)]
        raise place.error(f'needs {" or ".join(kinds)}')
    if section.colors is not None:
        if masks is None:
            raise (place / 'colors').error('need `masks`')
        masks = colored(masks, section.colors, place / 'colors')
    pixels: dict[int, int] = {}
    if section.boxes_as_masks is not None:
        if boxes is None or detection is None or segmentation is None:
            raise (place / 'boxes_as_masks').error('needs boxes and a segmentation label set')
        pixels = box_class_pixels(section.boxes_as_masks, boxes, detection, segmentation,
                                  place / 'boxes_as_masks')
    background: dict[int, tuple[int, ...]] = {}
    if section.masks_as_background is not None:
        at = place / 'masks_as_background'
        if masks is None or boxes is not None or detection is None or segmentation is None:
            raise at.error('needs masks, a detection label set, and a set without boxes')
        background = background_classes(
            section.masks_as_background, masks, detection, segmentation, at)
    paste: dict[int, float] = {}
    if section.paste is not None:
        if boxes is None or masks is not None or detection is None:
            raise (place / 'paste').error('needs boxes, and a set without masks')
        paste = pasted_classes(section.paste, boxes, detection, place / 'paste')
    section.options.check_labels(masks, place / 'options')
    weights = _weights(section, place / 'weight')
    folder = name if section.path is None else section.path
    return SetSpec(
        name=name, reader=section.reader, path=root / folder,
        splits=section.splits, boxes=boxes, masks=masks,
        detection_weight=weights['detection'], segmentation_weight=weights['segmentation'],
        scale=section.scale, box_class_pixels=pixels, options=section.options,
        crops=Crops(section.crops.side, section.crops.overlap) if section.crops else None,
        black_hot=section.black_hot, background=background, paste=paste)


def _weights(section: SetSection, place: Place) -> dict[str, float]:
    present = [task for task, kind in TASK_LABELS.items() if getattr(section, kind) is not None]
    weights = dict.fromkeys(TASK_LABELS, 0.0)
    if section.weight is None:
        return {**weights, **dict.fromkeys(present, 1.0)}
    for task in present:
        if task not in section.weight:
            raise (place / task).error('is missing')
    # Images without objects are drawn for their boxes only where that is asked for.
    possible = [*present, 'detection'] if section.masks_as_background else present
    for task in section.weight:
        if task not in possible:
            raise (place / task).error('is not a known key; the set has no labels of this task')
    return {**weights, **section.weight}
