"""The page of an evaluation of real models on images with known contents."""

import base64
from collections.abc import Callable
from html.parser import HTMLParser
import json
from pathlib import Path
import re
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from mtl_perception.main import main

pytest.importorskip('jinja2')
pytest.importorskip('pycocotools')

HOSTILE = '<script>alert(1)</script>"\'&{{ 7*7 }}'
SIZE = (96, 64)


@pytest.fixture(autouse=True)
def relative_paths(monkeypatch):
    """Use the paths of the manifests instead of the user's folder of data sets."""
    monkeypatch.delenv('MTL_DATA', raising=False)


class Page(HTMLParser):
    """Collects elements, attributes and text, and fails on unclosed tags."""

    VOID = ('meta', 'link', 'img', 'br')

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ['style']:
            self.text.append(data)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a manifest of images with a red box each, its boxes and its labels."""
    rng = np.random.default_rng(0)
    for name in ('boxes', 'labels'):
        for folder in ('images', 'labels', 'masks'):
            (tmp_path / name / folder).mkdir(parents=True)
        stems = ['<b>&p0', 'p1', 'p2', 'p3', 'p4']
        for stem in stems:
            x, y = rng.integers(4, 40, 2).tolist()
            image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
            image[y:y + 16, x:x + 24] = (0, 0, int(rng.integers(150, 250)))
            cv2.imwrite(str(tmp_path / name / 'images' / f'{stem}.png'), image)
            # The box of each image, and in some of them an invisible one.
            boxes = [(x + 12, y + 8, 24, 16)] + ([(80, 50, 10, 10)] if x % 2 else [])
            (tmp_path / name / 'labels' / f'{stem}.txt').write_text(''.join(
                f'0 {cx / SIZE[0]} {cy / SIZE[1]} {w / SIZE[0]} {h / SIZE[1]}\n'
                for cx, cy, w, h in boxes))
            mask = np.full((SIZE[1], SIZE[0]), 1, np.uint8)
            mask[y:y + 16, x:x + 24] = 0
            mask[:8] = 2
            cv2.imwrite(str(tmp_path / name / 'masks' / f'{stem}.png'), mask)
        (tmp_path / name / 'val.txt').write_text('\n'.join(stems))
    (tmp_path / 'boxes' / 'classes.txt').write_text('box\n')
    path = tmp_path / 'manifest.yaml'
    path.write_text(yaml.safe_dump({
        'root': '.',
        'detection': {'names': ['red', 'green', 'blue'], 'score_groups': {
            '<any>': ['red', 'green']}},
        'segmentation': {'names': ['red', 'green', 'blue', 'dark']},
        'sets': {
            '<i>boxes&': {'reader': 'yolo', 'path': 'boxes', 'boxes': {
                'classes': {'box': 'red'}, 'complete': ['red', 'green']}},
            'labels': {'reader': 'mask_folder', 'masks': {
                HOSTILE: 'red', 'rest': ['green', 'blue', 'dark'], 'sky': []}}}}, sort_keys=False))
    return path


def evaluate(*arguments: Any) -> int:
    return main(['evaluate', *map(str, arguments)])


def test_report_of_one_real_model(data: Path, paint_model: Callable[..., Path], tmp_path: Path,
                                  capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / 'new' / 'out'
    assert evaluate('--model', paint_model(), '--config', data, '--output', output,
                    '--bootstrap', 50) == 0
    assert 'AP50' in capsys.readouterr().out
    assert sorted(path.name for path in output.iterdir()) == ['metrics.json', 'report.html']
    values = json.loads((output / 'metrics.json').read_text('utf-8'))
    (model,) = values['models']
    boxes, labels = model['sets']
    assert boxes['detection']['red']['ap50'] == pytest.approx(
        boxes['detection']['red']['voc12'], abs=0.05)
    assert boxes['confusion']['names'] == ['red', 'green']
    assert 0.5 < labels['segmentation']['mean'] <= 1
    metric = {'task': 'detection', 'name': 'ap50', 'label': 'red', 'mean': ''}
    (row,) = [row for row in values['bootstrap']['sets']['<i>boxes&'] if row['metric'] == metric]
    interval = row['models'][0]
    assert interval['low'] <= interval['value'] <= interval['high']
    assert interval['value'] == pytest.approx(boxes['detection']['red']['ap50'])
    assert row['differences'] == []


def test_page_is_self_contained(data: Path, paint_model: Callable[..., Path],
                                tmp_path: Path) -> None:
    assert evaluate('--model', paint_model(), '--config', data, '--output', tmp_path) == 0
    text = (tmp_path / 'report.html').read_text('utf-8')
    page = Page(text)
    names = [tag for tag, _ in page.tags]
    assert 'script' not in names
    assert not re.search(r'(?:src|href)\s*=\s*"(?!data:|#)', text)
    assert 'url(' not in text and '@import' not in text
    policy = [values['content'] for tag, values in page.tags
              if values.get('http-equiv') == 'Content-Security-Policy']
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    ids = [values['id'] for _, values in page.tags if 'id' in values]
    links = [values['href'] for tag, values in page.tags if tag == 'a']
    assert len(set(ids)) == len(ids)
    assert {str(link)[1:] for link in links} <= set(ids)
    images = [str(values['src']) for tag, values in page.tags if tag == 'img']
    # Worst and best of two sets: at most three each, with image, ground truth and one model.
    assert len(images) == 2 * 5 * 3
    for source in images:
        jpeg = np.frombuffer(base64.b64decode(source.partition(',')[2]), np.uint8)
        assert cv2.imdecode(jpeg, cv2.IMREAD_COLOR).shape[:2] == SIZE[::-1]
    assert 'polyline' in names
    assert 'nan' not in ' '.join(page.text).lower()
    assert not re.search(r'="[^"]*\bnan\b', re.sub(r'data:[^"]*', '', text))


def test_hostile_names_are_escaped(data: Path, paint_model: Callable[..., Path],
                                   tmp_path: Path) -> None:
    model = tmp_path / '<img src=x onerror=alert(2)>.onnx'
    model.write_bytes(paint_model().read_bytes())
    other = tmp_path / '</title><svg onload=alert(3)>.onnx'.replace('/', '\N{DIVISION SLASH}')
    other.write_bytes(paint_model().read_bytes())
    assert evaluate('--model', model, '--model', other, '--config', data, '--output', tmp_path,
                    '--bootstrap', 10) == 0
    text = (tmp_path / 'report.html').read_text('utf-8')
    page = Page(text)
    assert not {'script', 'b'} & {tag for tag, _ in page.tags}
    assert not [name for _, values in page.tags for name in values if name.startswith('on')]
    shown = ''.join(page.text)
    for name in (HOSTILE, '<i>boxes&', '<any>', model.name, other.name, '<b>&p0'):
        assert name in shown


@pytest.mark.slow
def test_two_models_are_compared(data: Path, paint_model: Callable[..., Path], tmp_path: Path,
                                 capsys: pytest.CaptureFixture[str]) -> None:
    scores = tmp_path / 'scores.json'
    both, coarse = paint_model(), paint_model(size=(48, 32))
    for _ in range(2):
        assert evaluate('--model', both, '--model', coarse, '--config', data, '--output', tmp_path,
                        '--json', scores, '--bootstrap', 100, '--seed', 5) == 0
    printed = capsys.readouterr().out
    assert '95 % interval' in printed
    values = json.loads((tmp_path / 'metrics.json').read_text('utf-8'))
    assert json.loads(scores.read_text('utf-8'))['models'] == values['models']
    assert [model['model'] for model in values['models']] == [both.name, coarse.name]
    for rows in (*values['bootstrap']['sets'].values(), values['bootstrap']['overall']):
        for row in rows:
            (difference,) = row['differences']
            if difference['value'] is not None:
                assert difference['value'] == pytest.approx(
                    row['models'][1]['value'] - row['models'][0]['value'])
    (iou,) = [row for row in values['bootstrap']['overall']
              if row['metric']['name'] == 'iou']
    # Half the resolution lowers its boundary score.
    assert iou['differences'][0]['high'] < 0
    text = (tmp_path / 'report.html').read_text('utf-8')
    assert 'id="differences"' in text
    assert text.count('Where the models differ most') >= 1


def test_json_of_one_model_is_its_report(data: Path, paint_model: Callable[..., Path],
                                         tmp_path: Path) -> None:
    assert evaluate('--model', paint_model(), '--config', data, '--json', tmp_path / 's.json',
                    '--sets', 'labels') == 0
    values = json.loads((tmp_path / 's.json').read_text('utf-8'))
    assert values['model'].endswith('.onnx')
    assert [item['name'] for item in values['sets']] == ['labels']
    assert not (tmp_path / 'report.html').exists()


def test_invalid_output_folder_is_rejected(data: Path, paint_model: Callable[..., Path],
                                           tmp_path: Path,
                                           capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / 'file').write_text('')
    assert evaluate('--model', paint_model(), '--config', data, '--output',
                    tmp_path / 'file' / 'x') == 1
    assert 'cannot be created' in capsys.readouterr().err


@pytest.mark.parametrize('option', ['--bootstrap', '--images', '--seed'])
def test_numeric_options_have_ranges(data: Path, paint_model: Callable[..., Path],
                                     option: str) -> None:
    assert evaluate('--model', paint_model(), '--config', data, option, -1) == 1


def test_skipped_entries_and_dropped_boxes_are_shown(
        data: Path, paint_model: Callable[..., Path], tmp_path: Path,
        capsys: pytest.CaptureFixture[str]) -> None:
    labels = tmp_path / 'boxes' / 'labels'
    (labels / 'p1.txt').write_text('a 1 2 3 4\n')
    (labels / 'p2.txt').write_text(2 * (labels / 'p2.txt').read_text())
    command = ('--model', paint_model(), '--config', data, '--output', tmp_path / 'out')
    assert evaluate(*command) == 1
    assert re.search(r'^mtl: error: .*p1\.txt: line 1: ', capsys.readouterr().err, re.M)
    assert evaluate(*command, '--skip-bad', '--bootstrap', 0) == 0
    printed = capsys.readouterr()
    assert re.search(r'^mtl: left out of <i>boxes&: .*p1\.txt: line 1: ', printed.err, re.M)
    assert re.search(r'^mtl: warning: <i>boxes&: \d of \d boxes .* dropped \(\d duplicates\)',
                     printed.err, re.M)
    assert '<i>boxes&: 1 broken, skipped' in printed.out
    values = json.loads((tmp_path / 'out' / 'metrics.json').read_text('utf-8'))
    boxes, masks = values['models'][0]['sets']
    assert (boxes['images'], len(boxes['broken']), masks['broken']) == (4, 1, [])
    text = ''.join(Page((tmp_path / 'out' / 'report.html').read_text('utf-8')).text)
    assert re.search(r'4 images; 1 broken, skipped; dropped from the annotations: \d dupl', text)
