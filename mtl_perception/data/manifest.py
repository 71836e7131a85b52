"""
The manifest: which data sets there are, and what their labels mean in our classes.

The label sets of public data differ and overlap. A source label of a mask therefore stands for a
*set* of our classes (`ground` of an aerial map may be ground or road), and of every set with boxes
the manifest names the classes that it labels *completely*: of the others, a box that is missing
says nothing. A loss or a score that keeps to this uses all of the data without guessing.

See ``docs/data.md`` for every key and every reader, ``config/aerial.yaml`` for a manifest in use.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
import os
from pathlib import Path
from typing import Any

import numpy as np

from mtl_perception.data.yaml_section import read_yaml, Section
from mtl_perception.errors import ConfigError
from mtl_perception.labels import Color, LabelSet, MAX_CLASSES

DATA_VARIABLE = 'MTL_DATA'
"""Environment variable with the folder that the sets' paths are relative to."""

READER_OPTIONS: dict[str, dict[str, Any]] = {
    'voc': {'images': 'images', 'annotations': 'annotations', 'masks': 'masks',
            'one_based': False},
    'yolo': {'images': 'images', 'labels': 'labels', 'classes': 'classes.txt'},
    'coco': {'images': 'images', 'background': ''},
    'visdrone': {'images': 'images', 'annotations': 'annotations'},
    'uavdt': {'images': 'UAV-benchmark-M', 'labels': 'UAV-benchmark-MOTD_v1.0/GT', 'every': 1},
    'dota': {'images': 'images', 'labels': 'labelTxt'},
    'cvat': {'images': 'images', 'background': ''},
    'mask_folder': {'images': 'images', 'masks': 'masks', 'classes': 'classes.txt',
                    'image_ending': '', 'mask_ending': '.png'},
    'bag': {'image_topic': '/image', 'detections_topic': '/truth/detections',
            'segmentation_topic': '/truth/segmentation'},
    'synthetic': {'width': 640, 'height': 480, 'flight_frames': 300},
}
"""The readers, and of each the options of a set with their defaults."""

_DEFAULT_SPLITS = {
    'coco': {'train': 'train.json', 'val': 'val.json'},
    'cvat': {'train': 'train.xml', 'val': 'val.xml'},
    'visdrone': {'train': 'VisDrone2019-DET-train', 'val': 'VisDrone2019-DET-val'},
    'uavdt': {'train': 'M_attr/train', 'val': 'M_attr/test'},
    'dota': {'train': 'train', 'val': 'val'},
    'bag': {'train': 'train', 'val': 'val'},
}
_LISTED_SPLITS = {'train': 'train.txt', 'val': 'val.txt'}
_ONE_FILE_SPLITS = ('coco', 'cvat')
_WITHOUT_FILES = ('bag', 'synthetic')
_WITH_BOXES = ('voc', 'yolo', 'coco', 'visdrone', 'uavdt', 'dota', 'cvat', 'bag', 'synthetic')
_WITH_MASKS = ('voc', 'coco', 'cvat', 'mask_folder', 'bag', 'synthetic')
_WITH_COLORS = ('mask_folder',)

MAX_CROP_SIDE = 16384


@dataclass(frozen=True)
class BoxLabels:
    """What the boxes of a set mean."""

    mapping: dict[str, int | None]
    """Source class name -> our class index; None makes an ignore region of its boxes."""
    complete: tuple[int, ...]
    """Our classes of which the set labels every object."""
    by_length: dict[str, tuple[float, int]] = field(default_factory=dict)
    """
    Source class name -> (length in pixels, our class): boxes whose longer side is at least that
    long are of that class instead. For a set from one height whose annotators called a bus `car`.
    """


@dataclass(frozen=True, eq=False)
class MaskLabels:
    """What the mask values of a set mean."""

    names: tuple[str, ...]
    """Source labels, by value in the masks."""
    allowed: np.ndarray
    """bool [len(names), classes]: the classes a label may be; a row without True has no loss."""
    colors: tuple[Color, ...] | None = None
    """RGB colour of each label where the masks are coloured pictures; None: they hold indices."""
    same_as: dict[int, int] = field(default_factory=dict)
    """
    Label -> the first label of the same classes, whose value it has when it is read. Its own row
    of `allowed` is empty, since no pixel has its value then.
    """


@dataclass(frozen=True)
class ListSplit:
    """The pictures of a split, where one file name does not say it."""

    source: str | tuple[str, ...]
    """File that lists them, folder that holds them, or their stems."""
    without: str = ''
    """File that lists pictures to leave out, such as those that another set is validated on."""


@dataclass(frozen=True)
class Crops:
    """How training cuts large pictures of a set when they are loaded."""

    side: int
    """Longest side of a crop in pixels; a picture that is no larger stays whole."""
    overlap: int
    """Pixels that neighbouring crops share at least: as much as the longest objects need."""


@dataclass(frozen=True)
class FlightSplit:
    """Synthetic flights of a split: seeds `first_seed`.. and evenly spread frames of each."""

    first_seed: int
    flights: int
    frames: int


Split = str | ListSplit | FlightSplit
"""A file or folder in the path of the set, a `ListSplit`, or (synthetic) the flights."""


@dataclass(frozen=True)
class SetSpec:
    """One data set: where it is, how it is read, what its labels mean, how training draws it."""

    name: str
    reader: str
    path: Path
    splits: dict[str, Split]
    """Split name -> file in `path` that lists it, or what else says which pictures it has."""
    boxes: BoxLabels | None
    masks: MaskLabels | None
    detection_weight: float
    """Share of training draws among the sets with boxes; 0 where there are none."""
    segmentation_weight: float
    """Share of training draws among the sets with masks; 0 where there are none."""
    scale: tuple[float, float]
    """Range of resize factors that suits the set's pictures in training."""
    box_class_pixels: dict[int, int]
    """
    Our box class -> the segmentation class of the pixels that it covers; empty where boxes teach
    no pixels. The middle of such a box is that class, and no pixel outside all of them is.
    """
    options: dict[str, Any]
    """The reader's options, complete with defaults (`READER_OPTIONS`)."""
    crops: Crops | None = None
    """None: training draws from whole pictures."""


@dataclass(frozen=True)
class Manifest:
    """Our label sets and the data sets that are labelled in their terms."""

    detection: LabelSet | None
    segmentation: LabelSet | None
    score_groups: dict[str, tuple[int, ...]]
    """Group name -> detection classes that are scored together as if they were one class."""
    pixel_weights: tuple[float, ...]
    """Weight of each segmentation class in the training loss."""
    sets: tuple[SetSpec, ...]

    def set_named(self, name: str) -> SetSpec:
        """Return the set `name`; ConfigError lists the known ones otherwise."""
        for spec in self.sets:
            if spec.name == name:
                return spec
        raise ConfigError(f'no data set {name!r}; the manifest has '
                          + ', '.join(spec.name for spec in self.sets))


def load_manifest(path: str | Path, data_root: str | Path | None = None) -> Manifest:
    """
    Return the manifest in the YAML file `path`.

    The sets' paths are relative to `data_root`, else to $MTL_DATA, else to `root` in the file,
    which is relative to the file. Whether they exist is found out when a set is opened.

    Raises DataError where the file cannot be read, ConfigError for an impossible value.
    """
    path = Path(path)
    top = read_yaml(path)
    in_file = top.take('root', str, '.')
    root = Path(data_root or os.environ.get(DATA_VARIABLE) or path.parent / in_file)

    detection = None
    groups: dict[str, tuple[int, ...]] = {}
    if 'detection' in top:
        section = top.section('detection')
        detection = _label_set(section)
        groups = _score_groups(section, detection)
        section.done()
    segmentation = None
    pixel_weights: tuple[float, ...] = ()
    if 'segmentation' in top:
        section = top.section('segmentation')
        segmentation = _label_set(section)
        pixel_weights = _pixel_weights(section, segmentation)
        section.done()

    sets = top.section('sets')
    specs = tuple(_set(name, sets.section(name), root, detection, segmentation)
                  for name in sets.names())
    if not specs:
        raise top.error('sets', 'names no data set')
    top.done()
    return Manifest(detection, segmentation, groups, pixel_weights, specs)


def _label_set(section: Section) -> LabelSet:
    values = {'names': section.take('names', list)}
    if 'colors' in section:
        values['colors'] = section.take('colors', list)
    try:
        return LabelSet.from_dict(values)
    except ConfigError as error:
        raise section.error('', f'is not a label set: {error}') from None


def _class_index(section: Section, key: str, labels: LabelSet, name: Any) -> int:
    if name not in labels.names:
        raise section.error(key, f'names no class: {name!r:.60}; the classes are '
                            + ', '.join(labels.names))
    return labels.index(name)


def _class_indices(section: Section, key: str, labels: LabelSet, names: Any) -> tuple[int, ...]:
    if not isinstance(names, list):
        raise section.error(key, f'is a list of class names, not {names!r:.60}')
    indices = tuple(_class_index(section, key, labels, name) for name in names)
    if len(set(indices)) != len(indices):
        raise section.error(key, f'names a class twice: {names}')
    return indices


def _score_groups(section: Section, labels: LabelSet) -> dict[str, tuple[int, ...]]:
    if 'score_groups' not in section:
        return {}
    groups = section.section('score_groups')
    result = {}
    for name in groups.names():
        if name in labels.names:
            raise groups.error(name, 'has the name of a class; call the group something else')
        result[name] = _class_indices(groups, name, labels, groups.take_any(name))
        if not result[name]:
            raise groups.error(name, 'names no class')
    return result


def _pixel_weights(section: Section, labels: LabelSet) -> tuple[float, ...]:
    weights = [1.0] * len(labels)
    if 'weights' in section:
        given = section.section('weights')
        for name in given.names():
            index = _class_index(section, 'weights', labels, name)
            weights[index] = given.take(name, float)
            if not 0 < weights[index] <= 1000:
                raise given.error(name, f'is a weight in 0..1000, not {weights[index]}')
    return tuple(weights)


def _set(name: str, section: Section, root: Path, detection: LabelSet | None,
         segmentation: LabelSet | None) -> SetSpec:
    if not name or set(name) & set('/\\,') or name.strip() != name:
        raise section.error('', 'is no name of a set: no slashes, commas or outer spaces')
    reader = section.take('reader', str)
    if reader not in READER_OPTIONS:
        raise section.error('reader', f'is one of {", ".join(READER_OPTIONS)}, not {reader!r}')
    for kind, readers, labels, task in (('boxes', _WITH_BOXES, detection, 'detection'),
                                        ('masks', _WITH_MASKS, segmentation, 'segmentation')):
        if kind in section and reader not in readers:
            raise section.error(kind, f'do not go with the reader {reader!r}')
        if kind in section and labels is None:
            raise section.error(kind, f'need the label set `{task}` in the manifest')
    boxes = masks = None
    if 'boxes' in section and detection is not None:
        boxes = _boxes(section.section('boxes'), detection)
    if 'masks' in section and segmentation is not None:
        masks = _masks(section.section('masks'), segmentation)
    if 'colors' in section:
        masks = _colored(section, masks, reader)
    if boxes is None and masks is None:
        raise section.error('', f'needs {" or ".join(_kinds_of(reader))}')
    pixels = _box_class_pixels(section, boxes, detection, segmentation)
    detection_weight, segmentation_weight = _weights(section, boxes, masks)
    spec = SetSpec(
        name=name, reader=reader, path=root / section.take('path', str, name),
        splits=_splits(section, reader), boxes=boxes, masks=masks,
        detection_weight=detection_weight, segmentation_weight=segmentation_weight,
        scale=_scale(section), box_class_pixels=pixels, options=_options(section, reader),
        crops=_crops(section, reader))
    _check_background(section, spec)
    section.done()
    return spec


def _kinds_of(reader: str) -> list[str]:
    kinds = (('`boxes`', _WITH_BOXES), ('`masks`', _WITH_MASKS))
    return [kind for kind, readers in kinds if reader in readers]


def _boxes(section: Section, labels: LabelSet) -> BoxLabels:
    classes = section.section('classes')
    mapping: dict[str, int | None] = {}
    for source in classes.names():
        ours = classes.take_any(source)
        mapping[source] = None if ours is None else _class_index(classes, source, labels, ours)
    if not mapping:
        raise section.error('classes', 'maps no class')
    complete = _class_indices(section, 'complete', labels, section.take_any('complete'))
    by_length = {}
    if 'by_length' in section:
        rules = section.section('by_length')
        for source in rules.names():
            if source not in mapping:
                raise rules.error(source, 'is no source class of `classes`')
            rule = rules.section(source)
            length = rule.take('at_least', float)
            if length <= 0:
                raise rule.error('at_least', f'is a length in pixels, not {length}')
            by_length[source] = (
                length, _class_index(rule, 'class', labels, rule.take_any('class')))
            rule.done()
    section.done()
    return BoxLabels(mapping, complete, by_length)


def _masks(section: Section, labels: LabelSet) -> MaskLabels:
    names = section.names()
    if not 0 < len(names) <= MAX_CLASSES:
        raise section.error('', f'maps {len(names)} labels; 1..{MAX_CLASSES} fit')
    allowed = np.zeros((len(names), len(labels)), bool)
    rows: dict[frozenset[int], int] = {}
    same_as: dict[int, int] = {}
    for row, name in enumerate(names):
        ours = section.take_any(name)
        listed = [ours] if isinstance(ours, str) else ours
        classes = _class_indices(section, name, labels, listed)
        first = rows.setdefault(frozenset(classes), row)
        if classes and first != row:
            same_as[row] = first
            continue
        for index in classes:
            taken = allowed[:, index].nonzero()[0]
            if taken.size:
                raise section.error(
                    name, f'shares the class {labels.names[index]} with {names[taken[0]]}; the '
                    'labels of one set stand for the same or for disjoint sets of classes')
            allowed[row, index] = True
    if not allowed.any():
        raise section.error('', 'maps no label to a class')
    allowed.setflags(write=False)
    return MaskLabels(names, allowed, same_as=same_as)


def _colored(section: Section, masks: MaskLabels | None, reader: str) -> MaskLabels:
    if masks is None or reader not in _WITH_COLORS:
        raise section.error('colors', 'go with `masks` and the reader ' + ', '.join(_WITH_COLORS))
    given = section.section('colors')
    names = given.names()
    if set(names) != set(masks.names):
        raise section.error('colors', 'must name the labels of `masks`, not '
                            + ', '.join(sorted(set(names) ^ set(masks.names))))
    colors = {name: given.take(name, list) for name in names}
    for name, color in colors.items():
        if len(color) != 3 or not all(type(c) is int and 0 <= c <= 255 for c in color):
            raise given.error(name, f'is [red, green, blue] in 0..255, not {color}')
        if list(colors.values()).count(color) > 1:
            raise given.error(name, f'is a colour that another label has too: {color}')
    return replace(masks, colors=tuple(
        (colors[name][0], colors[name][1], colors[name][2]) for name in masks.names))


def _crops(section: Section, reader: str) -> Crops | None:
    if 'crops' not in section:
        return None
    if reader in _WITHOUT_FILES:
        raise section.error('crops', f'do not go with the reader {reader!r}')
    given = section.section('crops')
    crops = Crops(given.take('side', int), given.take('overlap', int, 0))
    given.done()
    if not 32 <= crops.side <= MAX_CROP_SIDE:
        raise given.error('side', f'is a length in 32..{MAX_CROP_SIDE} pixels, not {crops.side}')
    if not 0 <= crops.overlap <= crops.side // 2:
        raise given.error('overlap', f'is a length in 0..{crops.side // 2} pixels, at most half '
                          f'of the side, not {crops.overlap}')
    return crops


def _check_background(section: Section, spec: SetSpec) -> None:
    label = spec.options.get('background')
    if label and (spec.masks is None or label not in spec.masks.names):
        raise section.error('options.background', f'names no label of `masks`: {label!r:.60}')


def _box_class_pixels(section: Section, boxes: BoxLabels | None, detection: LabelSet | None,
                      segmentation: LabelSet | None) -> dict[int, int]:
    if 'boxes_as_masks' not in section:
        return {}
    if boxes is None or detection is None or segmentation is None:
        raise section.error('boxes_as_masks', 'needs boxes and a segmentation label set')
    given = section.section('boxes_as_masks')
    pixels = {}
    for name in given.names():
        box_class = _class_index(given, name, detection, name)
        if box_class not in boxes.complete:
            raise given.error(name, 'is not among the classes that the set labels completely')
        pixels[box_class] = _class_index(given, name, segmentation, given.take_any(name))
    return pixels


def _splits(section: Section, reader: str) -> dict[str, Split]:
    result: dict[str, Split] = {}
    if reader != 'synthetic' and 'splits' not in section:
        return dict(_DEFAULT_SPLITS.get(reader, _LISTED_SPLITS))
    splits = section.section('splits')
    for name in splits.names():
        if reader != 'synthetic':
            result[name] = _file_split(splits, name, reader)
            continue
        flights = splits.section(name)
        counts = {key: flights.take(key, int) for key in ('first_seed', 'flights', 'frames')}
        flights.done()
        if counts['first_seed'] < 0 or min(counts['flights'], counts['frames']) < 1:
            raise splits.error(name, 'needs first_seed >= 0, flights >= 1 and frames >= 1')
        result[name] = FlightSplit(**counts)
    if not result:
        raise section.error('splits', 'names no split')
    return result


def _file_split(splits: Section, name: str, reader: str) -> Split:
    value = splits.take_any(name)
    if isinstance(value, str) and value:
        return value
    if reader in _ONE_FILE_SPLITS:
        raise splits.error(name, f'is the name of a file, not {value!r:.60}')
    without = ''
    if isinstance(value, dict):
        given = Section(value, splits.file, f'{splits.path}.{name}')
        value, without = given.take_any('list'), given.take('without', str)
        given.done()
        if isinstance(value, str) and value:
            return ListSplit(value, without)
    if not isinstance(value, list) or not value \
            or not all(isinstance(stem, str) and stem for stem in value):
        raise splits.error(name, 'is the name of a file or folder, or a list of stems, not '
                           f'{value!r:.60}')
    return ListSplit(tuple(value), without)


def _weights(section: Section, boxes: BoxLabels | None,
             masks: MaskLabels | None) -> tuple[float, float]:
    weights = {'detection': 1.0 if boxes else 0.0, 'segmentation': 1.0 if masks else 0.0}
    present = [task for task, weight in weights.items() if weight]
    if 'weight' in section:
        value = section.take_any('weight')
        given = Section(value if isinstance(value, dict) else dict.fromkeys(present, value),
                        section.file, f'{section.path}.weight')
        for task in present:
            weights[task] = given.take(task, float)
            if not 0 <= weights[task] <= 1000:
                raise given.error(task, f'is a weight in 0..1000, not {weights[task]}')
        given.done()
    return weights['detection'], weights['segmentation']


def _scale(section: Section) -> tuple[float, float]:
    scale = section.take('scale', list, [1.0, 1.0])
    if len(scale) != 2 or not all(type(s) in (int, float) for s in scale) \
            or not 0.05 <= scale[0] <= scale[1] <= 20:
        raise section.error('scale', f'is [low, high] within 0.05..20, not {scale}')
    return float(scale[0]), float(scale[1])


def _options(section: Section, reader: str) -> dict[str, Any]:
    options = dict(READER_OPTIONS[reader])
    if 'options' in section:
        given = section.section('options')
        for key, default in READER_OPTIONS[reader].items():
            options[key] = given.take(key, type(default), default)
        given.done()
    return options
