import cv2
import numpy as np
import pytest

from mtl_perception.errors import DataError
from mtl_perception.images.inputs import open_images
from mtl_perception.stretch import stretched


def _image(seed=0, width=40, height=30):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture
def video(tmp_path):
    path = tmp_path / 'flight.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 10, (64, 48))
    if not writer.isOpened():
        pytest.skip('this OpenCV writes no MJPG video')
    for number in range(5):
        writer.write(np.full((48, 64, 3), 40 * number, np.uint8))
    writer.release()
    return path


def test_single_image_file(tmp_path):
    path = tmp_path / 'one.PNG'
    assert cv2.imwrite(str(path), _image())
    images = open_images(path)
    only, = images.items
    assert (images.count, only.name, only.file_name) == (1, 'one', 'one.PNG')
    assert np.array_equal(only.read(), _image())


def test_folder_lists_images_by_name(tmp_path):
    for number, name in enumerate(('b.png', 'a.bmp', 'c.tiff')):
        assert cv2.imwrite(str(tmp_path / name), _image(number))
    (tmp_path / 'notes.txt').write_text('no image')
    (tmp_path / 'folder.png').mkdir()
    images = open_images(tmp_path)
    items = list(images.items)
    assert images.count == 3
    assert [item.file_name for item in items] == ['a.bmp', 'b.png', 'c.tiff']
    assert [item.name for item in items] == ['a', 'b', 'c']
    assert np.array_equal(items[0].read(), _image(1))


def test_equal_stems_keep_suffix_in_name(tmp_path):
    for name in ('a.png', 'a.bmp', 'b.png'):
        assert cv2.imwrite(str(tmp_path / name), _image())
    assert [item.name for item in open_images(tmp_path).items] == ['a.bmp', 'a.png', 'b']


def test_video_yields_every_frame(video):
    images = open_images(video)
    items = list(images.items)
    assert images.count == 5
    assert [item.name for item in items] == [f'flight_{number:06d}' for number in range(1, 6)]
    assert [round(item.read().mean() / 40) for item in items] == [0, 1, 2, 3, 4]


def test_inputs_without_images_are_rejected(tmp_path):
    with pytest.raises(DataError, match=r'none\.jpg: no such file'):
        open_images(tmp_path / 'none.jpg')
    with pytest.raises(DataError, match='no images in this folder'):
        open_images(tmp_path)
    text = tmp_path / 'text.txt'
    text.write_text('words ' * 100)
    with pytest.raises(DataError, match=r'text\.txt: neither an image'):
        open_images(text)
    broken = tmp_path / 'broken.mp4'
    broken.write_bytes(bytes(5000))
    with pytest.raises(DataError, match=r'broken\.mp4: not a video'):
        open_images(broken)


def test_names_never_collide(tmp_path):
    names = ['a.jpg', 'a.jpg.png', 'a.png', 'b.png', 'b.png.png.png', 'b.png.png', 'c.PNG']
    for name in names:
        (tmp_path / name).touch()
    items = list(open_images(tmp_path).items)
    assert sorted(item.file_name for item in items) == sorted(names)
    assert len({item.name for item in items}) == len(names)
    assert items[-1].name == 'c'


def test_deep_images_are_stretched_white_hot_or_black_hot(tmp_path):
    counts = (7200 + _image()[..., 0].astype(np.uint16))
    assert cv2.imwrite(str(tmp_path / 'a.png'), counts)
    for path in (tmp_path, tmp_path / 'a.png'):
        white, = open_images(path).items
        black, = open_images(path, black_hot=True).items
        assert np.array_equal(white.read()[..., 0], stretched(counts))
        assert np.array_equal(black.read(), 255 - white.read())
