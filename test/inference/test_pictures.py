import cv2
import numpy as np
import pytest

from mtl_perception.errors import DataError
from mtl_perception.inference.pictures import open_pictures, read_picture


def _picture(seed=0, width=40, height=30):
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


def test_one_image(tmp_path):
    path = tmp_path / 'one.PNG'
    assert cv2.imwrite(str(path), _picture())
    pictures = open_pictures(path)
    only, = pictures.items
    assert (pictures.count, only.name, only.file_name) == (1, 'one', 'one.PNG')
    assert np.array_equal(only.read(), _picture())


def test_a_folder_by_name_and_only_its_images(tmp_path):
    for number, name in enumerate(('b.png', 'a.bmp', 'c.tiff')):
        assert cv2.imwrite(str(tmp_path / name), _picture(number))
    (tmp_path / 'notes.txt').write_text('no image')
    (tmp_path / 'folder.png').mkdir()
    pictures = open_pictures(tmp_path)
    items = list(pictures.items)
    assert pictures.count == 3
    assert [item.file_name for item in items] == ['a.bmp', 'b.png', 'c.tiff']
    assert [item.name for item in items] == ['a', 'b', 'c']
    assert np.array_equal(items[0].read(), _picture(1))


def test_equal_stems_keep_their_suffix(tmp_path):
    for name in ('a.png', 'a.bmp', 'b.png'):
        assert cv2.imwrite(str(tmp_path / name), _picture())
    assert [item.name for item in open_pictures(tmp_path).items] == ['a.bmp', 'a.png', 'b']


def test_every_frame_of_a_video(video):
    pictures = open_pictures(video)
    items = list(pictures.items)
    assert pictures.count == 5
    assert [item.name for item in items] == [f'flight_{number:06d}' for number in range(1, 6)]
    assert [round(item.read().mean() / 40) for item in items] == [0, 1, 2, 3, 4]


def test_what_has_no_pictures(tmp_path):
    with pytest.raises(DataError, match=r'none\.jpg: no such file'):
        open_pictures(tmp_path / 'none.jpg')
    with pytest.raises(DataError, match='no images in this folder'):
        open_pictures(tmp_path)
    text = tmp_path / 'text.txt'
    text.write_text('words ' * 100)
    with pytest.raises(DataError, match=r'text\.txt: neither an image'):
        open_pictures(text)
    broken = tmp_path / 'broken.mp4'
    broken.write_bytes(bytes(5000))
    with pytest.raises(DataError, match=r'broken\.mp4: not a video'):
        open_pictures(broken)


@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.bmp', '.tiff', '.webp'])
def test_a_broken_image_is_named(tmp_path, suffix):
    whole = cv2.imencode(suffix, _picture(width=200, height=200))[1].tobytes()
    path = tmp_path / f'broken{suffix}'
    for content in (b'', b'no image at all', whole[:len(whole) // 10]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=rf'broken{suffix}: '):
            read_picture(path)


def test_an_image_that_is_gone_or_too_large(tmp_path):
    with pytest.raises(DataError, match=r'gone\.png: cannot be read: No such file'):
        read_picture(tmp_path / 'gone.png')
    path = tmp_path / 'large.png'
    with path.open('wb') as file:
        file.truncate(2 << 30)  # sparse
    with pytest.raises(DataError, match='2048 MiB'):
        read_picture(path)


def test_images_of_16_bits_are_refused_and_grey_ones_are_not(tmp_path):
    deep, grey = tmp_path / 'deep.png', tmp_path / 'grey.png'
    assert cv2.imwrite(str(deep), np.full((8, 8), 3000, np.uint16))
    assert cv2.imwrite(str(grey), np.full((8, 8), 30, np.uint8))
    with pytest.raises(DataError, match=r'deep\.png: has uint16 pixels'):
        read_picture(deep)
    assert (read_picture(grey) == np.full((8, 8, 3), 30)).all()
