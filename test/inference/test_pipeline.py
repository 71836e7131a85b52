import math
import subprocess
import sys
import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from mtl_perception.errors import ConfigError, DataError, ModelError
from mtl_perception.inference import Pipeline, PipelineOptions, Request, RuntimeOptions

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
DARK = 3
"""Index of the label of pixels that are not red, green or blue."""


@pytest.fixture(scope='module')
def pipeline(paint_model) -> Pipeline:
    return Pipeline(paint_model(size=(160, 128)))


def _image(width, height, **boxes):
    image = np.full((height, width, 3), 40, np.uint8)
    for name, (x0, y0, x1, y1) in boxes.items():
        image[y0:y1, x0:x1] = {'red': RED, 'green': GREEN, 'blue': BLUE}[name]
    return image


@settings(max_examples=60, deadline=None)
@given(st.integers(30, 500), st.integers(30, 500), st.sampled_from(['rgb', 'bgr']), st.data())
def test_results_are_in_source_pixels(pipeline, width, height, order, data):
    scale = min(160 / width, 128 / height)
    least = math.ceil(9 / scale)
    if 2 * least > min(width, height):
        return
    x0, y0 = (data.draw(st.integers(0, side - least)) for side in (width, height))
    x1, y1 = (data.draw(st.integers(start + least, side))
              for start, side in ((x0, width), (y0, height)))
    image = _image(width, height, red=(x0, y0, x1, y1))
    seen = pipeline.run(image if order == 'rgb' else image[..., ::-1], order)
    assert (seen.width, seen.height) == (width, height)
    found = seen.detections
    assert found.classes.tolist() == [0] and found.boxes.dtype == np.float32
    # One network pixel, and half a source pixel for rounding of the scaled size.
    assert np.abs(found.boxes[0] - [x0, y0, x1, y1]).max() <= 1 / scale + 0.5
    assert seen.label_map.shape == (height, width) and seen.label_map.dtype == np.uint8
    # Cells are four network pixels: beyond that distance from the box's edges labels are certain.
    margin = math.ceil(5 / scale) + 1
    inner = seen.label_map[y0 + margin:y1 - margin, x0 + margin:x1 - margin]
    assert (inner == 0).all()
    outside = np.ones((height, width), bool)
    outside[max(y0 - margin, 0):y1 + margin, max(x0 - margin, 0):x1 + margin] = False
    assert (seen.label_map[outside] == DARK).all()


def test_detections_have_scores_and_classes_in_order(pipeline):
    image = _image(160, 128, red=(10, 10, 40, 30), green=(60, 20, 80, 90),
                     blue=(100, 5, 140, 25))
    image[image[..., 1] == 255] = (0, 200, 0)
    found = pipeline.run(image).detections
    assert found.classes.tolist() == [0, 2, 1]
    assert found.scores.tolist() == pytest.approx([1, 1, 200 / 255])
    assert found.boxes.tolist() == [[10, 10, 40, 30], [100, 5, 140, 25], [60, 20, 80, 90]]
    assert found.classes.dtype == np.int32 and found.scores.dtype == np.float32


def test_options_take_effect_between_frames(paint_model):
    pipeline = Pipeline(paint_model(size=(160, 128)))
    image = _image(160, 128, red=(10, 10, 40, 30))
    image[50:70, 50:90] = (0, 150, 0)
    assert len(pipeline.run(image).detections) == 2
    pipeline.options = PipelineOptions(score_threshold=0.7)
    assert pipeline.run(image).detections.classes.tolist() == [0]
    pipeline.options = PipelineOptions(nms_threshold=1.0)
    assert len(pipeline.run(image).detections) == 4
    pipeline.options = PipelineOptions(max_detections=1)
    assert pipeline.run(image).detections.classes.tolist() == [0]


def test_empty_image_gives_no_detections(pipeline):
    seen = pipeline.run(_image(100, 100))
    assert seen.detections.boxes.shape == (0, 4) and len(seen.detections) == 0
    assert (seen.label_map == DARK).all()


def test_missing_task_of_model_is_none(paint_model):
    image = _image(160, 128, red=(10, 10, 40, 30))
    seen = Pipeline(paint_model(size=(160, 128), segmentation=False)).run(image)
    assert seen.label_map is None and len(seen.detections) == 1
    seen = Pipeline(paint_model(size=(160, 128), detection=False)).run(image)
    assert seen.detections is None and seen.label_map.shape == (128, 160)
    seen = Pipeline(paint_model(size=(160, 128), detection=False),
                    options=PipelineOptions(tiles='2x2')).run(image)
    assert seen.detections is None and seen.label_map.shape == (128, 160)


@pytest.mark.parametrize('tiles', ['off', '2x2'])
def test_only_requested_tasks_are_computed(paint_model, tiles):
    pipeline = Pipeline(paint_model(size=(160, 128)), PipelineOptions(tiles=tiles))
    image = _image(160, 128, red=(10, 10, 40, 30))
    both = pipeline.run(image, tasks=['segmentation', 'detection'])
    for _ in range(3):
        seen = pipeline.run(image, tasks=['detection'])
        assert seen.label_map is None
        assert np.array_equal(seen.detections.boxes, both.detections.boxes)
        seen = pipeline.run(image, tasks={'segmentation'})
        assert seen.detections is None and np.array_equal(seen.label_map, both.label_map)
    with pytest.raises(ValueError, match=r'tasks .* are not some of detection, segmentation'):
        pipeline.run(image, tasks=[])


@pytest.mark.parametrize('tiles', ['off', '2x2'])
@pytest.mark.parametrize('size', [(160, 128), (77, 93), (640, 480)])
def test_label_map_is_written_into_callers_buffer(paint_model, tiles, size):
    pipeline = Pipeline(paint_model(size=(160, 128)), PipelineOptions(tiles=tiles))
    image = _image(*size, red=(10, 10, 40, 30))
    memory = np.full(size[::-1], 99, np.uint8)
    seen = pipeline.run(image, label_map=memory)
    assert seen.label_map is memory
    assert np.array_equal(memory, pipeline.run(image).label_map)


def test_grey_images_give_results(pipeline):
    image = np.full((90, 120), 130, np.uint8)
    seen = pipeline.run(image)
    assert len(seen.detections) == 0 and seen.label_map.shape == (90, 120)


def test_frames_are_independent(pipeline):
    pipeline.run(_image(500, 400, red=(0, 0, 500, 400)))
    for size in ((500, 100), (30, 100), (1, 1), (160, 128)):
        seen = pipeline.run(_image(*size))
        assert len(seen.detections) == 0 and (seen.label_map == DARK).all()


def test_results_are_not_overwritten_by_the_next_frame(pipeline):
    first = pipeline.run(_image(160, 128, red=(0, 0, 80, 64)))
    labels, boxes = first.label_map.copy(), first.detections.boxes.copy()
    pipeline.run(_image(160, 128, blue=(0, 0, 160, 128)))
    assert np.array_equal(first.label_map, labels)
    assert np.array_equal(first.detections.boxes, boxes)


@pytest.mark.parametrize('tiles', ['auto', '1x4', '3x5'])
def test_tiles_agree_with_whole_image(paint_model, tiles):
    pipeline = Pipeline(paint_model(size=(160, 128)), options=PipelineOptions(tiles=tiles))
    for x in range(5, 570, 31):
        box = (x, 40, x + 24, 58)
        seen = pipeline.run(_image(600, 110, green=box))
        assert seen.detections.classes.tolist() == [1]
        assert np.abs(seen.detections.boxes[0] - box).max() <= 1.5
        assert seen.label_map.shape == (110, 600)
        # Cells of 4 network pixels, and tiles at a scale of 0.8 or more.
        truth = np.full((110, 600), DARK)
        truth[40:58, x:x + 24] = 1
        wrong = seen.label_map != truth
        assert not wrong[46:52, x + 6:x + 18].any()
        wrong[34:64, max(x - 6, 0):x + 30] = False
        assert not wrong.any()


def test_portrait_images_are_supported(paint_model):
    pipeline = Pipeline(paint_model(size=(160, 128)), options=PipelineOptions(tiles='auto'))
    seen = pipeline.run(_image(90, 700, blue=(30, 333, 60, 365)))
    assert seen.detections.boxes == pytest.approx(np.array([[30, 333, 60, 365]]), abs=1.5)
    assert seen.label_map[349, 45] == 2


@pytest.mark.parametrize('batch', [1, 3])
def test_batch_of_different_sizes(batch, paint_model):
    pipeline = Pipeline(paint_model(size=(160, 128)), runtime=RuntimeOptions(batch=batch))
    assert pipeline.batch == batch
    images = [_image(width, height, red=(5, 6, width // 2, height // 2))
              for width, height in ((160, 128), (77, 93), (400, 50), (64, 64), (640, 480))]
    together = pipeline.run_batch([Request(image) for image in images])
    for image, seen in zip(images, together, strict=True):
        alone = pipeline.run(image)
        assert np.array_equal(seen.detections.boxes, alone.detections.boxes)
        assert np.array_equal(seen.label_map, alone.label_map)
    assert pipeline.run_batch([]) == []


def test_images_of_batch_have_separate_options_and_buffers(paint_model):
    pipeline = Pipeline(paint_model(size=(160, 128)), runtime=RuntimeOptions(batch=4))
    image = _image(160, 128, red=(20, 20, 60, 60), green=(80, 20, 120, 60))
    memory = np.empty((128, 160), np.uint8)
    both, boxes, one, labels = pipeline.run_batch([
        Request(image, label_map=memory),
        Request(image[..., ::-1], 'bgr', frozenset({'detection'})),
        Request(image, options=PipelineOptions(max_detections=1)),
        Request(image, tasks=frozenset({'segmentation'}))])
    assert both.label_map is memory and labels.detections is None and boxes.label_map is None
    assert len(both.detections) == len(boxes.detections) == 2 and len(one.detections) == 1
    assert np.array_equal(both.detections.boxes, boxes.detections.boxes)
    assert np.array_equal(labels.label_map, memory)


@pytest.mark.slow
def test_measured_batch_size_does_not_change_results(paint_model):
    pipeline = Pipeline(paint_model(size=(160, 128)))
    images = [Request(_image(160, 128, red=(5, 6, 40 + 9 * number, 50))) for number in range(4)]
    before = pipeline.run_batch(images)
    rates = pipeline.choose_batch()
    assert next(iter(rates)) == 1 and list(rates)[-1] == pipeline.batch <= pipeline.runtime.batch
    for one, other in zip(before, pipeline.run_batch(images), strict=True):
        assert np.array_equal(one.detections.boxes, other.detections.boxes)
        assert np.array_equal(one.label_map, other.label_map)


@pytest.mark.parametrize(('image', 'what'), [
    (np.zeros((4, 4, 3), np.float32), 'float32'), (np.zeros((4, 4, 4), np.uint8), r'4, 4, 4'),
    (np.zeros((4, 4, 1), np.uint8), '4, 4, 1'), (np.zeros((0, 4, 3), np.uint8), '4x0'),
    (np.zeros((4, 0), np.uint8), '0x4'), (np.zeros((2, 32767), np.uint8), '32767x2'),
    (np.broadcast_to(np.uint8(0), (1 << 20, 1 << 20, 3)), '1048576x1048576'),
    (np.zeros(5, np.uint8), r'\[5\]'), (None, 'NoneType'), ([[1]], 'list')])
def test_invalid_image_is_rejected(pipeline, image, what):
    with pytest.raises(DataError, match=what):
        pipeline.run(image)


@pytest.mark.parametrize('tiles', ['off', 'auto'])
@pytest.mark.parametrize('shape', [(40, 17000, 3), (32766, 30)])
def test_longest_image_on_disk_is_processed(paint_model, tiles, shape):
    image = np.full(shape, 16, np.uint8)
    pipeline = Pipeline(paint_model(size=(160, 128)), PipelineOptions(tiles=tiles))
    if len(shape) == 3:
        image[8:32, 16000:16080, 0] = 255
    result = pipeline.run(image)
    assert result.label_map.shape == shape[:2] and (result.label_map[-1] == 3).all()
    if len(shape) == 3 and tiles == 'auto':
        x0, _, x1, _ = result.detections.boxes[0]
        assert abs(x0 - 16000) < 3 and abs(x1 - 16080) < 3


def test_unknown_channel_order_is_rejected(pipeline):
    with pytest.raises(ConfigError, match='xyz'):
        pipeline.run(_image(10, 10), 'xyz')


@pytest.mark.parametrize('size', [(16384, 1), (1, 16384), (1, 1), (2, 3), (7, 5000)])
@pytest.mark.parametrize('tiles', ['off', 'auto', '2x2'])
def test_extreme_sizes_are_processed(paint_model, size, tiles):
    pipeline = Pipeline(paint_model(size=(160, 128)), options=PipelineOptions(tiles=tiles))
    seen = pipeline.run(_image(*size, green=(0, 0, *size)))
    assert seen.label_map.shape == size[::-1]
    found = seen.detections.boxes
    assert (found >= 0).all() and (found <= [*size, *size]).all()


@pytest.mark.parametrize('arguments', [
    {'score_threshold': 1.1}, {'score_threshold': -0.1}, {'score_threshold': math.nan},
    {'score_threshold': '0.3'}, {'score_threshold': True}, {'nms_threshold': 2},
    {'nms_threshold': None}, {'max_detections': 0}, {'max_detections': 10001},
    {'max_detections': 3.5}, {'tiles': '0x1'}, {'tiles': 'all'}])
def test_invalid_options_are_named_with_their_range(arguments):
    (name, value), = arguments.items()
    with pytest.raises(ConfigError, match=rf'{name} .*{value}.*1'):
        PipelineOptions(**arguments)


def test_timings_cover_stages(pipeline):
    timings = pipeline.run(_image(640, 480)).timings
    assert min(timings.preprocess, timings.run, timings.postprocess) > 0
    assert timings.preprocess + timings.run + timings.postprocess < 5


def test_warm_up_does_not_affect_results(paint_model):
    pipeline = Pipeline(paint_model(size=(160, 128)))
    pipeline.warm_up()
    seen = pipeline.run(_image(40, 128, red=(10, 10, 30, 30)))
    assert seen.detections.boxes.tolist() == [[10, 10, 30, 30]]


def test_broken_model_is_rejected(tmp_path):
    with pytest.raises(ModelError, match=r'none\.onnx'):
        Pipeline(tmp_path / 'none.onnx')


def test_inference_loads_neither_torch_nor_ros():
    code = ('import sys, mtl_perception.inference\n'
            'print(sorted({"torch", "torchvision", "rclpy", "onnxruntime", "sensor_msgs"} & '
            '{name.partition(".")[0] for name in sys.modules}))')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == '[]'


@pytest.mark.parametrize('name', ['onnxruntime', 'openvino'])
def test_run_allocates_no_image_sized_memory(paint_model, name):
    pytest.importorskip(name)
    pipeline = Pipeline(paint_model(size=(960, 640), stride=1), runtime=RuntimeOptions(name))
    image = _image(1280, 720, red=(10, 10, 40, 30))
    labels = np.empty((720, 1280), np.uint8)
    for order in ('rgb', 'bgr', 'rgb'):
        pipeline.run(image, order, None, labels)
        tracemalloc.start()
        pipeline.run(image, order, None, labels)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        # The network's label map alone has 614,400 bytes.
        assert peak < 100_000


@pytest.mark.parametrize('name', ['onnxruntime', 'openvino'])
def test_read_only_image_of_input_size_is_supported(paint_model, name):
    pytest.importorskip(name)
    pipeline = Pipeline(paint_model(size=(160, 128)), runtime=RuntimeOptions(name))
    image = _image(160, 128, red=(10, 10, 40, 30))
    image.setflags(write=False)
    for _ in range(2):
        seen = pipeline.run(image)
        assert seen.detections.boxes.tolist() == [[10, 10, 40, 30]]
        assert seen.label_map[20, 20] == 0
