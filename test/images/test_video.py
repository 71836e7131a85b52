"""Videos: complete, cut off, damaged, and of more than 8 bits."""

import os
from pathlib import Path

import av
import cv2
from hypothesis import given, HealthCheck, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from mtl_perception.errors import DataError
from mtl_perception.images.containers import read_container
from mtl_perception.images.inputs import open_images
from mtl_perception.images.video import Video
from test.fuzzing import damaged, fuzz_examples

FRAMES, RATE = 40, 20
SCENE = cv2.resize(np.random.default_rng(0).integers(0, 256, (20, 40, 3), np.uint8), (420, 290))

CONTAINERS = {
    'a.mp4': ('mpeg4', {'movflags': 'faststart'}, 'MP4'),
    'fragments.mp4': ('mpeg4', {'movflags': 'frag_keyframe+empty_moov'}, 'MP4'),
    'a.mov': ('mpeg4', {'movflags': 'faststart'}, 'MP4'), 'a.avi': ('mjpeg', {}, 'AVI'),
    'a.mkv': ('mjpeg', {}, 'Matroska'), 'a.webm': ('libvpx', {}, 'Matroska'),
    'a.wmv': ('wmv2', {}, 'ASF'), 'a.ts': ('mpeg2video', {}, 'MPEG-TS'),
    'a.mts': ('mpeg2video', {'mpegts_m2ts_mode': '1'}, 'MPEG-TS')}
"""Name -> codec, options of the muxer, container."""


def write_video(path, codec, options=None, frames=FRAMES, pixels='yuv420p', make=None):
    formats = {'.mts': 'mpegts'}
    with av.open(str(path), 'w', format=formats.get(path.suffix), options=options or {}) as file:
        stream = file.add_stream(codec, rate=RATE)
        stream.width, stream.height = 160, 120
        stream.pix_fmt = 'yuvj420p' if codec == 'mjpeg' else pixels
        stream.gop_size = 5
        for number in range(frames):
            image = SCENE[number:number + 120, 2 * number:2 * number + 160]
            frame = make(number) if make else av.VideoFrame.from_ndarray(
                np.ascontiguousarray(image), format='rgb24')
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


@pytest.fixture(scope='module')
def videos(tmp_path_factory):
    """Return the path of each video of `CONTAINERS`."""
    folder = tmp_path_factory.mktemp('videos')
    return {name: write_video(folder / name, codec, options)
            for name, (codec, options, _) in CONTAINERS.items()}


@pytest.mark.parametrize('name', CONTAINERS)
def test_complete_video_raises_no_alarm(name, videos):
    container = read_container(videos[name])
    assert (container.kind, container.missing) == (CONTAINERS[name][2], 0)
    assert len(list(Video(videos[name]).frames())) == FRAMES


@pytest.mark.parametrize('share', [0.6, 0.95])
@pytest.mark.parametrize('name', CONTAINERS)
def test_cut_video_is_named_after_its_frames(name, share, videos, tmp_path):
    data = videos[name].read_bytes()
    path = tmp_path / name
    path.write_bytes(data[:round(len(data) * share) // 2 * 2 + 1])
    frames = Video(path).frames()
    seen = []
    with pytest.raises(DataError, match=rf'{name}: ends after \d+ frames: it is cut off, \d+ b'):
        seen.extend(frame.shape for frame in frames)
    # What is raised while a list is extended leaves the items before it there.
    assert 2 < len(seen) <= FRAMES and set(seen) == {(120, 160, 3)}


def test_cut_video_is_the_last_error_of_an_input(videos, tmp_path):
    path = tmp_path / 'cut.avi'
    path.write_bytes(videos['a.avi'].read_bytes()[:-9000])
    images = open_images(path)
    assert images.count == FRAMES
    seen = []
    with pytest.raises(DataError, match=r'cut\.avi: ends after'):
        for item in images.items:
            seen.append(item.name)
    assert seen[0] == 'cut_000001' and len(seen) > 20


def test_video_cut_before_its_index_is_named(videos, tmp_path):
    late = write_video(tmp_path / 'late.mp4', 'mpeg4')
    late.write_bytes(late.read_bytes()[:-200])
    with pytest.raises(DataError, match=r'late\.mp4: not a video that .* bytes at its end are mi'):
        Video(late)


def test_damaged_video_that_ends_early_is_named(videos, tmp_path):
    data = bytearray(videos['a.mkv'].read_bytes())
    data[len(data) // 3:-100] = bytes(len(data) - 100 - len(data) // 3)
    path = tmp_path / 'zeros.mkv'
    path.write_bytes(data)
    with pytest.raises(DataError, match=rf'zeros\.mkv: ends after \d+ of {FRAMES} frames'):
        list(Video(path).frames())


def test_variable_rate_raises_no_alarm(tmp_path):
    path = tmp_path / 'variable.mkv'
    with av.open(str(path), 'w') as file:
        stream = file.add_stream('mjpeg', rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 160, 120, 'yuvj420p'
        for number in range(12):
            frame = av.VideoFrame.from_ndarray(SCENE[:120, :160].copy(), format='rgb24')
            # Half of the frames are missing in the second half.
            frame.pts = number if number < 6 else 6 + 4 * (number - 6)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    video = Video(path)
    assert video.count > 16
    assert len(list(video.frames())) == 12


def test_grey_video_of_16_bits_is_stretched(tmp_path):
    counts = np.linspace(7200, 8500, 160 * 120).reshape(120, 160).astype(np.uint16)
    path = write_video(tmp_path / 'thermal.mkv', 'ffv1', frames=3, pixels='gray16le',
                       make=lambda _: av.VideoFrame.from_ndarray(counts, format='gray16le'))
    frames = list(Video(path).frames())
    assert len(frames) == 3
    assert frames[0].shape == (120, 160, 3) and frames[0].dtype == np.uint8
    assert frames[0].min() == 0 and frames[0].max() == 255
    black = next(iter(Video(path).frames(black_hot=True)))
    assert np.array_equal(black, 255 - frames[0])


@pytest.mark.parametrize('bits', [10, 12])
def test_grey_video_of_other_depths_is_named(bits, tmp_path):
    counts = np.full((120, 160), 7200, np.uint16)
    path = write_video(tmp_path / 'deep.mkv', 'ffv1', frames=2, pixels=f'gray{bits}le',
                       make=lambda _: av.VideoFrame.from_ndarray(counts, format='gray16le'))
    with pytest.raises(DataError, match=rf'deep\.mkv: has grey pixels of {bits} bits'):
        Video(path)


def test_name_that_is_not_utf8(videos, tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b'/caf\xe9.avi'))
    path.write_bytes(videos['a.avi'].read_bytes())
    assert len(list(Video(path).frames())) == FRAMES


@pytest.mark.parametrize('content', [
    b'', b'RIFF', b'RIFF\xff', b'\x1a\x45\xdf\xa3', b'\x1a\x45\xdf\xa3\0\0\0\0\0',
    b'\0\0\0\x01ftyp', b'\0\0\0\x01ftyp' + b'\xff' * 20, b'\0\0\0\0mdat', b'G' * 400,
    bytes.fromhex('3026b2758e66cf11a6d900aa0062ce6c') + b'\xff' * 50])
def test_broken_containers_are_named(content, tmp_path):
    path = tmp_path / 'broken.mp4'
    path.write_bytes(content)
    with pytest.raises(DataError, match=r'broken\.mp4: not a video'):
        Video(path)


@pytest.mark.parametrize('name', ['a.mp4', 'a.avi', 'a.mkv', 'a.wmv', 'a.ts'])
@settings(max_examples=fuzz_examples(),
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_structure_of_a_damaged_video_is_read(name, data, videos, tmp_path):
    path = tmp_path / name
    path.write_bytes(data.draw(damaged(videos[name].read_bytes()[:4000])))
    assert read_container(path).missing >= 0
