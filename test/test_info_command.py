"""`mtl info` where torch is not installed; what it prints with torch is tested with the costs."""

import sys

from mtl_perception.extras import remedy
from mtl_perception.info_command import describe
from mtl_perception.labels import LabelSet
from mtl_perception.main import main
from mtl_perception.resources import model_path
from mtl_perception.spec import ModelSpec


def test_a_long_key_does_not_touch_its_value():
    spec = ModelSpec(detection=LabelSet.of('car'), provenance={'mtl_perception': '0.1.0'})
    assert describe(spec).splitlines()[-1] == 'mtl_perception 0.1.0'


def test_without_torch_it_says_what_the_model_is_and_what_is_missing(monkeypatch, capsys):
    for name in ('torch', 'mtl_perception.models.cost', 'mtl_perception.models.network'):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, 'torch', None)
    assert main(['info', str(model_path())]) == 1
    said = capsys.readouterr()
    assert 'mobilenet_v2' in said.out and 'large_vehicle' in said.out
    assert said.err == f'mtl: error: this needs the package torch: {remedy("torch")}\n'
