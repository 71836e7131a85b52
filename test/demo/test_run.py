import argparse
import contextlib
import importlib.util
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

pytest.importorskip('rosbags')

from mtl_perception import main
from mtl_perception.bags.results import count_messages, read_frames, ResultTopics
from mtl_perception.commands import demo
from mtl_perception.data.synthetic import MASK_NAMES, SyntheticFlight
from mtl_perception.demo.config import DemoConfig
from mtl_perception.demo.flight import open_flight, prepare_output, TruthFinder
from mtl_perception.errors import ConfigError, DataError
from mtl_perception.labels import LabelSet
from mtl_perception.spec import METADATA_KEY, ModelSpec
from test.data.readers.test_bag import write_bag

needs_ros = pytest.mark.skipif(
    importlib.util.find_spec('rclpy') is None, reason='needs ROS 2 (rclpy)')

SPEC = ModelSpec(
    architecture='fixed', detection=LabelSet.of('car', 'large_vehicle'),
    segmentation=LabelSet.of(*MASK_NAMES), input_size=(96, 64), label_stride=4, candidates=2)


@pytest.fixture(scope='module')
def model(tmp_path_factory) -> Path:
    """Return a model that always sees one car, and labels pixels by their brightness."""
    onnx = pytest.importorskip('onnx')
    from onnx import helper, numpy_helper, TensorProto

    constants = [
        numpy_helper.from_array(np.float32([[(8, 8, 40, 24), (0, 0, 4, 4)]]), 'boxes_value'),
        numpy_helper.from_array(np.float32([[0.9, 0.1]]), 'scores_value'),
        numpy_helper.from_array(np.int32([[0, 1]]), 'classes_value'),
        numpy_helper.from_array(np.int64([0, 0, 0]), 'from'),
        numpy_helper.from_array(np.int64([1 << 30, 1 << 30, 1]), 'to'),
        numpy_helper.from_array(np.int64([4, 4, 1]), 'stride'),
        numpy_helper.from_array(np.int64([1, 2, 3]), 'axes'),
        numpy_helper.from_array(np.int64([3]), 'channel'),
        numpy_helper.from_array(np.float32(64), 'per_class'),
        numpy_helper.from_array(np.int64([1]), 'flat'),
        numpy_helper.from_array(np.int64([1, 1]), 'deep')]
    nodes = [
        helper.make_node('Shape', ['images'], ['batch_size'], start=0, end=1),
        helper.make_node('Concat', ['batch_size', 'deep'], ['deep_sizes'], axis=0),
        helper.make_node('Concat', ['batch_size', 'flat'], ['flat_sizes'], axis=0),
        helper.make_node('Expand', ['boxes_value', 'deep_sizes'], ['boxes']),
        helper.make_node('Expand', ['scores_value', 'flat_sizes'], ['scores']),
        helper.make_node('Expand', ['classes_value', 'flat_sizes'], ['classes']),
        helper.make_node('Slice', ['images', 'from', 'to', 'axes', 'stride'], ['corner']),
        helper.make_node('Squeeze', ['corner', 'channel'], ['red']),
        helper.make_node('Cast', ['red'], ['light'], to=TensorProto.FLOAT),
        helper.make_node('Div', ['light', 'per_class'], ['level']),
        helper.make_node('Cast', ['level'], ['label_map'], to=TensorProto.UINT8)]
    graph = helper.make_graph(
        nodes, 'fixed',
        [helper.make_tensor_value_info('images', TensorProto.UINT8, ['batch', 64, 96, 3])],
        [helper.make_tensor_value_info('boxes', TensorProto.FLOAT, ['batch', 2, 4]),
         helper.make_tensor_value_info('scores', TensorProto.FLOAT, ['batch', 2]),
         helper.make_tensor_value_info('classes', TensorProto.INT32, ['batch', 2]),
         helper.make_tensor_value_info('label_map', TensorProto.UINT8, ['batch', 16, 24])],
        constants)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    helper.set_model_props(proto, {METADATA_KEY: SPEC.to_json()})
    path = tmp_path_factory.mktemp('model') / 'fixed.onnx'
    onnx.save(proto, path)
    return path


def command(model: Path, output: Path, *arguments: str) -> list[str]:
    return [sys.executable, '-m', 'mtl_perception.main', 'demo', '--model', str(model),
            '--output', str(output), *arguments]


def processes_of(text: str) -> list[int]:
    """Return the processes, this one apart, whose command line has `text`."""
    found = []
    for folder in Path('/proc').iterdir():
        if folder.name.isdecimal() and int(folder.name) != os.getpid():
            try:
                if text.encode() in (folder / 'cmdline').read_bytes():
                    found.append(int(folder.name))
            except OSError:
                continue
    return found


@needs_ros
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_flight_and_replay_of_its_bag(model, tmp_path):
    output = tmp_path / 'demo'
    first = subprocess.run(
        command(model, output, '--frames', '12', '--rate', '4', '--size', '160x120',
                '--flight', 'synthetic:3', '--tiles', 'off'),
        capture_output=True, text=True, cwd=tmp_path, check=False)
    assert first.returncode == 0, first.stderr
    assert not processes_of(str(tmp_path))
    report = json.loads((output / 'report.json').read_text())
    frames = report['frames']
    assert frames['sent'] == 12
    assert frames['processed'] + sum(frames['dropped'].values()) == 12
    assert frames['processed'] >= 6
    assert report['size'] == '160x120'
    assert report['detections'] == {'car': frames['processed'], 'large_vehicle': 0}
    assert sum(report['segmentation'].values()) == pytest.approx(1)
    assert set(report['truth']['iou']) == set(MASK_NAMES)
    for line in ('frames', 'latency', 'detections', 'segmentation', 'AP50', 'mIoU'):
        assert f'\n{line} ' in first.stdout
    for name in ('contact_sheet.jpg', 'flight.mp4', 'overlay', 'bag/metadata.yaml', 'logs'):
        assert (output / name).exists(), name
    flight = SyntheticFlight(3, 160, 120, 12, 4.0)
    recorded = list(read_frames(output / 'bag', ResultTopics()))
    np.testing.assert_array_equal(recorded[0].image, flight[0].image)
    done = next(frame for frame in recorded if frame.processed)
    assert done.label_map.shape == (120, 160) and done.detections.classes.tolist() == [0]
    counts = count_messages(output / 'bag')
    assert counts['/perception_node/detections/label_info'] == 1
    assert counts['/camera_info'] == 12

    other = tmp_path / 'other'
    second = subprocess.run(
        command(model, other, '--frames', '5', '--flight', str(output / 'bag'), '--rate', '4'),
        capture_output=True, text=True, cwd=tmp_path, check=False)
    assert second.returncode == 0, second.stderr
    replayed = list(read_frames(other / 'bag', ResultTopics()))
    assert len(replayed) == 5
    for old, new in zip(recorded[:5], replayed, strict=True):
        np.testing.assert_array_equal(old.image, new.image)
    assert 'AP50' not in second.stdout
    assert not (other / 'frames').exists()


@needs_ros
@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.parametrize('number, code', [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupt_ends_all_nodes(model, tmp_path, number, code):
    output = tmp_path / 'demo'
    demo_process = subprocess.Popen(
        command(model, output, '--size', '64x64'), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        # A test run in the background ignores SIGINT, and its children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    camera = output / 'logs' / 'camera_node.log'
    end = time.monotonic() + 120
    while not (camera.is_file() and ' -> /image ' in camera.read_text()):
        assert time.monotonic() < end and demo_process.poll() is None
        time.sleep(0.1)
    demo_process.send_signal(number)
    begin = time.monotonic()
    _, errors = demo_process.communicate(timeout=60)
    assert demo_process.returncode == code
    assert time.monotonic() - begin < 20
    assert 'Traceback' not in errors
    assert not processes_of(str(tmp_path))
    assert (output / 'bag' / 'metadata.yaml').is_file()


@needs_ros
@pytest.mark.slow
def test_node_that_cannot_start_prints_one_line(model, tmp_path, capfd):
    (tmp_path / 'film.mp4').write_bytes(b'no film')
    assert main.main(['demo', '--model', str(model), '--output', str(tmp_path / 'demo'),
                      '--flight', str(tmp_path / 'film.mp4')]) == 1
    error = capfd.readouterr().err.strip().splitlines()[-1]
    assert error.startswith('mtl: error: camera_node ended (exit code 1): ')
    assert 'film.mp4' in error
    assert not processes_of(str(tmp_path / 'demo'))


def test_folder_flight_has_as_many_frames_as_images(tmp_path):
    images = tmp_path / 'images'
    images.mkdir()
    undo = contextlib.ExitStack()
    with pytest.raises(DataError, match='no images in this folder'):
        open_flight(DemoConfig(str(images)), tmp_path / 'demo', undo)
    assert not (tmp_path / 'demo').exists()
    for number in range(3):
        cv2.imwrite(str(images / f'{number}.png'), np.zeros((4, 4, 3), np.uint8))
    for frames, expected in ((300, 3), (2, 2)):
        config = DemoConfig(str(images), frames=frames)
        assert open_flight(config, tmp_path / 'demo', undo).frames == expected


def test_flight_of_a_bag_is_white_hot_or_black_hot(tmp_path):
    counts = np.array([[7200, 7700, 8200], [7200, 7700, 8200]], np.uint16)
    write_bag(tmp_path / 'bag', lambda bag: bag.image(
        '/camera', 10**9, counts.view((np.uint8, 2)), 'mono16'))
    for black_hot, expected in ((False, [0, 128, 255]), (True, [255, 127, 0])):
        with contextlib.ExitStack() as undo:
            config = DemoConfig(str(tmp_path / 'bag'), black_hot=black_hot)
            flight = open_flight(config, tmp_path / 'demo', undo)
            frame = cv2.imread(str(Path(flight.source) / '000000.png'))
            assert frame[0, :, 0].tolist() == expected


def test_flight_of_a_cut_video_tells_its_problem(tmp_path):
    path = tmp_path / 'flight.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 10, (64, 48))
    for _ in range(5):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    undo = contextlib.ExitStack()
    assert not open_flight(DemoConfig(str(path)), tmp_path / 'demo', undo).problem
    path.write_bytes(path.read_bytes()[:-100])
    flight = open_flight(DemoConfig(str(path)), tmp_path / 'demo', undo)
    assert 'flight.avi: it is cut off, 100 bytes at its end are missing' in flight.problem


@pytest.mark.parametrize('option', ['flight', 'output'])
def test_name_that_is_not_utf8_is_rejected(option, tmp_path):
    name = os.fsdecode(os.fsencode(tmp_path) + b'/caf\xe9')
    Path(name).mkdir()
    flight, output = (name, tmp_path / 'demo') if option == 'flight' else ('synthetic:1', name)
    with pytest.raises(ConfigError, match=rf'--{option} .*caf.xe9 is not UTF-8'):
        open_flight(DemoConfig(flight), Path(output), contextlib.ExitStack())


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    demo.add_arguments(parser)
    return parser.parse_args(arguments)


@pytest.mark.parametrize('arguments, named', [
    (['--frames', '0'], '--frames 0'),
    (['--rate', 'nan'], '--rate nan'),
    (['--rate', '-1'], '--rate -1'),
    (['--size', '640'], '--size 640'),
    (['--size', '16x480'], '--size 16x480'),
    (['--flight', 'synthetic:x'], 'synthetic:x'),
    (['--flight', 'synthetic:-1'], 'synthetic:-1'),
    (['--flight', 'nowhere'], '--flight nowhere'),
])
def test_invalid_arguments_are_rejected_before_writing(model, tmp_path, arguments, named):
    output = tmp_path / 'demo'
    with pytest.raises((ConfigError, DataError), match=named):
        demo.run(parsed('--model', str(model), '--output', str(output), *arguments))
    assert not output.exists()


def test_output_replaces_only_what_a_demo_made(tmp_path):
    mine = tmp_path / 'mine'
    mine.mkdir()
    (mine / 'thesis.tex').write_text('years of work')
    with pytest.raises(ConfigError, match='no demo made'):
        prepare_output(mine)
    assert (mine / 'thesis.tex').read_text() == 'years of work'
    with pytest.raises(ConfigError, match='not a folder'):
        prepare_output(mine / 'thesis.tex')
    output = tmp_path / 'a' / 'demo'
    prepare_output(output)
    (output / 'old').touch()
    prepare_output(output)
    assert not (output / 'old').exists()
    link = tmp_path / 'link'
    link.symlink_to(mine)
    with pytest.raises(ConfigError, match='not a folder'):
        prepare_output(link)


def test_flight_in_the_output_folder_is_rejected(model, tmp_path):
    output = tmp_path / 'demo'
    prepare_output(output)
    cv2.imwrite(str(output / 'image.png'), np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(ConfigError, match='lies in the output folder'):
        demo.run(parsed('--model', str(model), '--output', str(output), '--flight', str(output)))
    assert (output / 'image.png').exists()


@pytest.mark.slow
def test_truth_matches_the_image_after_losses():
    flight = SyntheticFlight(5, 64, 64, 8)
    finder = TruthFinder(flight)
    for index in (0, 3, 4, 7):
        truth = finder.find(flight[index].image)
        np.testing.assert_array_equal(truth.mask, flight[index].mask)
        np.testing.assert_array_equal(truth.boxes, flight[index].boxes)
    with pytest.raises(DataError, match='none of the flight'):
        TruthFinder(flight).find(np.zeros((64, 64, 3), np.uint8))
