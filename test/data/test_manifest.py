from collections.abc import Callable
import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mtl_perception.data.manifest import load_manifest
from mtl_perception.data.set_spec import Crops, FlightSplit, ListSplit, Manifest
from mtl_perception.errors import ConfigError, DataError

MANIFEST: dict[str, Any] = {
    'root': 'sets',
    'detection': {'names': ['car', 'bus', 'person'],
                  'score_groups': {'vehicle': ['car', 'bus']}},
    'segmentation': {'names': ['road', 'grass', 'vehicle'],
                     'colors': [[1, 2, 3], [4, 5, 6], [7, 8, 9]],
                     'weights': {'vehicle': 4}},
    'sets': {
        'boxed': {
            'reader': 'voc',
            'path': 'somewhere/boxed',
            'splits': {'train': 'a.txt'},
            'boxes': {'classes': {'auto': 'car', 'blur': None},
                      'by_length': {'auto': {'at_least': 99, 'class': 'bus'}},
                      'complete': ['car', 'bus']},
            'boxes_as_masks': {'car': 'vehicle'},
            'weight': 2,
            'scale': [0.5, 1],
            'options': {'one_based': True}},
        'masked': {
            'reader': 'mask_folder',
            'masks': {'ground': ['grass', 'road'], 'odd': [], 'car': 'vehicle'}},
        'drawn': {
            'reader': 'synthetic',
            'splits': {'val': {'first_seed': 3, 'flights': 2, 'frames': 5}},
            'boxes': {'classes': {'car': 'car'}, 'complete': ['car']},
            'masks': {'road': 'road'},
            'weight': {'detection': 0.5, 'segmentation': 3}}}}

COLORS = {'ground': [1, 1, 1], 'odd': [2, 2, 2], 'car': [3, 3, 3]}

Loader = Callable[[Any], Manifest]


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('MTL_DATA', raising=False)


@pytest.fixture
def load(tmp_path: Path) -> Loader:
    def load_it(content: Any) -> Manifest:
        path = tmp_path / 'm.yaml'
        path.write_text(content if isinstance(content, str)
                        else yaml.safe_dump(content, sort_keys=False))
        return load_manifest(path)
    return load_it


def changed(*keys: str, value: Any) -> dict[str, Any]:
    """Return `MANIFEST` with `value` at the place that `keys` lead to."""
    root = copy.deepcopy(MANIFEST)
    place = root
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    return root


def test_label_sets(load: Loader) -> None:
    manifest = load(MANIFEST)
    assert manifest.detection is not None
    assert manifest.segmentation is not None
    assert manifest.detection.names == ('car', 'bus', 'person')
    assert manifest.segmentation.colors == ((1, 2, 3), (4, 5, 6), (7, 8, 9))
    assert manifest.score_groups == {'vehicle': (0, 1)}
    assert manifest.pixel_weights == (1, 1, 4)


def test_set_with_boxes(load: Loader, tmp_path: Path) -> None:
    spec = load(MANIFEST).set_named('boxed')
    assert spec.path == tmp_path / 'sets' / 'somewhere' / 'boxed'
    assert spec.splits == {'train': 'a.txt'}
    assert spec.boxes is not None
    assert spec.boxes.mapping == {'auto': 0, 'blur': None}
    assert spec.boxes.by_length == {'auto': (99, 1)}
    assert spec.boxes.complete == (0, 1)
    assert spec.box_class_pixels == {0: 2}
    assert (spec.detection_weight, spec.segmentation_weight) == (2, 0)
    assert spec.scale == (0.5, 1)
    assert spec.options.model_dump() == {
        'images': 'images', 'annotations': 'annotations', 'masks': 'masks', 'one_based': True}
    assert spec.crops is None
    assert spec.masks is None


def test_set_with_masks_and_defaults(load: Loader, tmp_path: Path) -> None:
    spec = load(MANIFEST).set_named('masked')
    assert spec.path == tmp_path / 'sets' / 'masked'
    assert spec.splits == {'train': 'train.txt', 'val': 'val.txt'}
    assert spec.masks is not None
    assert spec.masks.names == ('ground', 'odd', 'car')
    assert spec.masks.allowed.tolist() == [
        [True, True, False], [False, False, False], [False, False, True]]
    assert (spec.detection_weight, spec.segmentation_weight) == (0, 1)
    assert spec.scale == (1, 1)
    assert spec.boxes is None
    assert spec.box_class_pixels == {}


def test_splits_may_be_lists_and_leave_images_out(load: Loader) -> None:
    splits = {'train': {'list': 'all.txt', 'without': 'val.txt'}, 'val': ['a', 'b']}
    spec = load(changed('sets', 'masked', 'splits', value=splits)).set_named('masked')
    assert spec.splits == {'train': ListSplit('all.txt', 'val.txt'), 'val': ListSplit(('a', 'b'))}


def test_colors_and_crops(load: Loader) -> None:
    content = changed('sets', 'masked', 'colors', value=COLORS)
    content['sets']['masked']['crops'] = {'side': 512, 'overlap': 64}
    spec = load(content).set_named('masked')
    assert spec.masks is not None
    assert spec.masks.colors == ((1, 1, 1), (2, 2, 2), (3, 3, 3))
    assert spec.crops == Crops(512, 64)


def test_black_hot_set(load: Loader) -> None:
    assert not load(MANIFEST).set_named('boxed').black_hot
    spec = load(changed('sets', 'boxed', 'black_hot', value=True)).set_named('boxed')
    assert spec.black_hot
    counts = np.array([[7200, 8500]], np.uint16)
    assert spec.stretch(counts).tolist() == [[255, 0]]


def test_synthetic_set(load: Loader) -> None:
    spec = load(MANIFEST).set_named('drawn')
    assert spec.splits == {'val': FlightSplit(3, 2, 5)}
    assert (spec.detection_weight, spec.segmentation_weight) == (0.5, 3)


@pytest.mark.parametrize(('weight', 'expected'), [
    (None, (0, 1)), (3, (0, 3)), ({'segmentation': 3}, (0, 3)),
    ({'detection': 0.5, 'segmentation': 3}, (0.5, 3))])
def test_masks_as_background_are_drawn_for_detection_where_a_weight_says_so(
        load: Loader, weight: Any, expected: tuple[float, float]) -> None:
    content = changed('sets', 'masked', 'masks_as_background', value={'vehicle': ['bus', 'car']})
    if weight is not None:
        content['sets']['masked']['weight'] = weight
    spec = load(content).set_named('masked')
    assert spec.background == {2: (1, 0)}
    assert spec.complete == (0, 1) and spec.boxes is None
    assert (spec.detection_weight, spec.segmentation_weight) == expected


def test_pasted_classes(load: Loader) -> None:
    content = changed('sets', 'boxed', 'paste', value={'bus': 0.5, 'car': 1})
    assert load(content).set_named('boxed').paste == {1: 0.5, 0: 1}
    assert load(MANIFEST).set_named('boxed').paste == {}


def test_root_is_taken_from_argument_then_variable_then_file(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / 'm.yaml'
    path.write_text(yaml.safe_dump(MANIFEST))
    assert load_manifest(path).set_named('masked').path == tmp_path / 'sets' / 'masked'
    monkeypatch.setenv('MTL_DATA', '/elsewhere')
    assert load_manifest(path).set_named('masked').path == Path('/elsewhere/masked')
    assert load_manifest(path, '/given').set_named('masked').path == Path('/given/masked')


def test_unknown_set_lists_the_known(load: Loader) -> None:
    with pytest.raises(ConfigError, match=r"no data set 'x'; .* has boxed, masked, drawn"):
        load(MANIFEST).set_named('x')


@pytest.mark.parametrize(('content', 'problem'), [
    (changed('rooot', value='x'), 'rooot is not a known key'),
    (changed('root', value=3), 'root is of type str, not 3'),
    (changed('sets', value={}), 'sets names no data set'),
    (changed('sets', value=[]), r'sets is a mapping, not \[\]'),
    (changed('detection', 'names', value=['car', 'car']), 'detection is not a label set: .*twice'),
    (changed('detection', 'names', value=[]), 'detection is not a label set'),
    (changed('detection', 'nmaes', value=[]), 'detection.nmaes is not a known key'),
    (changed('detection', 'colors', value=[[1, 2, 3]]), 'detection is not a label set: 3 class'),
    (changed('detection', 'score_groups', 'car', value=['car']), 'score_groups.car has the name'),
    (changed('detection', 'score_groups', 'vehicle', value=['tank']),
     "detection.score_groups.vehicle names no class: 'tank'; the classes are car, bus, person"),
    (changed('detection', 'score_groups', 'vehicle', value=[]), 'vehicle names no class'),
    (changed('segmentation', 'weights', 'sea', value=2), "weights.sea names no class: 'sea'"),
    (changed('segmentation', 'weights', 'vehicle', value=0), 'weights.vehicle is a weight in'),
    (changed('segmentation', 'weights', 'vehicle', value=True), 'of type float, not True'),
    (changed('sets', 'a/b', value={'reader': 'voc'}), 'sets.a/b is not a valid name of a set'),
    (changed('sets', 'boxed', 'reader', value='txt'),
     "sets.boxed.reader is one of .*'voc', .* not 'txt'"),
    (changed('sets', 'boxed', 'lables', value={}), 'sets.boxed.lables is not a known key'),
    (changed('sets', 'boxed', 'reader', value='mask_folder'),
     "sets.boxed.boxes are not supported by the reader 'mask_folder', only by .*voc"),
    (changed('sets', 'boxed', 'colors', value={}),
     "boxed.colors are not supported by the reader 'voc', only by mask_folder"),
    (changed('sets', 'masked', 'colors', value={'odd': [0, 0, 0]}),
     'masked.colors must name the labels of `masks`, not car, ground'),
    (changed('sets', 'masked', 'colors', value={**COLORS, 'odd': [0, 256, 0]}), 'colors.odd is'),
    (changed('sets', 'masked', 'colors', value={**COLORS, 'odd': [1, 1, 1]}), 'another label has'),
    (changed('sets', 'drawn', 'crops', value={'side': 512}),
     "drawn.crops are not supported by the reader 'synthetic'"),
    (changed('sets', 'boxed', 'crops', value={'side': 8}), 'crops.side is a length in 32'),
    (changed('sets', 'boxed', 'crops', value={'side': 64, 'overlap': 33}), 'crops.overlap is a'),
    (changed('sets', 'boxed', 'splits', 'train', value=[]), 'splits.train is the name of a file'),
    (changed('sets', 'boxed', 'splits', 'train', value=['a', 1]), 'splits.train is the name of'),
    (changed('sets', 'boxed', 'splits', 'train', value={'list': 'a.txt'}), 'without is missing'),
    (changed('sets', 'boxed', value={
        'reader': 'coco', 'boxes': {'classes': {'a': 'car'}, 'complete': []},
        'options': {'background': 'x'}}), 'options.background names no label of `masks`'),
    (changed('sets', 'boxed', value={
        'reader': 'coco', 'boxes': {'classes': {'a': 'car'}, 'complete': []},
        'splits': {'train': ['a']}}), 'splits.train is the name of a file, not'),
    (changed('sets', 'masked', value={'reader': 'mask_folder'}), 'sets.masked needs `masks`'),
    (changed('sets', 'drawn', value={'reader': 'synthetic'}), 'sets.drawn.splits is missing'),
    (changed('sets', 'boxed', value={'reader': 'voc'}), 'boxed needs `boxes` or `masks`'),
    (changed('sets', 'boxed', value={}), 'sets.boxed.reader is missing'),
    (changed('sets', 'boxed', value=[]), r'sets.boxed is a mapping, not \[\]'),
    (changed('sets', 'boxed', 'reader', value=['voc']), r"boxed.reader is one of .*\['voc'\]"),
    (changed('sets', 'boxed', 'boxes', value=None), 'sets.boxed.boxes has no value; write one or'),
    (changed('sets', 'boxed', 'path', value=3), 'sets.boxed.path is of type str, not 3'),
    (changed('sets', 'boxed', 'boxes', value={'classes': {'a': 'car'}}),
     'sets.boxed.boxes.complete is missing'),
    (changed('sets', 'boxed', 'boxes', 'classes', value={}), 'classes maps no class'),
    (changed('sets', 'boxed', 'boxes', 'classes', 'auto', value='tank'),
     "sets.boxed.boxes.classes.auto names no class: 'tank'"),
    (changed('sets', 'boxed', 'boxes', 'classes', 'auto', value=['car']),
     r"boxes.classes.auto is of type str, not \['car'\]"),
    (changed('sets', 'boxed', 'boxes', 'complete', value='car'), 'is a list of class names'),
    (changed('sets', 'boxed', 'boxes', 'complete', value=['car', 'car']), 'names a class twice'),
    (changed('sets', 'boxed', 'boxes', 'by_length', 'x',
             value={'at_least': 9, 'class': 'bus'}), 'by_length.x is no source'),
    (changed('sets', 'boxed', 'boxes', 'by_length', 'auto', 'at_least', value=0), 'is a length'),
    (changed('sets', 'boxed', 'boxes_as_masks', 'person', value='vehicle'),
     'boxes_as_masks.person is not in `boxes.complete`, the classes .* labels exhaustively'),
    (changed('sets', 'boxed', 'boxes_as_masks', 'car', value='sea'), "names no class: 'sea'"),
    (changed('sets', 'masked', 'boxes_as_masks', value={}), 'boxes_as_masks needs boxes'),
    (changed('sets', 'masked', 'masks_as_background', value={'vehicle': 'car'}),
     "masks_as_background.vehicle is a list of class names, not 'car'"),
    (changed('sets', 'masked', 'masks_as_background', value={'vehicle': ['tank']}),
     "masked.masks_as_background.vehicle names no class: 'tank'"),
    (changed('sets', 'masked', 'masks_as_background', value={'sea': ['car']}),
     "masked.masks_as_background.sea names no class: 'sea'"),
    (changed('sets', 'masked', 'masks_as_background', value={'vehicle': []}),
     'masks_as_background.vehicle names no class$'),
    (changed('sets', 'masked', 'masks_as_background', value={}), 'background names no class$'),
    (changed('sets', 'masked', value={
        'reader': 'mask_folder', 'masks': {'ground': 'grass'},
        'masks_as_background': {'vehicle': ['car']}}),
     'masks_as_background.vehicle is the class of no label of `masks`'),
    (changed('sets', 'boxed', 'masks_as_background', value={'vehicle': ['car']}),
     'masks_as_background needs masks, a detection label set, and a set without boxes'),
    (changed('sets', 'masked', 'weight', value={'detection': 1, 'segmentation': 1}),
     'masked.weight.detection is not a known key'),
    (changed('sets', 'boxed', 'paste', value={'sea': 1}), "boxed.paste.sea names no class: 'sea'"),
    (changed('sets', 'boxed', 'paste', value={'person': 1}),
     'boxed.paste.person is not in `boxes.complete`, the classes .* labels exhaustively'),
    (changed('sets', 'boxed', 'paste', value={'car': 0}), 'paste.car is a mean number of objects'),
    (changed('sets', 'boxed', 'paste', value={'car': 11}), 'paste.car is a mean number of'),
    (changed('sets', 'masked', 'paste', value={'car': 1}), 'paste needs boxes, and a set without'),
    (changed('sets', 'drawn', 'paste', value={'car': 1}), 'paste needs boxes, and a set without'),
    (changed('sets', 'masked', 'masks', 'odd', value='grass'),
     'sets.masked.masks.odd shares the class grass with ground'),
    (changed('sets', 'masked', 'masks', 'odd', value=None), 'odd is a list of class names'),
    (changed('sets', 'masked', 'masks', value={'x': []}), 'maps no label to a class'),
    (changed('sets', 'masked', 'masks', value={}), 'maps 0 labels'),
    (changed('sets', 'boxed', 'splits', value={}), 'splits names no split'),
    (changed('sets', 'boxed', 'splits', 'train', value=1), 'splits.train is the name of a file'),
    (changed('sets', 'drawn', 'splits', 'val', 'frames', value=0),
     'splits.val.frames is at least 1, not 0'),
    (changed('sets', 'drawn', 'splits', 'val', 'x', value=0), 'splits.val.x is not a known key'),
    (changed('sets', 'drawn', 'splits', 'val', value='val.txt'), 'splits.val is a mapping'),
    (changed('sets', 'boxed', 'weight', value=-1), 'weight.detection is a weight in'),
    (changed('sets', 'boxed', 'weight', value='much'), 'weight.detection is of type float'),
    (changed('sets', 'boxed', 'weight', value={'detection': 1, 'segmentation': 1}),
     'weight.segmentation is not a known key'),
    (changed('sets', 'boxed', 'scale', value=[2, 1]), r'scale is \[low, high\]'),
    (changed('sets', 'boxed', 'scale', value=[1]), r'scale is \[low, high\]'),
    (changed('sets', 'boxed', 'scale', value=[float('nan'), 1]), r'scale is \[low, high\]'),
    (changed('sets', 'boxed', 'options', 'folder', value='x'), 'options.folder is not a known'),
    (changed('sets', 'boxed', 'options', 'one_based', value=1), 'one_based is of type bool'),
    ({**MANIFEST, 3: 4}, 'the file has the key 3, which is not text'),
    ('[1, 2]', r'the file is a mapping, not \[1, 2\]'),
    ('', 'the file is a mapping, not None'),
])
def test_invalid_value_names_file_and_key(
        load: Loader, tmp_path: Path, content: Any, problem: str) -> None:
    with pytest.raises(ConfigError, match=rf'^{tmp_path}/m.yaml: .*{problem}'):
        load(content)


@pytest.mark.parametrize(('content', 'problem'), [
    ('sets: {}\na: 1\na: 2\n', "line 3: key 'a' occurs twice"),
    ('sets: {a: 1\n', 'line 2: '),
    ('a: !!python/object/apply:os.getcwd []', 'line 1: could not determine a constructor'),
    ('a: "\x00"', 'line 1: has a zero byte'),
    ('a: 2020-13-45', 'is not YAML: month must be in 1..12'),
    ('a: !!int x', 'is not YAML'),
    ('a: !!float x', 'is not YAML'),
    ('a: !!timestamp x', 'is not YAML'),
])
def test_broken_yaml_names_file_and_line(
        load: Loader, tmp_path: Path, content: str, problem: str) -> None:
    with pytest.raises(DataError, match=rf'^{tmp_path}/m.yaml: {problem}'):
        load(content)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'x\.yaml: cannot be read: No such file'):
        load_manifest(tmp_path / 'x.yaml')


def test_huge_file_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / 'm.yaml'
    path.write_bytes(b'#' * ((1 << 20) + 1))
    with pytest.raises(DataError, match='has 1048577 bytes, above the limit of 1048576'):
        load_manifest(path)


def test_task_without_a_label_set(load: Loader) -> None:
    content = copy.deepcopy(MANIFEST)
    del content['segmentation']
    del content['sets']['boxed']['boxes_as_masks']
    with pytest.raises(ConfigError, match=r'masked\.masks need the label set `segmentation`'):
        load(content)
