"""Image sources of the camera node."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from mtl_perception.data.synthetic import SyntheticFlight
from mtl_perception.errors import ConfigError, DataError
from mtl_perception.nodes.camera_parameters import CameraParameters
from mtl_perception.nodes.sources import DEFAULT_RATE, open_source


def source_of(text, warn=pytest.fail, **values):
    return open_source(replace(CameraParameters(), source=str(text), **values), warn, warn)


def test_folder_is_sorted_by_name_and_broken_images_skipped(tmp_path):
    for name, value in (('b.png', 20), ('a.PNG', 10), ('d.bmp', 40)):
        cv2.imwrite(str(tmp_path / name), np.full((4, 6, 3), (value, 0, 200), np.uint8))
    (tmp_path / 'c.jpg').write_bytes(b'no image')
    (tmp_path / 'notes.txt').write_text('nor this')
    (tmp_path / 'e.png').mkdir()
    warnings = []
    source = source_of(tmp_path, warnings.append)
    images = list(source.images())
    assert [image[0, 0].tolist() for image in images] == [
        [10, 0, 200], [20, 0, 200], [40, 0, 200]]
    assert source.order == 'bgr' and not source.live and source.rate == DEFAULT_RATE
    assert len(warnings) == 1 and 'c.jpg' in warnings[0]
    assert len(list(source.images())) == 3, 'a second pass begins at the beginning'


def test_folder_of_16_bits_is_stretched_as_one_stream(tmp_path):
    for number, offset in enumerate((0, 100)):
        cv2.imwrite(str(tmp_path / f'{number}.png'),
                    np.array([[7200, 7700, 8200]], np.uint16) + offset)
    first, second = source_of(tmp_path).images()
    assert first[0, :, 0].tolist() == [0, 128, 255]
    # The limits have moved by 10 of the 100 counts in 0.1 s.
    assert second[0, :2, 0].tolist() == [23, 151]
    first, _ = source_of(tmp_path, black_hot=True).images()
    assert first[0, :, 0].tolist() == [255, 127, 0]


def test_video_that_is_cut_off_is_told_after_its_images(tmp_path, monkeypatch):
    # A live source sets it for its process.
    monkeypatch.delenv('OPENCV_FFMPEG_CAPTURE_OPTIONS', raising=False)
    path = tmp_path / 'flight.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 10, (64, 48))
    for value in range(20):
        writer.write(np.full((48, 64, 3), 10 * value, np.uint8))
    writer.release()
    path.write_bytes(path.read_bytes()[:-3000])
    warnings = []
    assert len(list(source_of(path, warnings.append).images())) > 5
    assert len(warnings) == 1 and 'flight.avi: ends after' in warnings[0]


def test_folder_without_readable_image_is_rejected(tmp_path):
    with pytest.raises(DataError, match='no images in this folder'):
        source_of(tmp_path)
    (tmp_path / 'a.png').write_bytes(b'')
    with pytest.raises(DataError, match='none of the 1 images'):
        list(source_of(tmp_path, lambda text: None).images())


def test_video_file_has_rate(tmp_path):
    path = tmp_path / 'flight.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 12.5, (64, 48))
    for value in (10, 100, 200):
        writer.write(np.full((48, 64, 3), value, np.uint8))
    writer.release()
    source = source_of(path)
    images = list(source.images())
    assert source.rate == 12.5 and not source.live
    assert [round(float(image.mean()), -1) for image in images] == [10, 100, 200]


@pytest.mark.slow
def test_synthetic_flight_is_a_source():
    source = source_of('synthetic:5', width=160, height=128, frames=2, rate=20.0)
    assert source.order == 'rgb' and source.rate == 20
    expected = SyntheticFlight(5, 160, 128, 2, 20.0)
    assert [np.array_equal(image, expected[index].image)
            for index, image in enumerate(source.images())] == [True, True]


@pytest.mark.parametrize(('text', 'kind', 'reason'), [
    ('synthetic:', ConfigError, 'the seed after `synthetic:` is a whole number'),
    ('synthetic:-1', ConfigError, 'whole number'),
    ('no/such/thing', DataError, "source 'no/such/thing' is no folder, video file"),
    ('77', DataError, 'video device 77 cannot be opened'),
    ('/dev/video77', DataError, 'video device 77 cannot be opened'),
    ('/dev/null/camera', DataError, 'video device /dev/null/camera cannot be opened'),
    ('videotestsrc ! appsink', ConfigError, 'without GStreamer'),
    ('rtsp://192.0.2.1/stream', ConfigError, 'without FFmpeg'),
    ('file:///etc/passwd', ConfigError, 'no images are taken from file:; an URL begins with rtsp'),
    ('concat:a.ts|b.ts', ConfigError, 'no images are taken from concat:'),
    ('rtsp:/camera', ConfigError, 'after rtsp: an URL has two slashes'),
])
def test_invalid_source_gives_one_line_error(text, kind, reason, monkeypatch):
    monkeypatch.setattr(cv2.videoio_registry, 'hasBackend', lambda _: False)
    with pytest.raises(kind, match=reason) as error:
        source_of(text)
    assert '\n' not in str(error.value)


def test_invalid_video_is_rejected(tmp_path):
    path = tmp_path / 'flight.mp4'
    path.write_bytes(b'no video')
    with pytest.raises(DataError, match=r'flight\.mp4: not a video'):
        source_of(path)


def test_text_file_is_rejected(tmp_path):
    path = tmp_path / 'notes.txt'
    path.write_text('flown on a Monday\n' * 100)
    with pytest.raises(DataError, match=r'notes\.txt.* is no video by its name'):
        source_of(path)
