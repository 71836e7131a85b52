import json

import pytest

from mtl_perception.errors import ModelError
from mtl_perception.labels import LabelSet
from mtl_perception.spec import FORMAT, ModelSpec


def test_spec_round_trips_through_json():
    spec = ModelSpec(architecture='thesis', backbone='resnet50', detection=LabelSet.of('car'),
                     input_size=(300, 300), fcn_stride=8, provenance={'steps': '3'})
    assert ModelSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize('version, later', [
    (1, ('fcn_stride', 'fine_channels', 'fine_towers', 'towers', 'tower_channels')),
    (2, ('fine_channels', 'fine_towers', 'towers', 'tower_channels')), (3, ('pixel_classes',))])
def test_earlier_formats_are_loaded(version, later):
    values = json.loads(ModelSpec(detection=LabelSet.of('car')).to_json())
    assert values['format'] == FORMAT
    values['format'] = version
    for name in later:
        del values[name]
    assert ModelSpec.from_json(json.dumps(values)) == ModelSpec(detection=LabelSet.of('car'))


def test_later_format_is_rejected():
    values = json.loads(ModelSpec(detection=LabelSet.of('car')).to_json())
    values['format'] = FORMAT + 1
    with pytest.raises(ModelError, match='later version'):
        ModelSpec.from_json(json.dumps(values))


@pytest.mark.parametrize('name, value', [
    ('neck_channels', 12), ('fine_channels', -8), ('tower_channels', 1 << 20),
    ('fine_channels', '8'), ('towers', 'none'), ('fine_towers', 2), ('label_stride', 3)])
def test_invalid_options_are_named(name, value):
    with pytest.raises(ModelError, match=name):
        ModelSpec(detection=LabelSet.of('car'), **{name: value})


def test_classes_of_pixels_by_index_of_the_detection_class():
    spec = ModelSpec(detection=LabelSet.of('person', 'car'),
                     segmentation=LabelSet.of('road', 'vehicle'), pixel_classes={'car': 'vehicle'})
    assert ModelSpec.from_json(spec.to_json()) == spec
    assert spec.pixel_class_of_each() == [-1, 1]
    assert spec.only({'detection'}).pixel_class_of_each() == [-1, -1]
    assert spec.only({'segmentation'}).pixel_class_of_each() == []


@pytest.mark.parametrize('value', [{'bus': 'road'}, {'car': 'water'}, {'car': 1}, ['car'], 'car'])
def test_unknown_classes_of_pixels_are_rejected(value):
    text = ModelSpec(detection=LabelSet.of('car'), segmentation=LabelSet.of('road')).to_json()
    with pytest.raises(ModelError, match='pixel_classes'):
        ModelSpec.from_json(json.dumps({**json.loads(text), 'pixel_classes': value}))


@pytest.mark.parametrize('stride', [4, 64, -8])
def test_invalid_fcn_stride_is_rejected(stride):
    with pytest.raises(ModelError, match='fcn_stride'):
        ModelSpec(segmentation=LabelSet.of('road'), fcn_stride=stride)
