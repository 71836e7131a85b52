"""A reader is one class that declares itself; nothing else needs to know of it."""

from collections.abc import Callable, Sequence
import importlib.util
from pathlib import Path
import sys
from types import ModuleType
from typing import Any

import pytest
import yaml

from mtl_perception.data.manifest import load_manifest
from mtl_perception.data.readers import DataSet, open_set, register_reader
from mtl_perception.data.readers.registry import all_readers, reader_named, ReaderOptions
from mtl_perception.data.samples import Sample
from mtl_perception.data.set_spec import SetSpec
from mtl_perception.errors import ConfigError

READERS = ['bag', 'coco', 'cvat', 'dota', 'mask_folder', 'synthetic', 'uavdt', 'visdrone', 'voc',
           'yolo']
BOXES = {'classes': {'dot': 'car'}, 'complete': ['car']}

DOTS = '''
from mtl_perception.data.readers.boxes import BoxList
from mtl_perception.data.readers.registry import ReaderOptions, register_reader
from mtl_perception.data.samples import Sample
from mtl_perception.files import read_text
from mtl_perception.images.reading import read_image


class DotsOptions(ReaderOptions):
    size: float = 4.0
    suffix: str = '.dots'


@register_reader('dots', DotsOptions, boxes=True, default_splits={'all': 'images.txt'})
class DotsSet:
    """Images with a text file of x and y of objects of one size."""

    def __init__(self, spec):
        self.spec = spec
        self.options = DotsOptions.of(spec)

    def stems(self, split):
        return read_text(self.spec.path / self.spec.splits[split]).split()

    def read(self, split, index):
        path = self.spec.path / self.stems(split)[index]
        image = read_image(path.with_suffix('.png'))
        boxes = BoxList(self.spec.boxes, image.shape[1], image.shape[0])
        half = self.options.size / 2
        for line in read_text(path.with_suffix(self.options.suffix)).splitlines():
            x, y = map(float, line.split())
            boxes.add('dot', (x - half, y - half, x + half, y + half), str(path))
        return Sample(f'{self.spec.name}/{path.stem}', image, boxes.truth(), None)
'''


def import_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def open_dots(tree: Path, tmp_path: Path) -> Callable[..., DataSet]:
    """Register the reader of `DOTS` from a file of its own; open a set with it."""
    (tmp_path / 'dots_reader.py').write_text(DOTS)
    import_file(tmp_path / 'dots_reader.py')
    (tree / 'images.txt').write_text('images/a\n')
    (tree / 'images' / 'a.dots').write_text('10 20\n30 5\n')

    def open_it(**entry: Any) -> DataSet:
        path = tmp_path / 'manifest.yaml'
        path.write_text(yaml.safe_dump({'detection': {'names': ['car']}, 'sets': {
            'set': {'reader': 'dots', 'boxes': BOXES, **entry}}}))
        manifest = load_manifest(path, tmp_path)
        return open_set(manifest.sets[0], manifest)
    return open_it


def test_modules_of_the_package_are_found() -> None:
    assert [reader.name for reader in all_readers() if reader.open.__module__.startswith(
        'mtl_perception.')] == READERS
    voc = reader_named('voc')
    assert (voc.boxes, voc.masks, voc.colors, voc.on_disk) == (True, True, False, True)
    assert voc.default_splits == {'train': 'train.txt', 'val': 'val.txt'}


def test_documentation_has_every_reader_with_its_options() -> None:
    rows = (Path(__file__).parents[3] / 'docs' / 'data.md').read_text('utf-8').splitlines()
    for reader in all_readers():
        if not reader.open.__module__.startswith('mtl_perception.'):
            continue
        row, = (row for row in rows if row.startswith(f'| `{reader.name}` |'))
        _, _, boxes, masks, _, options, _ = row.split('|')
        assert (bool(boxes.strip()), bool(masks.strip())) == (reader.boxes, reader.masks)
        assert all(f'`{name}`' in options for name in reader.options.model_fields)


def test_reader_from_another_file_reads_a_set(open_dots: Callable[..., DataSet]) -> None:
    data = open_dots()
    assert data.spec.splits == {'all': 'images.txt'}
    assert data.spec.options.model_dump() == {'size': 4.0, 'suffix': '.dots'}
    sample = data.read('all', 0)
    assert sample.image.shape == (30, 40, 3)
    assert sample.boxes is not None
    assert sample.boxes.boxes.tolist() == [[8, 18, 12, 22], [28, 3, 32, 7]]
    larger = open_dots(options={'size': 6}).read('all', 0)
    assert larger.boxes is not None
    assert larger.boxes.boxes[0].tolist() == [7, 17, 13, 23]


@pytest.mark.parametrize(('entry', 'problem'), [
    ({'options': {'size': 'large'}}, r"line \d+: sets.set.options.size is of type float, not 'la"),
    ({'options': {'colour': 1}}, r'line \d+: sets.set.options.colour is not a known key'),
    ({'masks': {'a': 'car'}},
     r"line \d+: sets.set.masks are not supported by the reader 'dots', only by bag, .*voc"),
    ({'splits': {'all': 3}}, r'line \d+: sets.set.splits.all is the name of a file or folder'),
    ({'reader': 'dot'}, r"line \d+: sets.set.reader is one of .*'dots'.*, not 'dot'"),
])
def test_invalid_set_of_a_registered_reader_is_named(
        open_dots: Callable[..., DataSet], entry: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        open_dots(**entry)


def test_missing_required_option_is_named(tmp_path: Path) -> None:
    class Options(ReaderOptions):
        address: str

    @register_reader('required_option', Options, boxes=True, on_disk=False)
    class Empty:
        def __init__(self, spec: SetSpec) -> None:
            self.spec = spec

        def stems(self, split: str) -> Sequence[str]:
            return []

        def read(self, split: str, index: int) -> Sample:
            raise IndexError(index)

    path = tmp_path / 'manifest.yaml'
    entry = {'reader': 'required_option', 'boxes': BOXES, 'options': {'address': 'here'}}
    content = {'detection': {'names': ['car']}, 'sets': {'set': entry}}
    path.write_text(yaml.safe_dump(content))
    manifest = load_manifest(path)
    # Without a folder on disk.
    assert isinstance(open_set(manifest.sets[0], manifest), Empty)
    del entry['options']
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match=r'sets\.set\.options is missing'):
        load_manifest(path)


def test_name_of_another_reader_is_rejected() -> None:
    class Options(ReaderOptions):
        pass

    all_readers()
    with pytest.raises(ValueError, match=r"'voc' is .*voc\.VocSet already"):
        register_reader('voc', Options)(lambda spec: None)  # type: ignore[arg-type,return-value]
