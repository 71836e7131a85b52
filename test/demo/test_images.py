import cv2
import numpy as np
import pytest

pytest.importorskip('rosbags')

from mtl_perception.bags.results import RecordedFrame
from mtl_perception.demo.images import (
    CELLS,
    contact_sheet,
    FlightImages,
    OVERLAYS,
)
from mtl_perception.inference.results import Detections
from mtl_perception.labels import LabelSet
from mtl_perception.spec import ModelSpec

SPEC = ModelSpec(detection=LabelSet.of('car'), segmentation=LabelSet.of('road', 'water'))


def frame(number: int, width: int, height: int, processed: bool = True) -> RecordedFrame:
    image = np.full((height, width, 3), 40 + number, np.uint8)
    found = Detections(np.float32([(2, 2, width / 2, height / 2)]), np.float32([0.9]),
                       np.int32([0]))
    label_map = np.zeros((height, width), np.uint8)
    return RecordedFrame(number, image, processed, found if processed else None,
                         label_map if processed else None, 0.1 if processed else None)


def film(path) -> list[np.ndarray]:
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        good, image = capture.read()
        if not good:
            return frames
        frames.append(image)


@pytest.mark.parametrize('width, height', [(64, 48), (75, 33), (1500, 90)])
def test_a_flight_leaves_its_images(tmp_path, width, height):
    images = FlightImages(tmp_path, SPEC, 10.0, 30)
    for number in range(30):
        images.add(frame(number, width, height, processed=number % 3 != 1))
    made = images.close()
    assert [path.name for path in made] == ['overlay', 'contact_sheet.jpg', 'flight.mp4']
    overlays = sorted((tmp_path / 'overlay').iterdir())
    assert len(overlays) == OVERLAYS
    assert cv2.imread(str(overlays[0])).shape == (height, width, 3)
    # The first processed frame at or after 2, and not another one near by.
    assert overlays[0].stem == '0002'
    sheet = cv2.imread(str(tmp_path / 'contact_sheet.jpg'))
    assert 1900 <= sheet.shape[1] <= 1920
    shown = film(tmp_path / 'flight.mp4')
    assert len(shown) == 30
    assert shown[0].shape[1] <= 1280 and shown[0].shape[0] % 2 == 0
    # A dropped frame holds the image before.
    assert np.abs(shown[3].astype(int) - shown[4]).mean() < 2


def test_fewer_frames_than_places(tmp_path):
    images = FlightImages(tmp_path, SPEC, 5.0, 3)
    for number in range(3):
        images.add(frame(number, 64, 48))
    images.close()
    assert len(list((tmp_path / 'overlay').iterdir())) == 3
    assert CELLS > 3
    assert cv2.imread(str(tmp_path / 'contact_sheet.jpg')) is not None


def test_images_of_different_sizes(tmp_path):
    images = FlightImages(tmp_path, SPEC, 5.0, 4)
    for number, size in enumerate(((64, 48), (48, 64), (100, 20), (64, 48))):
        images.add(frame(number, *size))
    images.close()
    shown = film(tmp_path / 'flight.mp4')
    assert len(shown) == 4
    # The upright image stands in the middle of the film, it does not fill it.
    assert shown[1][:, :10].mean() < 32 and shown[1][:, -10:].mean() < 32
    assert shown[1][:, 20:44].mean() > 50


def test_a_legend_of_many_classes_has_many_lines():
    cells = [np.zeros((48, 200, 3), np.uint8)] * 4
    names = [f'class number {k}' for k in range(40)]
    few = contact_sheet(cells, 4, ModelSpec(detection=LabelSet.of(*names[:3])))
    many = contact_sheet(cells, 4, ModelSpec(detection=LabelSet.of(*names)))
    assert many.shape[1] == few.shape[1] and many.shape[0] > few.shape[0] + 150
    # The last class is named too, in its colour.
    color = np.array(LabelSet.of(*names).colors[-1])
    assert (many[-40:] == color).all(axis=-1).any()


def test_nothing_processed_leaves_no_images(tmp_path):
    images = FlightImages(tmp_path, SPEC, 5.0, 2)
    images.add(frame(0, 64, 48, processed=False))
    assert images.close() == []
    assert not (tmp_path / 'flight.mp4').exists()
