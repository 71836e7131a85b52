"""`mtl data check` as a command; what it finds is tested with the data sets."""

import sys

from mtl_perception.main import main

MANIFEST = """
detection: {names: [vehicle]}
sets:
  flights:
    reader: synthetic
    splits: {val: {first_seed: 1, flights: 1, frames: 2}}
    options: {width: 64, height: 48}
    boxes: {classes: {car: vehicle, large_vehicle: vehicle}, complete: [vehicle]}
"""


def test_missing_jinja_is_reported_before_images_are_read(tmp_path, monkeypatch, capsys):
    path = tmp_path / 'm.yaml'
    path.write_text(MANIFEST)
    monkeypatch.setitem(sys.modules, 'jinja2', None)
    monkeypatch.delitem(sys.modules, 'mtl_perception.data.check_page', raising=False)

    def read(*_arguments, **_options):
        raise AssertionError('images were read')

    monkeypatch.setattr('mtl_perception.commands.data.check', read)
    assert main(['data', 'check', str(path), '--output', str(tmp_path / 'out')]) == 1
    printed = capsys.readouterr()
    assert printed.out == '' and 'needs the package jinja2' in printed.err
    assert not (tmp_path / 'out').exists()


def test_check_prints_counts(tmp_path, capsys):
    path = tmp_path / 'm.yaml'
    path.write_text(MANIFEST)
    assert main(['data', 'check', str(path)]) == 0
    assert capsys.readouterr().out.startswith('flights val: 2 ')
