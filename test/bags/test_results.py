import cv2
import numpy as np
import pytest

pytest.importorskip('rosbags')

from mtl_perception.bags.images import image_topic, is_bag, read_images
from mtl_perception.bags.results import (
    count_messages,
    last_diagnostics,
    read_frames,
    ResultTopics,
)
from mtl_perception.errors import DataError

SECOND = 10**9
BEGIN = 1_700_000_000 * SECOND
TOPICS = ResultTopics()


def image(number: int, height: int = 6, width: int = 8) -> np.ndarray:
    rng = np.random.default_rng(number)
    return rng.integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_images_are_read_in_order(write_bag, tmp_path, storage):
    with write_bag(storage=storage) as bag:
        for number in range(5):
            bag.image('/camera', BEGIN + number, image(number), 'rgb8')
    assert is_bag(tmp_path / 'bag')
    images = list(read_images(tmp_path / 'bag', '/camera'))
    assert [item.stamp - BEGIN for item in images] == [0, 1, 2, 3, 4]
    for number, item in enumerate(images):
        np.testing.assert_array_equal(item.image, image(number))


def test_every_encoding_becomes_rgb(write_bag, tmp_path):
    pixels = image(0)
    grey = pixels[..., 0].copy()
    png = cv2.imencode('.png', cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1].tobytes()
    with write_bag() as bag:
        bag.image('/camera', BEGIN, pixels[..., ::-1].copy(), 'bgr8', padding=5)
        bag.image('/camera', BEGIN + 1, grey, 'mono8', padding=3)
        bag.compressed('/other', BEGIN + 2, png, BEGIN + 2)
    colour, black_and_white = read_images(tmp_path / 'bag', '/camera')
    np.testing.assert_array_equal(colour.image, pixels)
    np.testing.assert_array_equal(black_and_white.image, np.dstack([grey] * 3))
    (decoded,) = read_images(tmp_path / 'bag', '/other')
    np.testing.assert_array_equal(decoded.image, pixels)


def test_thermal_images_are_stretched_as_one_stream(write_bag, tmp_path):
    counts = np.array([[7200, 7700, 8200], [7200, 7700, 8200]], np.uint16)
    with write_bag() as bag:
        for number in range(2):
            values = counts + 100 * np.uint16(number)
            bag.image('/camera', BEGIN + number * SECOND,
                      values.view((np.uint8, 2)), 'mono16')
    first, second = (item.image for item in read_images(tmp_path / 'bag', '/camera'))
    assert first[0, :, 0].tolist() == [0, 128, 255]
    # Within a second, the limits have moved by 63 of the 100 counts.
    assert second[0, :2, 0].tolist() == [9, 137]
    first, second = (item.image for item in read_images(tmp_path / 'bag', '/camera', True))
    assert first[0, :, 0].tolist() == [255, 127, 0] and second[0, 0, 0] == 246


def test_image_without_stamp_has_recording_time(write_bag, tmp_path):
    with write_bag() as bag:
        bag.image('/camera', 0, image(0), 'rgb8', recorded=BEGIN + 42)
    assert next(read_images(tmp_path / 'bag', '/camera')).stamp == BEGIN + 42


def test_camera_topic_is_distinguished_from_derived_images(write_bag, tmp_path):
    with write_bag() as bag:
        for number in range(3):
            bag.image('/uav/front', BEGIN + number, image(number), 'rgb8')
        for number in range(5):
            bag.image('/node/segmentation', BEGIN + number, image(number), 'rgb8')
            bag.image('/uav/depth', BEGIN + number, image(number), 'rgb8')
        bag.image('/uav/spare', BEGIN, image(0), 'rgb8')
    path = tmp_path / 'bag'
    assert image_topic(path) == '/uav/front'
    assert image_topic(path, '/uav/depth') == '/uav/depth'
    with pytest.raises(DataError, match=r'no images on /nowhere; it has them on .*/uav/front'):
        image_topic(path, '/nowhere')
    assert count_messages(path)['/uav/depth'] == 5


def test_bag_without_images_is_rejected(write_bag, tmp_path):
    with write_bag() as bag:
        bag.diagnostics({'node: images': {}}, BEGIN)
    with pytest.raises(DataError, match='has no images'):
        image_topic(tmp_path / 'bag')


@pytest.mark.parametrize('data, reason', [
    (b'', 'no such bag'), (b'\x89MCAP0\r\nnot really', ''), (b'x' * 5000, '')])
def test_invalid_bag_is_rejected(tmp_path, data, reason):
    path = tmp_path / 'broken.mcap'
    if data:
        path.write_bytes(data)
    with pytest.raises(DataError, match=r'broken\.mcap cannot be read') as caught:
        image_topic(path)
    assert '\n' not in str(caught.value)


def test_truncated_bag_gives_one_line_error(write_bag, tmp_path):
    with write_bag() as bag:
        for number in range(4):
            bag.image('/camera', BEGIN + number, image(number, 64, 64), 'rgb8')
    file = tmp_path / 'bag' / 'bag.mcap'
    file.write_bytes(file.read_bytes()[:30000])
    with pytest.raises(DataError, match=r'bag .* (cannot be read|is broken)') as caught:
        list(read_images(tmp_path / 'bag', '/camera'))
    assert '\n' not in str(caught.value)


def test_broken_images_are_reported(write_bag, tmp_path):
    with write_bag() as bag:
        bag.image('/camera', BEGIN, image(0), 'rgb8')
        bag.image('/camera', BEGIN + 1, image(0), 'infrared9')
        bag.compressed('/small', BEGIN, b'no image', BEGIN)
    with pytest.raises(DataError, match="image 1 of /camera: encoding 'infrared9'"):
        list(read_images(tmp_path / 'bag', '/camera'))
    with pytest.raises(DataError, match="image 0 of /small: format 'png'"):
        list(read_images(tmp_path / 'bag', '/small'))


def test_bags_are_recognised_by_folder_and_file(tmp_path):
    assert not is_bag(tmp_path)
    assert not is_bag(tmp_path / 'film.mp4')
    assert is_bag(tmp_path / 'flight.mcap')
    (tmp_path / 'metadata.yaml').touch()
    assert is_bag(tmp_path)


def result(bag, stamp, rows, labels, delay):
    bag.detections(TOPICS.detections, stamp, rows, stamp + delay)
    bag.image(TOPICS.segmentation, stamp, labels, 'mono8', stamp + delay)


def test_results_are_matched_to_images(write_bag, tmp_path):
    labels = np.arange(48, dtype=np.uint8).reshape(6, 8)
    stamps = [BEGIN + number * SECOND for number in range(5)]
    with write_bag() as bag:
        bag.image(TOPICS.image, stamps[0], image(0), 'rgb8')
        # Here the label map overtook the image, and frame 1 was dropped.
        bag.image(TOPICS.segmentation, stamps[2], labels, 'mono8', stamps[2] + 9)
        bag.image(TOPICS.image, stamps[1], image(1), 'rgb8')
        bag.image(TOPICS.image, stamps[2], image(2), 'rgb8')
        result(bag, stamps[0], [(1.0, 2.0, 4.0, 6.0, 0.75, '3'), (0.0, 0.0, 1.0, 1.0, 0.5, '0')],
               labels, 250_000_000)
        bag.detections(TOPICS.detections, stamps[2], [], stamps[2] + SECOND // 2)
        # The bag has only the results of frame 3, and only the image of frame 4.
        result(bag, stamps[3], [], labels, 7)
        bag.image(TOPICS.image, stamps[4], image(4), 'rgb8')
    frames = list(read_frames(tmp_path / 'bag', TOPICS))
    assert [frame.stamp for frame in frames] == [stamps[k] for k in (0, 1, 2, 4)]
    assert [frame.processed for frame in frames] == [True, False, True, False]
    first, dropped, third, _ = frames
    np.testing.assert_array_equal(first.image, image(0))
    np.testing.assert_array_equal(
        first.detections.boxes, np.float32([(1, 2, 4, 6), (0, 0, 1, 1)]))
    assert first.detections.scores.tolist() == [0.75, 0.5]
    assert first.detections.classes.tolist() == [3, 0]
    np.testing.assert_array_equal(first.label_map, labels)
    assert first.latency == pytest.approx(0.25)
    assert dropped.detections is None and dropped.label_map is None and dropped.latency is None
    assert len(third.detections) == 0 and third.latency == pytest.approx(0.5)


def test_detection_model(write_bag, tmp_path):
    with write_bag() as bag:
        for number in range(3):
            bag.image(TOPICS.image, BEGIN + number, image(number), 'rgb8')
            bag.detections(TOPICS.detections, BEGIN + number, [], BEGIN + number + 5)
    frames = list(read_frames(tmp_path / 'bag', TOPICS))
    assert all(frame.processed and frame.label_map is None for frame in frames)
    assert len(frames) == 3


def test_dropped_frames_do_not_accumulate(write_bag, tmp_path):
    with write_bag() as bag:
        bag.detections(TOPICS.detections, BEGIN, [], BEGIN)
        for number in range(300):
            bag.image(TOPICS.image, BEGIN + number, image(number, 2, 2), 'rgb8')
    frames = read_frames(tmp_path / 'bag', TOPICS)
    assert [frame.stamp - BEGIN for frame in frames] == list(range(300))


def test_late_results_are_matched_to_images(write_bag, tmp_path):
    """A large video in many tiles: a hundred images arrive while the network processes one."""
    labels = np.ones((2, 2), np.uint8)
    with write_bag() as bag:
        for number in range(300):
            bag.image(TOPICS.image, BEGIN + number, image(number, 2, 2), 'rgb8')
            if number >= 100 and number % 100 == 0:
                result(bag, BEGIN + number - 100, [(0.0, 0.0, 1.0, 1.0, 0.5, '0')], labels, 100)
        result(bag, BEGIN + 200, [], labels, 100)
    frames = list(read_frames(tmp_path / 'bag', TOPICS))
    assert [frame.stamp - BEGIN for frame in frames] == list(range(300))
    assert [index for index, frame in enumerate(frames) if frame.processed] == [0, 100, 200]
    assert [len(frames[index].detections) for index in (0, 100, 200)] == [1, 1, 0]
    np.testing.assert_array_equal(frames[100].label_map, labels)


def test_results_match_one_of_two_images_with_equal_stamp(write_bag, tmp_path):
    with write_bag() as bag:
        for number in range(2):
            bag.image(TOPICS.image, BEGIN, image(number), 'rgb8')
        bag.detections(TOPICS.detections, BEGIN, [], BEGIN)
    assert [frame.processed for frame in read_frames(tmp_path / 'bag', TOPICS)] == [True, False]


def test_numeric_class_names_stay_text(write_bag, tmp_path):
    with write_bag() as bag:
        bag.image(TOPICS.image, BEGIN, image(0), 'rgb8')
        bag.detections(TOPICS.detections, BEGIN, [(0.0, 0.0, 1.0, 1.0, 0.5, 'car')], BEGIN)
    with pytest.raises(DataError, match=r"class_id 'car'.*class_id_format"):
        list(read_frames(tmp_path / 'bag', TOPICS))


def test_latest_diagnostics_of_the_node(write_bag, tmp_path):
    with write_bag() as bag:
        bag.diagnostics({'perception_node: images': {'images received': '1'},
                         'other_node: images': {'images received': '99'}}, BEGIN)
        bag.diagnostics({'perception_node: images': {'images received': '2'},
                         'perception_node: model': {'runtime': 'r'}}, BEGIN + 1)
    assert last_diagnostics(tmp_path / 'bag', TOPICS, 'perception_node') == {
        'images': {'images received': '2'}, 'model': {'runtime': 'r'}}


def test_frames_of_compressed_recording(write_bag, tmp_path):
    png = [cv2.imencode('.png', cv2.cvtColor(image(number), cv2.COLOR_RGB2BGR))[1].tobytes()
           for number in range(3)]
    with write_bag() as bag:
        for number in range(3):
            bag.compressed('/image/compressed', BEGIN + number, png[number], BEGIN + number)
            bag.detections(TOPICS.detections, BEGIN + number,
                           [(0.0, 0.0, 1.0, 1.0, 0.5, '0')] * number, BEGIN + number)
    frames = list(read_frames(tmp_path / 'bag', TOPICS))
    assert [len(frame.detections) for frame in frames] == [0, 1, 2]
    for number, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.image, image(number))
