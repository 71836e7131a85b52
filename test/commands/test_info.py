"""`mtl info` where torch is not installed; what it prints with torch is tested with the costs."""

import sys

import pytest

from mtl_perception.commands.info import describe
from mtl_perception.extras import remedy
from mtl_perception.labels import LabelSet
from mtl_perception.main import main
from mtl_perception.resources import model_path
from mtl_perception.spec import ModelSpec


def test_a_long_key_does_not_touch_its_value():
    spec = ModelSpec(detection=LabelSet.of('car'), provenance={'mtl_perception': '0.1.0'})
    assert describe(spec).splitlines()[-1] == 'mtl_perception 0.1.0'


def test_classes_with_oriented_boxes_and_their_pixels_are_listed():
    spec = ModelSpec(detection=LabelSet.of('car'), segmentation=LabelSet.of('vehicle'),
                     pixel_classes={'car': 'vehicle'})
    assert 'oriented      car (vehicle)' in describe(spec).splitlines()
    assert 'oriented' not in describe(spec.only({'detection'}))


@pytest.fixture
def without_torch(monkeypatch):
    for name in ('torch', 'mtl_perception.models.cost', 'mtl_perception.models.network'):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, 'torch', None)


def test_without_torch_it_says_what_the_model_is_and_what_costs_need(without_torch, capsys):
    assert main(['info', str(model_path())]) == 0
    said = capsys.readouterr()
    assert 'mobilenet_v2' in said.out and 'large_vehicle' in said.out
    assert said.out.endswith(
        f'\ncosts         not known: this needs the package torch: {remedy("torch")}\n')
    assert said.err == ''


def test_without_a_name_it_is_the_shipped_model(without_torch, capsys):
    assert main(['info', str(model_path())]) == 0
    named = capsys.readouterr().out
    assert main(['info']) == 0
    assert capsys.readouterr().out == named
