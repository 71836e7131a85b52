"""
Kinds of broken annotation, across the readers.

Each gives one line with the file and the reason, from reading, from `mtl data check` and, where
it is to be left out, from training's own way to open a set; the good image beside it stays.
"""

from collections.abc import Callable
import json
from pathlib import Path
import struct
from typing import Any
import zlib

import cv2
import numpy as np
import pytest
import yaml

from mtl_perception.data.broken import Broken
from mtl_perception.data.check import check
from mtl_perception.data.manifest import load_manifest
from mtl_perception.data.training_set import TrainingSamples
from mtl_perception.main import main

WIDTH, HEIGHT = 40, 30
BOXES = {'classes': {'car': 'car'}, 'complete': ['car']}
MASKS = {'road': 'road', 'grass': 'grass'}

VOC = """<annotation><size><width>40</width><height>30</height></size>
<object><name>car</name>
<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>11</xmax><ymax>22</ymax></bndbox></object>
</annotation>
"""
BOMB = """<!DOCTYPE lolz [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<annotation>&b;</annotation>
"""
COCO = {'images': [{'id': 1, 'file_name': 'bad.png', 'width': 40, 'height': 30},
                   {'id': 2, 'file_name': 'good.png', 'width': 40, 'height': 30}],
        'categories': [{'id': 1, 'name': 'car'}],
        'annotations': [{'id': k, 'image_id': k, 'category_id': 1, 'bbox': [1, 2, 10, 20]}
                        for k in (1, 2)]}
RLE = {'images': COCO['images'], 'categories': [{'id': 1, 'name': 'road'}],
       'annotations': [{'id': k, 'image_id': k, 'category_id': 1, 'segmentation':
                        {'size': [30, 40], 'counts': [100, 50, 1050]}} for k in (1, 2)]}
CVAT = """<annotations><version>1.1</version>
<image id="0" name="bad.png" width="40" height="30">
<box label="car" occluded="0" xtl="1.0" ytl="2.0" xbr="11.0" ybr="22.0" z_order="0"/></image>
<image id="1" name="good.png" width="40" height="30"></image>
</annotations>
"""


@pytest.fixture(autouse=True)
def relative_paths(monkeypatch):
    """Have the manifests' own paths count, not the user's folder of data sets."""
    monkeypatch.delenv('MTL_DATA', raising=False)


def plain_image() -> np.ndarray:
    return np.full((HEIGHT, WIDTH, 3), 77, np.uint8)


def huge_png(side: int) -> bytes:
    """Return a small PNG file whose header gives `side` x `side` pixels."""
    content = cv2.imencode('.png', plain_image())[1].tobytes()
    header = b'IHDR' + struct.pack('>II', side, side) + content[24:29]
    return content[:12] + header + struct.pack('>I', zlib.crc32(header)) + content[33:]


def lay_out(folder: Path, reader: str) -> dict[str, Any]:
    """Write a set of an image to be spoilt and a good one; return its manifest entry."""
    entry: dict[str, Any] = {'reader': reader, 'splits': {'train': 'train.txt'}}
    (folder / 'images').mkdir(parents=True)
    for stem in ('bad', 'good'):
        cv2.imwrite(str(folder / 'images' / f'{stem}.png'), plain_image())
    (folder / 'train.txt').write_text('bad\ngood\n')
    if reader == 'mask_folder':
        (folder / 'masks').mkdir()
        for stem in ('bad', 'good'):
            cv2.imwrite(str(folder / 'masks' / f'{stem}.png'), np.ones((HEIGHT, WIDTH), np.uint8))
        return {**entry, 'masks': MASKS}
    entry['boxes'] = BOXES
    if reader in ('coco', 'cvat'):
        suffix = 'json' if reader == 'coco' else 'xml'
        entry['splits'] = {'train': f'train.{suffix}'}
        (folder / f'train.{suffix}').write_text(json.dumps(COCO) if reader == 'coco' else CVAT)
        return entry
    if reader == 'yolo':
        (folder / 'classes.txt').write_text('car\n')
    folders = {'voc': 'annotations', 'yolo': 'labels', 'visdrone': 'annotations',
               'dota': 'labelTxt'}
    texts = {'voc': VOC, 'yolo': '0 0.5 0.5 0.2 0.2\n', 'visdrone': '1,2,10,20,1,4,0,0\n',
             'dota': '1 2 11 2 11 22 1 22 car 0\n'}
    (folder / folders[reader]).mkdir()
    for stem in ('bad', 'good'):
        suffix = 'xml' if reader == 'voc' else 'txt'
        (folder / folders[reader] / f'{stem}.{suffix}').write_text(texts[reader])
    return entry


def text(path: str, content: str) -> Callable[[Path, dict[str, Any]], None]:
    """Return a spoiler that writes `content` to `path` of the set."""
    def spoil(folder: Path, _: dict[str, Any]) -> None:
        (folder / path).write_text(content)
    return spoil


def coco(change: Callable[[dict[str, Any]], Any],
         base: dict[str, Any] = COCO) -> Callable[[Path, dict[str, Any]], None]:
    """Return a spoiler that changes the JSON file."""
    def spoil(folder: Path, entry: dict[str, Any]) -> None:
        root = json.loads(json.dumps(base))
        change(root)
        (folder / 'train.json').write_text(json.dumps(root))
        if base is RLE:
            del entry['boxes']
            entry['masks'] = MASKS
    return spoil


def image(content: bytes) -> Callable[[Path, dict[str, Any]], None]:
    return lambda folder, _: (folder / 'images' / 'bad.png').write_bytes(content) and None


def mask(pixels: np.ndarray) -> Callable[[Path, dict[str, Any]], None]:
    return lambda folder, _: cv2.imwrite(str(folder / 'masks' / 'bad.png'), pixels) and None


def second_image(folder: Path, entry: dict[str, Any]) -> None:
    """Give two files one stem, in a split that is a folder."""
    entry['splits'] = {'train': 'images'}
    (folder / 'images' / 'good.png').rename(folder / 'images' / 'bad.jpg')


def colored(folder: Path, entry: dict[str, Any]) -> None:
    entry['colors'] = {'road': [0, 0, 0], 'grass': [0, 200, 0]}
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    cv2.imwrite(str(folder / 'masks' / 'good.png'), pixels)
    pixels[3, 5] = 255
    cv2.imwrite(str(folder / 'masks' / 'bad.png'), pixels)


Spoiler = Callable[[Path, dict[str, Any]], None]
XML = 'annotations/bad.xml'
# What is broken, the reader, how it is done, and the pattern of the line: file and reason.
KINDS: list[tuple[str, str, Spoiler, str]] = [
    ('empty XML', 'voc', text(XML, ''), r'bad\.xml: line 1: is not XML: no element found'),
    ('not XML', 'voc', text(XML, '{}'), r'bad\.xml: line 1: is not XML'),
    ('cut off XML', 'voc', text(XML, VOC[:-30]), r'bad\.xml: line \d: is not XML'),
    ('entity bomb', 'voc', text(XML, BOMB), r'bad\.xml: line 1: has a DOCTYPE'),
    ('deep XML', 'voc', text(XML, '<a>' * 999), r'bad\.xml: line 1: is not XML: .*depth'),
    ('other XML', 'voc', text(XML, '<svg/>'),
     r'bad\.xml: line 1: the root is <svg>, not <annotation>'),
    ('wrong class', 'voc', text(XML, VOC.replace('car', 'tank')),
     r"bad\.xml: line 2: class 'tank' has no mapping"),
    ('no class', 'voc', text(XML, VOC.replace('<name>car</name>', '')),
     r'bad\.xml: line 2: <object> has 0 <name>'),
    ('NaN', 'voc', text(XML, VOC.replace('>11<', '>nan<')), r"bad\.xml: .*<xmax> is 'nan'"),
    ('outside the image', 'voc', text(XML, VOC.replace('>11<', '>99<')),
     r'bad\.xml: line 2: box .* outside the image of 40x30'),
    ('another size', 'voc', text(XML, VOC.replace('>40<', '>80<')),
     r'bad\.xml: line 1: annotates an image of 80x30'),
    ('no annotation', 'voc', lambda folder, _: (folder / XML).unlink(),
     r'bad\.xml: cannot be read: No such file'),
    ('name twice in a list', 'voc', text('train.txt', 'good\ngood\n'),
     r'train\.txt: line 2: good is listed on line 1 already'),
    ('path out of the root', 'voc', text('train.txt', '../../etc/passwd\ngood\n'),
     r"train\.txt: line 1: '../../etc/passwd' is not a name inside"),
    ('no such image', 'voc', text('train.txt', 'gone\ngood\n'),
     r'gone\.jpg: no such image.*train\.txt: line 1 names it'),
    ('100,000 x 100,000 header', 'voc', image(huge_png(100_000)), r'bad\.png: its header gives'),
    ('cut off image', 'voc', image(cv2.imencode('.png', plain_image())[1].tobytes()[:60]),
     r'bad\.png: is damaged or truncated'),
    ('empty image', 'voc', image(b''), r'bad\.png: is not a JPEG, PNG'),
    ('binary labels', 'yolo', lambda folder, _: (
        folder / 'labels/bad.txt').write_bytes(b'\xff\xd8') and None,
     r'bad\.txt: line 1: is not UTF-8'),
    ('UTF-16 without a mark', 'yolo', text('labels/bad.txt', '0\0 \0'),
     r'bad\.txt: line 1: has a zero byte'),
    ('infinite size', 'yolo', text('labels/bad.txt', '0 0.5 0.5 inf 0.2'),
     r'bad\.txt: line 1: box .* is not finite'),
    ('pixels for fractions', 'yolo', text('labels/bad.txt', '0 20 15 8 6'),
     r'bad\.txt: line 1: box .* lies outside'),
    ('class index', 'yolo', text('labels/bad.txt', '7 0.5 0.5 0.2 0.2'),
     r'bad\.txt: line 1: class index 7 is not in 0\.\.0'),
    ('words for numbers', 'yolo', text('labels/bad.txt', '0 a b c d'),
     r"bad\.txt: line 1: '0 a b c d' is not a class index"),
    ('short line', 'visdrone', text('annotations/bad.txt', '1,2,10\n'),
     r"bad\.txt: line 1: '1,2,10' is not left, top"),
    ('category', 'visdrone', text('annotations/bad.txt', '1,2,10,20,1,12,0,0\n'),
     r'bad\.txt: line 1: category 12 is not in 0\.\.11'),
    ('stem twice in a folder', 'visdrone', second_image,
     r'bad\.png: has the name of bad\.jpg; remove one'),
    ('seven corners', 'dota', text('labelTxt/bad.txt', '1 2 11 2 11 22 1 car 0\n'),
     r'bad\.txt: line 1: .* is not x1 y1'),
    ('far outside', 'dota', text('labelTxt/bad.txt', '91 2 99 2 99 9 91 9 car 0\n'),
     r'bad\.txt: line 1: box .* lies outside the image'),
    ('unknown category', 'coco', coco(lambda r: r['annotations'][0].update(category_id=9)),
     r'train\.json: annotation 1: category_id 9 is not in `categories`'),
    ('bbox of three', 'coco', coco(lambda r: r['annotations'][0].update(bbox=[1, 2, 3])),
     r'train\.json: annotation 1: bbox'),
    ('id twice', 'coco', coco(lambda r: (r['images'][0].update(id=2), r['annotations'].pop(0))),
     r'train\.json: images\[1\]: id 2 occurs twice'),
    ('file name twice', 'coco', coco(lambda r: (r['images'][0].update(file_name='good.png'),
                                                r['annotations'].clear())),
     r'train\.json: images\[1\]: good\.png occurs twice'),
    ('absolute path', 'coco', coco(lambda r: (r['images'][0].update(file_name='/etc/passwd'),
                                              r['annotations'].pop(0))),
     r"train\.json: images\[0\]: '/etc/passwd' is not a name inside"),
    ('runs that overrun', 'coco', coco(
        lambda r: r['annotations'][0]['segmentation'].update(counts=[100, 50, 10 ** 12]), RLE),
     r'train\.json: annotation 1: its runs cover 1000000000150 pixels, not the 1200'),
    ('compressed runs that overrun', 'coco', coco(
        lambda r: r['annotations'][0]['segmentation'].update(counts='PPPPPP0'), RLE),
     r'train\.json: annotation 1: '),
    ('negative run', 'coco', coco(
        lambda r: r['annotations'][0]['segmentation'].update(counts=[-5, 5, 1200]), RLE),
     r'train\.json: annotation 1: a run has -5 pixels'),
    ('run lengths of another size', 'coco', coco(
        lambda r: r['annotations'][0]['segmentation'].update(size=[40, 30]), RLE),
     r'train\.json: annotation 1: run lengths of a mask of \[40, 30\]'),
    ('polygon of two points', 'coco', coco(
        lambda r: r['annotations'][0].update(segmentation=[[1, 2, 3, 4]]), RLE),
     r'train\.json: annotation 1: a polygon has 2 points'),
    ('CVAT box without a label', 'cvat', text('train.xml', CVAT.replace('label="car" ', '')),
     r'train\.xml: line 3: <box> has no label'),
    ('CVAT size', 'cvat', text('train.xml', CVAT.replace('width="40"', 'width="41"', 1)),
     r'train\.xml: line 2: lists bad\.png with 41x30'),
    ('mask of another size', 'mask_folder', mask(np.ones((HEIGHT, WIDTH + 1), np.uint8)),
     r'bad\.png: has 41x30 pixels, but its image 40x30'),
    ('mask value', 'mask_folder', mask(np.full((HEIGHT, WIDTH), 9, np.uint8)),
     r'bad\.png: value 9 at x 0, y 0 has no class'),
    ('mask of 16 bits', 'mask_folder', mask(np.ones((HEIGHT, WIDTH), np.uint16)),
     r'bad\.png: has colours, alpha or more than 8 bits'),
    ('mask colour', 'mask_folder', colored, r'bad\.png: colour \[255, 255, 255\] at x 5, y 3'),
]
# What breaks a whole split: nothing of it is left.
WHOLE: list[tuple[str, str, Spoiler, str]] = [
    ('empty JSON', 'coco', text('train.json', ' '), r'train\.json: line 1: is not JSON'),
    ('nested JSON', 'coco', text('train.json', '[' * 100_000), r'train\.json: is not JSON'),
    ('JSON of another kind', 'coco', text('train.json', '[]'), r'train\.json: has no list'),
    ('entity bomb in CVAT', 'cvat', text('train.xml', BOMB), r'train\.xml: line 1: has a DOCTYPE'),
    ('empty list', 'voc', text('train.txt', '\n'), r'train\.txt: lists no image'),
]


@pytest.fixture
def spoil(tmp_path: Path) -> Callable[[str, Spoiler], Path]:
    """Return a function that writes a spoilt set and returns its manifest."""
    def spoil_it(reader: str, spoiler: Spoiler) -> Path:
        entry = lay_out(tmp_path / 'set', reader)
        spoiler(tmp_path / 'set', entry)
        manifest = {'root': '.', 'detection': {'names': ['car']},
                    'segmentation': {'names': ['road', 'grass']}, 'sets': {'set': entry}}
        path = tmp_path / 'manifest.yaml'
        path.write_text(yaml.safe_dump(manifest, sort_keys=False))
        return path
    return spoil_it


def test_kinds_of_broken_entries_are_thirty_and_distinct() -> None:
    assert len({name for name, *_ in (*KINDS, *WHOLE)}) == len(KINDS) + len(WHOLE) >= 30


@pytest.mark.parametrize(('reader', 'spoiler', 'line'), [
    pytest.param(*kind[1:], id=kind[0]) for kind in KINDS])
def test_broken_entry_is_one_line_and_is_skipped(
        spoil: Callable[[str, Spoiler], Path], reader: str, spoiler: Spoiler, line: str) -> None:
    manifest = load_manifest(spoil(reader, spoiler))
    report, = check(manifest).splits
    broken, = report.broken
    assert '\n' not in broken.reason
    with pytest.raises(AssertionError, match=line):
        raise AssertionError(broken.reason)
    assert report.images == 1

    skipped: list[Broken] = []
    samples = TrainingSamples(manifest, 'train', 1 << 20, skip=skipped.append)
    assert samples.sizes == [1]
    assert samples.read(0, 0).image.shape == (HEIGHT, WIDTH, 3)
    assert skipped == [broken]


@pytest.mark.parametrize(('reader', 'spoiler', 'line'), [
    pytest.param(*kind[1:], id=kind[0]) for kind in WHOLE])
def test_broken_split_is_one_line(
        spoil: Callable[[str, Spoiler], Path], reader: str, spoiler: Spoiler, line: str) -> None:
    manifest = load_manifest(spoil(reader, spoiler))
    report, = check(manifest).splits
    broken, = report.broken
    with pytest.raises(AssertionError, match=line):
        raise AssertionError(broken.reason)
    assert report.images == 0
    skipped: list[Broken] = []
    assert TrainingSamples(manifest, 'train', 1 << 20, skip=skipped.append).sizes == [0]
    assert skipped == [broken]


def test_command_lists_all_broken_entries_and_fails_without_skip_bad(
        spoil: Callable[[str, Spoiler], Path], tmp_path: Path,
        capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip('jinja2')

    def both(folder: Path, _: dict[str, Any]) -> None:
        (folder / 'train.txt').write_text('gone\nbad\ngood\n')
        (folder / XML).write_text('')
    path = spoil('voc', both)
    command = ['data', 'check', str(path), '--output', str(tmp_path / 'out')]
    assert main(command) == 1
    printed = capsys.readouterr()
    lines = [text for text in printed.err.splitlines() if text.startswith('broken: ')]
    assert len(lines) == 2 and 'gone.jpg' in lines[0] and 'bad.xml' in lines[1]
    assert printed.err.splitlines()[-1].startswith('mtl: error: ') and '2 broken' in printed.err
    assert 'set train: 1 images, 40x30, 2 broken' in printed.out
    page = (tmp_path / 'out' / 'check.html').read_text()
    assert 'bad.xml' in page and page.count('data:image/jpeg;base64,') == 1
    assert 'http' not in page.replace('http-equiv', '')
    numbers = json.loads((tmp_path / 'out' / 'check.json').read_text())
    assert numbers['splits'][0]['boxes']['car']['count'] == 1
    assert len(numbers['splits'][0]['broken']) == 2

    assert main([*command, '--skip-bad']) == 0
    assert '2 broken, skipped' in capsys.readouterr().out
