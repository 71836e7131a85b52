"""What the readers drop: each drops it alike, keeps the image, and counts it in a check."""

from collections.abc import Callable
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from mtl_perception.data.box_counts import BoxCounts
from mtl_perception.data.check import check
from mtl_perception.data.check_page import render_page
from mtl_perception.data.manifest import load_manifest

WIDTH, HEIGHT = 40, 30
SPOILT = ((1, 2, 10, 20), (1, 2, 10, 20), (5, 6, 0, 7), (5, 6, 7, 0), (9, 9, -3, 4),
          (40, 5, 1, 9), (20, 3, 8, 8))
"""Left, top, width and height: a box twice, without area, at the edge, and a good one."""

COUNTS = BoxCounts(listed=7, duplicate=1, no_area=3, outside=1)
KEPT = [[1, 2, 11, 22], [20, 3, 28, 11]]


def voc(folder: Path) -> dict[str, Any]:
    (folder / 'annotations').mkdir()
    (folder / 'annotations' / 'a.xml').write_text('<annotation>' + ''.join(
        f'<object><name>car</name><bndbox><xmin>{x}</xmin><ymin>{y}</ymin><xmax>{x + w}</xmax>'
        f'<ymax>{y + h}</ymax></bndbox></object>' for x, y, w, h in SPOILT) + '</annotation>')
    return {}


def coco(folder: Path) -> dict[str, Any]:
    (folder / 'val.json').write_text(json.dumps({
        'images': [{'id': 1, 'file_name': 'a.png', 'width': WIDTH, 'height': HEIGHT}],
        'categories': [{'id': 1, 'name': 'car'}],
        'annotations': [{'id': k, 'image_id': 1, 'category_id': 1, 'bbox': box}
                        for k, box in enumerate(SPOILT)]}))
    return {'splits': {'val': 'val.json'}}


def cvat(folder: Path) -> dict[str, Any]:
    (folder / 'val.xml').write_text(
        f'<annotations><image name="a.png" width="{WIDTH}" height="{HEIGHT}">' + ''.join(
            f'<box label="car" xtl="{x}" ytl="{y}" xbr="{x + w}" ybr="{y + h}"/>'
            for x, y, w, h in SPOILT) + '</image></annotations>')
    return {'splits': {'val': 'val.xml'}}


def yolo(folder: Path) -> dict[str, Any]:
    (folder / 'classes.txt').write_text('car\n')
    lines('labels', folder, [
        f'0 {(x + w / 2) / WIDTH!r} {(y + h / 2) / HEIGHT!r} {w / WIDTH!r} {h / HEIGHT!r}'
        for x, y, w, h in SPOILT])
    return {}


def visdrone(folder: Path) -> dict[str, Any]:
    lines('annotations', folder, [f'{x},{y},{w},{h},1,4,0,0' for x, y, w, h in SPOILT])
    return {}


def dota(folder: Path) -> dict[str, Any]:
    lines('labelTxt', folder, [
        f'{x} {y} {x + w} {y} {x + w} {y + h} {x} {y + h} car 0'
        for x, y, w, h in ((x, y, max(w, 0), h) for x, y, w, h in SPOILT)])
    return {}


def uavdt(folder: Path) -> dict[str, Any]:
    (folder / 'images').rename(folder / 'frames')
    (folder / 'images' / 'M1').mkdir(parents=True)
    (folder / 'frames' / 'a.png').rename(folder / 'images' / 'M1' / 'img1.png')
    (folder / 'M1_gt_whole.txt').write_text('\n'.join(
        f'1,1,{x},{y},{w},{h},1,1,1' for x, y, w, h in SPOILT))
    return {'splits': {'val': ['M1']}, 'options': {'images': 'images', 'labels': '.'}}


def lines(name: str, folder: Path, rows: list[str]) -> None:
    (folder / name).mkdir()
    (folder / name / 'a.txt').write_text('\n'.join(rows) + '\n')


def write_set(root: Path, reader: str, write: Callable[[Path], dict[str, Any]]) -> Path:
    """Write a set with one image, `a`, and return its manifest."""
    folder = root / 'set'
    (folder / 'images').mkdir(parents=True)
    cv2.imwrite(str(folder / 'images' / 'a.png'), np.full((HEIGHT, WIDTH, 3), 9, np.uint8))
    (folder / 'val.txt').write_text('a\n')
    entry = {'reader': reader, 'splits': {'val': 'val.txt'},
             'boxes': {'classes': {'car': 'car'}, 'complete': ['car']}, **write(folder)}
    path = root / 'm.yaml'
    path.write_text(yaml.safe_dump({'detection': {'names': ['car']}, 'sets': {'set': entry}}))
    return path


@pytest.mark.parametrize('write', [voc, coco, cvat, yolo, visdrone, dota, uavdt])
def test_same_boxes_are_dropped_by_each_reader(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        write: Callable[[Path], dict[str, Any]]) -> None:
    monkeypatch.delenv('MTL_DATA', raising=False)
    manifest = load_manifest(write_set(tmp_path, write.__name__, write))
    report = check(manifest, samples=1)
    split, = report.splits
    assert report.reasons == [] and split.images == 1
    boxes = split.samples[0].boxes
    assert boxes is not None
    assert boxes.boxes.tolist() == KEPT
    assert split.counts == COUNTS
    for line in ('duplicates dropped', 'boxes without area dropped',
                 'boxes outside the image dropped'):
        assert line in report.table() and line in render_page(report)
    assert report.to_dict()['splits'][0]['labels'] == COUNTS.to_dict()
