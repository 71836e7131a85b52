from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mtl_perception.data.readers import DataSet
from mtl_perception.errors import ConfigError, DataError

OBJECT = """  <object>
    <name>auto</name>
    <difficult>0</difficult>
    <bndbox><xmin>1</xmin><ymin>2</ymin><xmax>11</xmax><ymax>30</ymax></bndbox>
  </object>
"""
FILE = f"""<annotation>
  <size><width>40</width><height>30</height></size>
{OBJECT}</annotation>
"""
ENTRY: dict[str, Any] = {
    'reader': 'voc', 'boxes': {'classes': {'auto': 'car'}, 'complete': ['car']}}

Opener = Callable[..., DataSet]


@pytest.fixture
def annotation(tree: Path) -> Path:
    (tree / 'annotations').mkdir()
    path = tree / 'annotations' / 'a.xml'
    path.write_text(FILE)
    return path


def test_reads_image_and_boxes(annotation: Path, open_tree: Opener) -> None:
    data = open_tree(**ENTRY)
    assert list(data.stems('train')) == ['a']
    sample = data.read('train', 0)
    assert sample.name == 'set/a'
    assert sample.image.shape == (30, 40, 3)
    assert sample.image[0, 0].tolist() == [200, 0, 0]
    assert sample.mask is None
    assert sample.boxes is not None
    assert sample.boxes.boxes.tolist() == [[1, 2, 11, 30]]
    assert sample.boxes.classes.tolist() == [0]


def test_coordinates_from_one(annotation: Path, open_tree: Opener) -> None:
    sample = open_tree(**ENTRY, options={'one_based': True}).read('val', 0)
    assert sample.boxes is not None
    assert sample.boxes.boxes.tolist() == [[0, 1, 11, 30]]


def test_difficult_object_is_an_ignore_region(annotation: Path, open_tree: Opener) -> None:
    annotation.write_text(FILE.replace('<difficult>0', '<difficult>1'))
    sample = open_tree(**ENTRY).read('val', 0)
    assert sample.boxes is not None
    assert sample.boxes.boxes.shape == (0, 4)
    assert sample.boxes.ignore.tolist() == [[1, 2, 11, 30]]


def test_size_zero_is_a_size_not_known(annotation: Path, open_tree: Opener) -> None:
    annotation.write_text(FILE.replace('>40<', '>0<').replace('<height>30', '<height>0'))
    assert open_tree(**ENTRY).read('val', 0).boxes is not None


@pytest.mark.parametrize(('text', 'problem'), [
    (FILE.replace('auto', 'tank'), "line 3: class 'tank' has no mapping"),
    (FILE.replace('>11<', '>43<'), 'line 3: box 1, 2, 43, 30 .* outside the image of 40x30'),
    (FILE.replace('>11<', '>x<'), "line 6: <xmax> is 'x', not a number"),
    (FILE.replace('>11<', '>1e999<'), "line 6: <xmax> is '1e999', not a number"),
    (FILE.replace('>40<', '>nan<'), "line 2: <width> is 'nan', not a number"),
    (FILE.replace('>40<', '>41<'),
     'line 2: annotates an image of 41x30 pixels, but it has 40x30'),
    (FILE.replace('<name>auto</name>', ''), 'line 3: <object> has 0 <name> elements'),
    (FILE.replace('<ymin>2</ymin>', ''), 'line 6: <bndbox> has 0 <ymin> elements'),
    (FILE[:-20], r'line \d+: is not XML'),
    ('', 'line 1: is not XML: no element found'),
    ('<svg/>', 'line 1: the root is <svg>, not <annotation>'),
    ('<!DOCTYPE a [<!ENTITY b "c">]>\n' + FILE, 'line 1: has a DOCTYPE'),
    ('<a>' * 300, 'line 1: is not XML: .*depth'),
])
def test_broken_annotation_names_file_and_line(
        annotation: Path, open_tree: Opener, text: str, problem: str) -> None:
    annotation.write_text(text)
    with pytest.raises(DataError, match=rf'^{annotation}: {problem}'):
        open_tree(**ENTRY).read('train', 0)


def test_missing_annotation(annotation: Path, open_tree: Opener) -> None:
    annotation.unlink()
    with pytest.raises(DataError, match=rf'^{annotation}: cannot be read: No such file'):
        open_tree(**ENTRY).read('train', 0)


def test_missing_split(annotation: Path, open_tree: Opener) -> None:
    with pytest.raises(ConfigError, match="set has no split 'test'; it has train, val"):
        open_tree(**ENTRY).stems('test')


def test_missing_list(annotation: Path, tree: Path, open_tree: Opener) -> None:
    (tree / 'val.txt').unlink()
    with pytest.raises(DataError, match=rf'^{tree}/val.txt: cannot be read'):
        open_tree(**ENTRY).stems('val')


def test_missing_folder_says_how_to_name_it(open_tree: Opener) -> None:
    with pytest.raises(DataError, match=r'set: no such folder, .* with --data or .MTL_DATA'):
        open_tree(**ENTRY)


def test_list_that_leads_out_of_the_set(annotation: Path, tree: Path, open_tree: Opener) -> None:
    (tree / 'val.txt').write_text('../../secret\n')
    with pytest.raises(DataError, match=r"val.txt: line 1: '../../secret' is not a name inside"):
        open_tree(**ENTRY).read('val', 0)


def test_rotated_box_becomes_its_upright_hull(annotation: Path, open_tree: Opener) -> None:
    before, _, rest = FILE.partition('<bndbox>')
    after = rest.partition('</bndbox>')[2]
    annotation.write_text(f'{before}<robndbox><cx>20</cx><cy>15</cy><w>16</w><h>4</h>'
                          f'<angle>1.5707963267948966</angle></robndbox>{after}')
    boxes = open_tree(**ENTRY).read('val', 0).boxes
    assert boxes is not None and boxes.counts.rotated == 1
    assert boxes.boxes.tolist()[0] == [18, 7, 22, 23]


@pytest.mark.parametrize(('mark', 'count'), [('1', 1), ('true', 1), ('0', 0), ('Unspecified', 0)])
def test_difficult_flag(annotation: Path, open_tree: Opener, mark: str, count: int) -> None:
    annotation.write_text(FILE.replace(
        '<bndbox>', f'<difficult>{mark}</difficult><bndbox>', 1))
    boxes = open_tree(**ENTRY).read('val', 0).boxes
    assert boxes is not None and boxes.counts.difficult == count


@pytest.mark.parametrize(('value', 'box'), [
    ('90', [0, 11, 20, 21]), ('0.0', [1, 2, 11, 30]), ('left', [1, 2, 11, 30])])
def test_box_turned_in_cvat(annotation: Path, open_tree: Opener, value: str,
                            box: list[float]) -> None:
    annotation.write_text(FILE.replace(
        '</bndbox>', '</bndbox><attributes><attribute><name>rotation</name>'
        f'<value>{value}</value></attribute></attributes>', 1))
    boxes = open_tree(**ENTRY).read('val', 0).boxes
    assert boxes is not None and boxes.boxes.tolist() == [box]
