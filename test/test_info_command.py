"""`mtl info` where torch is not installed; what it prints with torch is tested with the costs."""

import sys

from mtl_perception.main import main
from mtl_perception.resources import model_path


def test_without_torch_it_says_what_the_model_is_and_what_is_missing(monkeypatch, capsys):
    for name in ('torch', 'mtl_perception.models.cost', 'mtl_perception.models.network'):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, 'torch', None)
    assert main(['info', str(model_path())]) == 1
    said = capsys.readouterr()
    assert 'mobilenet_v2' in said.out and 'large_vehicle' in said.out
    assert said.err == ('mtl: error: this needs the package torch; `make setup-train` installs '
                        'it\n')
