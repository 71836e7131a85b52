import argparse
import json
import os

import cv2
import numpy as np
import pytest

from mtl_perception.commands import predict
from mtl_perception.errors import ConfigError, DataError, ModelError
from mtl_perception.prediction import output_folder


def _run(*arguments):
    parser = argparse.ArgumentParser()
    predict.add_arguments(parser)
    predict.run(parser.parse_args([str(argument) for argument in arguments]))


def _write(path, width, height, **boxes):
    image = np.full((height, width, 3), 40, np.uint8)
    for color, (x0, y0, x1, y1) in boxes.items():
        image[y0:y1, x0:x1] = {'red': (0, 0, 255), 'blue': (255, 0, 0)}[color]
    assert cv2.imwrite(str(path), image)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / 'in'
    path.mkdir()
    _write(path / 'one.png', 320, 256, red=(20, 40, 80, 100), blue=(200, 60, 280, 120))
    _write(path / 'two.png', 200, 90)
    return path


def test_results_are_written_in_coco_format(paint_model, folder, tmp_path, capsys):
    output = tmp_path / 'deep' / 'out'
    _run('--model', paint_model(size=(160, 128)), '--input', folder, '--output', output)
    values = json.loads((output / 'predictions.json').read_text())
    assert values['images'] == [
        {'id': 1, 'file_name': 'one.png', 'width': 320, 'height': 256},
        {'id': 2, 'file_name': 'two.png', 'width': 200, 'height': 90}]
    assert values['categories'] == [
        {'id': 1, 'name': 'red'}, {'id': 2, 'name': 'green'}, {'id': 3, 'name': 'blue'}]
    assert values['annotations'] == [
        {'id': 1, 'image_id': 1, 'category_id': 1, 'bbox': [20, 40, 60, 60], 'area': 3600,
         'iscrowd': 0, 'score': 1},
        {'id': 2, 'image_id': 1, 'category_id': 3, 'bbox': [200, 60, 80, 60], 'area': 4800,
         'iscrowd': 0, 'score': 1}]
    assert values['info']['mask_names'] == ['red', 'green', 'blue', 'dark']
    mask = cv2.imread(str(output / 'masks' / 'one.png'), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (256, 320) and mask.dtype == np.uint8
    assert (mask[48:92, 28:72], mask[68:112, 208:272], mask[200:, :]) == (
        pytest.approx(0), pytest.approx(2), pytest.approx(3))
    assert cv2.imread(str(output / 'overlay' / 'two.jpg')).shape == (90, 200, 3)
    assert '2 images, 2 objects' in capsys.readouterr().out


def test_results_are_readable_by_pycocotools(paint_model, folder, tmp_path):
    coco = pytest.importorskip('pycocotools.coco')
    _run('--model', paint_model(size=(160, 128)), '--input', folder, '--output', tmp_path / 'out')
    path = tmp_path / 'out' / 'predictions.json'
    loaded = coco.COCO(str(path))
    results = loaded.loadRes(json.loads(path.read_text())['annotations'])
    assert len(results.getAnnIds(imgIds=1)) == 2 and results.getAnnIds(imgIds=2) == []


def test_options_reach_the_pipeline(paint_model, tmp_path):
    path = tmp_path / 'wide.png'
    _write(path, 900, 100, red=(436, 40, 460, 60), blue=(20, 20, 40, 40))
    model = paint_model(size=(160, 128))
    _run('--model', model, '--input', path, '--output', tmp_path, '--tiles', 'auto',
         '--nms-threshold', '1', '--max-detections', '3', '--score-threshold', '0.95')
    values = json.loads((tmp_path / 'predictions.json').read_text())
    assert values['info']['tiles'] == 'auto' and values['info']['score_threshold'] == 0.95
    assert len(values['annotations']) == 2
    _run('--model', model, '--input', path, '--output', tmp_path, '--nms-threshold', '1',
         '--max-detections', '3')
    values = json.loads((tmp_path / 'predictions.json').read_text())
    assert len(values['annotations']) == 3


def test_broken_images_are_reported_and_skipped(paint_model, folder, tmp_path, capsys):
    (folder / 'broken.jpg').write_bytes(b'no image')
    output = tmp_path / 'out'
    with pytest.raises(DataError, match=r'1 of 3 images could not be read \(broken\.jpg\)'):
        _run('--model', paint_model(size=(160, 128)), '--input', folder, '--output', output)
    assert 'broken.jpg' in capsys.readouterr().err
    values = json.loads((output / 'predictions.json').read_text())
    assert [image['file_name'] for image in values['images']] == ['one.png', 'two.png']


def test_video_frames_are_predicted(paint_model, tmp_path):
    path = tmp_path / 'flight.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 10, (64, 48))
    if not writer.isOpened():
        pytest.skip('this OpenCV writes no MJPG video')
    for _ in range(3):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    _run('--model', paint_model(), '--input', path, '--output', tmp_path / 'out')
    masks = sorted(item.name for item in (tmp_path / 'out' / 'masks').iterdir())
    assert masks == [f'flight_{number:06d}.png' for number in (1, 2, 3)]


def test_video_that_is_cut_off_is_named_after_its_frames(paint_model, tmp_path, capsys):
    path = tmp_path / 'flight.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 10, (64, 48))
    for _ in range(8):
        writer.write(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
    writer.release()
    path.write_bytes(path.read_bytes()[:-8000])
    with pytest.raises(DataError, match=r'could not be read \(flight\.avi\); the others are comp'):
        _run('--model', paint_model(), '--input', path, '--output', tmp_path / 'out')
    assert 'flight.avi: ends after' in capsys.readouterr().err
    values = json.loads((tmp_path / 'out' / 'predictions.json').read_text())
    assert 0 < len(values['images']) < 8


def test_results_of_equal_names_are_kept_apart(paint_model, tmp_path):
    (tmp_path / 'in').mkdir()
    for width, name in ((64, 'a.jpg'), (80, 'a.png'), (96, 'a.jpg.png')):
        _write(tmp_path / 'in' / name, width, 48)
    _run('--model', paint_model(), '--input', tmp_path / 'in', '--output', tmp_path / 'out')
    for folder in ('masks', 'overlay'):
        widths = [cv2.imread(str(path)).shape[1] for path in (tmp_path / 'out' / folder).iterdir()]
        assert sorted(widths) == [64, 80, 96]


def test_names_that_are_not_utf8(paint_model, tmp_path):
    folder, name = tmp_path / 'in', os.fsdecode(b'caf\xe9')
    folder.mkdir()
    _write(tmp_path / 'a.png', 64, 48)
    (tmp_path / 'a.png').rename(folder / f'{name}.png')
    (folder / f'{name}.jpg').write_bytes(b'no image')
    with pytest.raises(DataError, match=r'\(caf\\xe9\.jpg\)') as error:
        _run('--model', paint_model(), '--input', folder, '--output', tmp_path / 'out')
    str(error.value).encode()
    assert (tmp_path / 'out' / 'masks' / f'{name}.png.png').is_file()
    values = json.loads((tmp_path / 'out' / 'predictions.json').read_text())
    assert [image['file_name'] for image in values['images']] == ['caf\\xe9.png']


def test_thermal_image_is_white_hot_or_black_hot(paint_model, tmp_path):
    counts = np.full((64, 96), 7200, np.uint16)
    counts[:, 48:] = 8500
    cv2.imwrite(str(tmp_path / 'a.tif'), counts)
    for options, labels in (((), [3, 0]), (('--black-hot',), [0, 3])):
        _run('--model', paint_model(), '--input', tmp_path / 'a.tif', '--output', tmp_path / 'out',
             *options)
        mask = cv2.imread(str(tmp_path / 'out' / 'masks' / 'a.png'), cv2.IMREAD_UNCHANGED)
        assert mask[32, [20, 76]].tolist() == labels


def test_results_that_cannot_be_written_are_named(paint_model, folder, tmp_path):
    (tmp_path / 'out' / 'masks' / 'one.png').mkdir(parents=True)
    with pytest.raises(DataError, match=r'masks/one\.png: cannot be written: Is a directory'):
        _run('--model', paint_model(), '--input', folder, '--output', tmp_path / 'out')
    assert [path.name for path in (tmp_path / 'out' / 'masks').iterdir()] == ['one.png']


def test_detection_model_writes_no_masks(paint_model, folder, tmp_path):
    output = tmp_path / 'out'
    _run('--model', paint_model(segmentation=False), '--input', folder, '--output', output)
    assert sorted(item.name for item in output.iterdir()) == ['overlay', 'predictions.json']


def test_segmentation_model_writes_no_categories(paint_model, folder, tmp_path):
    output = tmp_path / 'out'
    _run('--model', paint_model(detection=False), '--input', folder, '--output', output)
    values = json.loads((output / 'predictions.json').read_text())
    assert (values['categories'], values['annotations']) == ([], [])
    assert (output / 'masks' / 'one.png').is_file()


def test_invalid_arguments_are_rejected_before_writing(paint_model, folder, tmp_path):
    output = tmp_path / 'out'
    with pytest.raises(ModelError, match=r'none\.onnx'):
        _run('--model', tmp_path / 'none.onnx', '--input', folder, '--output', output)
    with pytest.raises(DataError, match='none: no such file'):
        _run('--model', paint_model(), '--input', tmp_path / 'none', '--output', output)
    with pytest.raises(ConfigError, match='score_threshold'):
        _run('--model', paint_model(), '--input', folder, '--output', output,
             '--score-threshold', '3')
    assert not output.exists()


def test_output_that_is_a_file_is_rejected(paint_model, folder, tmp_path):
    output = tmp_path / 'out'
    output.write_text('')
    with pytest.raises(DataError, match='out/overlay: cannot be created: Not a directory'):
        _run('--model', paint_model(), '--input', folder, '--output', output)


def test_interrupt_saves_results_so_far(paint_model, folder, tmp_path, monkeypatch):
    draw = output_folder.draw_overlay
    calls = []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return draw(*arguments)

    monkeypatch.setattr(output_folder, 'draw_overlay', interrupted)
    with pytest.raises(KeyboardInterrupt):
        _run('--model', paint_model(), '--input', folder, '--output', tmp_path / 'out')
    values = json.loads((tmp_path / 'out' / 'predictions.json').read_text())
    assert values['images'][0]['file_name'] == 'one.png'


def test_oriented_boxes_are_written_and_drawn(paint_model, tmp_path):
    image = np.full((256, 320, 3), 40, np.uint8)
    corners = cv2.boxPoints(((160, 128), (120, 40), -40))
    cv2.fillPoly(image, [np.rint(corners).astype(np.int32)], (0, 0, 255))
    cv2.rectangle(image, (10, 10), (40, 30), (255, 0, 0), cv2.FILLED)
    assert cv2.imwrite(str(tmp_path / 'in.png'), image)
    outputs = {name: tmp_path / name for name in ('upright', 'oriented')}
    for name, output in outputs.items():
        _run('--model', paint_model(size=(320, 256)), '--input', tmp_path / 'in.png',
             '--output', output, '--box-format', name)
    upright, oriented = (json.loads((output / 'predictions.json').read_text())
                         for output in outputs.values())
    assert oriented['info']['box_format'] == 'oriented'
    assert not any('oriented_bbox' in item for item in upright['annotations'])
    red, blue = sorted(oriented['annotations'], key=lambda item: item['category_id'])
    x, y, length, width, angle = red['oriented_bbox']
    assert (x, y) == (pytest.approx(160, abs=1), pytest.approx(128, abs=1))
    assert (length, width) == (pytest.approx(120, abs=8), pytest.approx(40, abs=8))
    assert np.degrees(angle) == pytest.approx(-40, abs=3)
    # Blue has no pixels of a class.
    assert blue['oriented_bbox'] == [25.5, 20.5, 31, 21, 0]
    drawn = [cv2.imread(str(output / 'overlay' / 'in.jpg')) for output in outputs.values()]
    difference = np.abs(drawn[0].astype(int) - drawn[1]).max(axis=2) > 60
    # The upright box has corners where the oriented one has none; they agree on the other object.
    assert difference[60:200, 90:230].sum() > 200 and not difference[:40, :45].any()


def test_oriented_boxes_need_a_model_that_tells_the_pixels(paint_model, folder, tmp_path):
    with pytest.raises(ConfigError, match='boxes_as_masks'):
        _run('--model', paint_model(segmentation=False), '--input', folder,
             '--output', tmp_path / 'out', '--box-format', 'oriented')
