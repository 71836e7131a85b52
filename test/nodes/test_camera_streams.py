"""Camera streams over HTTP and RTSP, from test servers that are stopped and restarted."""

from __future__ import annotations

from fractions import Fraction
import os
import re
import subprocess
import sys
import time

import cv2
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from stream_servers import (
    beats,
    HEIGHT,
    MotionJpeg,
    numbered_image,
    RtspJpeg,
    SECRETS,
    Server,
    WIDTH,
)

from mtl_perception.compressed import CompressedData, decode_compressed
from mtl_perception.nodes import qos


@pytest.fixture
def serve():
    """Return a function that creates a server without starting it."""
    servers = []

    def make(handler, scheme, path='/video'):
        servers.append(Server(handler, scheme, path))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


@pytest.fixture(params=[(MotionJpeg, 'http'), (RtspJpeg, 'rtsp')], ids=['http', 'rtsp'])
def server(request, serve):
    return serve(*request.param)


@pytest.fixture
def listen(ros_node):
    """Return lists of received images, camera infos, compressed images and statuses."""
    def subscribe(name='image'):
        profile = qos.stream('reliable', 50)
        images, infos, compressed = [], [], []
        ros_node.create_subscription(Image, name, images.append, profile)
        ros_node.create_subscription(CameraInfo, 'camera_info', infos.append, profile)
        ros_node.create_subscription(
            CompressedImage, f'{name}/compressed', compressed.append, profile)
        return images, infos, compressed

    return subscribe


@pytest.fixture
def statuses(ros_node):
    received = []
    ros_node.create_subscription(
        DiagnosticArray, '/diagnostics', lambda message: received.extend(message.status), 10)
    return received


def values(status):
    return {item.key: item.value for item in status.values}


def nanoseconds(header):
    return header.stamp.sec * 10**9 + header.stamp.nanosec


@pytest.mark.slow
def test_stream_is_awaited_and_reconnected(server, start_node, listen, statuses, wait_until):
    images, infos, _ = listen()
    camera = start_node('camera_node', source=server.url, timeout=1.0)
    camera.wait_for_words(f'{server.name} cannot be opened; trying again until it is available')
    wait_until(lambda: statuses)
    assert statuses[-1].level == DiagnosticStatus.WARN
    assert statuses[-1].name == 'camera_node: stream'
    server.start()
    wait_until(lambda: len(images) >= 5)
    assert f'{server.name} is available after' in camera.said()
    wait_until(lambda: statuses[-1].level == DiagnosticStatus.OK)
    server.stop()
    camera.wait_for_words('trying again until it is available', 5.0)
    wait_until(lambda: camera.said().count('trying again') == 2, 5.0)
    wait_until(lambda: statuses[-1].level == DiagnosticStatus.WARN)
    assert values(statuses[-1])['state'] == 'broken'
    before = len(images)
    server.start()
    wait_until(lambda: len(images) >= before + 5)
    wait_until(lambda: values(statuses[-1])['reconnects'] == '1')
    told = values(statuses[-1])
    assert told['source'] == server.name and told['size [px]'] == f'{WIDTH}x{HEIGHT}'
    assert told['breaks'] == '1' and told['stamps'] == 'arrival'
    assert int(told['images published']) >= before + 5 and float(told['rate [Hz]']) > 1
    code, seconds = camera.end()
    assert code == 0 and seconds < 1.5
    said = camera.said()
    assert said.count('is back after') == 1 and 'Traceback' not in said
    told_all = said + ''.join(str(status) for status in statuses)
    assert not any(secret in told_all for secret in SECRETS)
    # Only our lines, neither OpenCV's nor FFmpeg's.
    assert [line for line in said.splitlines()
            if not re.match(r'\[(INFO|WARN)\] \[\d+\.\d+\] \[camera_node\]: ', line)] == []
    for image, info in zip(images, infos, strict=False):
        assert image.header == info.header
    stamps = [nanoseconds(image.header) for image in images]
    assert (np.diff(stamps) > 0).all()


@pytest.mark.slow
def test_stalled_stream_is_detected_and_does_not_delay_shutdown(server, start_node, listen,
                                                                wait_until):
    server.start()
    images, *_ = listen()
    camera = start_node('camera_node', source=server.url, timeout=1.0)
    wait_until(lambda: len(images) >= 3)
    server.stall()
    begin = time.monotonic()
    camera.wait_for_words('gives no images for 1.', 5.0)
    assert 0.5 < time.monotonic() - begin < 3
    # The stream is being opened or read at these times.
    code, seconds = camera.end()
    assert code == 0 and seconds < 1.5


@pytest.mark.slow
def test_outputs_have_equal_images_and_stamps(serve, start_node, listen, wait_until):
    server = serve(MotionJpeg, 'http')
    server.start()
    images, _, compressed = listen('front/image')
    camera = start_node(
        'camera_node', '-r', 'image:=front/image', '-r', '__node:=front', source=server.url,
        output='both', encoding='rgb8', wait_for_subscribers=2)
    wait_until(lambda: len(images) >= 5 and len(compressed) >= 5)
    assert camera.end()[0] == 0
    assert '/front/image and /front/image/compressed' in camera.said()
    by_stamp = {nanoseconds(image.header): image for image in images}
    both = [item for item in compressed if nanoseconds(item.header) in by_stamp]
    assert len(both) >= 4
    for item in both:
        assert item.format == 'rgb8; jpeg compressed bgr8'
        assert item.header.frame_id == 'camera'
        pixels, _ = decode_compressed(CompressedData(item.data, item.format))
        raw = np.frombuffer(by_stamp[nanoseconds(item.header)].data, np.uint8)
        assert abs(int(pixels[5, 5, 0]) - int(raw[0])) < 6


@pytest.mark.slow
def test_compressed_output_only_of_synthetic_flight(start_node, listen, wait_until):
    images, _, compressed = listen()
    camera = start_node(
        'camera_node', source='synthetic:3', width=160, height=128, rate=30.0, output='compressed',
        compressed_format='png', wait_for_subscribers=1)
    wait_until(lambda: len(compressed) >= 3)
    assert camera.end()[0] == 0
    assert images == [] and compressed[0].format == 'bgr8; png compressed bgr8'
    pixels, order = decode_compressed(CompressedData(compressed[0].data, compressed[0].format))
    from mtl_perception.data.synthetic import SyntheticFlight

    expected = SyntheticFlight(3, 160, 128, 300, 30.0)[0].image
    assert order == 'bgr' and np.array_equal(pixels[..., ::-1], expected), 'without loss'


@pytest.mark.slow
def test_slow_consumer_gets_newest_image(serve, start_node, listen, wait_until):
    server = serve(MotionJpeg, 'http')
    server.start()
    images, *_ = listen()
    camera = start_node('camera_node', source=server.url, rate=4.0)
    wait_until(lambda: len(images) >= 6)
    assert camera.end()[0] == 0
    numbers = np.unwrap([round(image.data[0] / 10) for image in images], period=25)
    # At 20 images/s and a rate of 4 Hz four of five are dropped, and none is queued.
    assert 3 <= np.median(np.diff(numbers)) <= 7
    seconds = (nanoseconds(images[-1].header) - nanoseconds(images[0].header)) / 1e9
    assert abs((len(images) - 1) / seconds - 4) < 1


def h264(count: int = 100) -> list[bytes]:
    """Return images as H.264 with every tenth a key frame; skip without an encoder."""
    av = pytest.importorskip('av', reason='no encoder of H.264: PyAV is not installed')
    if 'libx264' not in av.codecs_available:
        pytest.skip('no encoder of H.264 in this PyAV')
    encoder = av.CodecContext.create('libx264', 'w')
    encoder.width, encoder.height, encoder.pix_fmt = WIDTH, HEIGHT, 'yuv420p'
    encoder.time_base, encoder.framerate = Fraction(1, 20), Fraction(20)
    encoder.options = {'tune': 'zerolatency', 'g': '10'}
    packets = []
    for number in range(count):
        frame = av.VideoFrame.from_ndarray(numbered_image(number), format='bgr24').reformat(
            format='yuv420p')
        frame.pts = number
        packets += encoder.encode(frame)
    return [bytes(packet) for packet in packets]


@pytest.mark.slow
def test_h264_over_rtsp(serve, start_node, listen, wait_until):
    units = h264()

    class RtspH264(RtspJpeg):
        """RTP/H.264 (RFC 6184): whole NAL units, or parts of type FU-A."""

        sdp = ('m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n'
               'a=fmtp:96 packetization-mode=1\r\n')
        payload_type = 96

        def payloads(self, number: int) -> list[bytes]:
            payloads = []
            for nal in re.split(b'\0\0\0?\1', units[number % len(units)])[1:]:
                if len(nal) <= 200:
                    payloads.append(nal)
                    continue
                for at in range(1, len(nal), 200):
                    marks = (at == 1) << 7 | (at + 200 >= len(nal)) << 6
                    payloads.append(
                        bytes([nal[0] & 0xE0 | 28, marks | nal[0] & 0x1F]) + nal[at:at + 200])
            return payloads

    server = serve(RtspH264, 'rtsp')
    server.start()
    images, *_ = listen()
    camera = start_node('camera_node', source=server.url, timeout=1.0)
    wait_until(lambda: len(images) >= 30)
    assert (images[0].width, images[0].height) == (WIDTH, HEIGHT)
    # Over all pixels: single ones may differ by more than half a step.
    numbers = np.array([round(np.mean(image.data) / 10) for image in images])
    assert (np.diff(numbers) % 25 == 1).mean() > 0.8, 'each image once and in order'
    server.stop()
    camera.wait_for_words('trying again', 5.0)
    server.start()
    camera.wait_for_words('is back', 8.0)
    assert camera.end()[0] == 0


@pytest.mark.slow
def test_h264_in_mpegts_over_http(serve, start_node, listen, wait_until, tmp_path):
    h264(1)
    import av

    path = tmp_path / 'flight.ts'
    with av.open(str(path), 'w', format='mpegts') as container:
        stream = container.add_stream('libx264', rate=20)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, 'yuv420p'
        stream.options = {'tune': 'zerolatency', 'g': '10'}
        for number in range(100):
            frame = av.VideoFrame.from_ndarray(numbered_image(number), format='bgr24')
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    data = path.read_bytes()

    class Mpegts(MotionJpeg):
        def respond(self) -> None:
            self.server.connections.append(self.connection)
            self.send_response(200)
            self.send_header('Content-Type', 'video/mp2t')
            self.end_headers()
            step = max(188, len(data) // 100)
            for number in beats(self.server):
                if number * step >= len(data):
                    return
                self.wfile.write(data[number * step:(number + 1) * step])

    server = serve(Mpegts, 'http', '/flight.ts')
    server.start()
    images, *_ = listen()
    camera = start_node('camera_node', source=server.url, timeout=2.0)
    wait_until(lambda: len(images) >= 20)
    camera.wait_for_words('flight.ts has ended; trying again')
    assert (images[0].width, images[0].height) == (WIDTH, HEIGHT)
    assert camera.end()[0] == 0


@pytest.mark.slow
def test_playlist_cannot_read_local_files(serve, start_node, tmp_path):
    video = tmp_path / 'secret.avi'
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*'MJPG'), 10, (64, 48))
    for _ in range(20):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()

    class Playlist(MotionJpeg):
        def respond(self) -> None:
            body = f'ffconcat version 1.0\nfile file:{video}\n'.encode()
            self.send_response(200)
            self.send_header('Content-Length', str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = serve(Playlist, 'http', '/list.ffconcat')
    server.start()
    camera = start_node('camera_node', source=server.url, timeout=1.0)
    camera.wait_for_words('cannot be opened; trying again')
    assert f'{server.name} is available' not in camera.said()
    camera.end()


def test_ffmpeg_options_of_user_are_kept(monkeypatch):
    from mtl_perception.nodes.capture import LiveSource
    from mtl_perception.nodes.quiet_opencv import keep_opencv_quiet

    monkeypatch.setenv('OPENCV_FFMPEG_CAPTURE_OPTIONS', 'rtsp_transport;udp')
    monkeypatch.setenv('OPENCV_FFMPEG_LOGLEVEL', '16')
    monkeypatch.setenv('OPENCV_LOG_LEVEL', 'INFO')
    monkeypatch.setenv('OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT', '3')
    keep_opencv_quiet()
    LiveSource('x', 'rtsp://192.0.2.1/x', cv2.CAP_FFMPEG, 1.0, print, print)
    assert os.environ['OPENCV_FFMPEG_CAPTURE_OPTIONS'] == 'rtsp_transport;udp'
    assert os.environ['OPENCV_FFMPEG_LOGLEVEL'] == '16'
    assert os.environ['OPENCV_LOG_LEVEL'] == 'INFO'
    assert os.environ['OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT'] == '3'


@pytest.mark.slow
def test_invalid_url_gives_one_line_error_without_secrets(start_node):
    camera = start_node('camera_node', source='file://pilot:hushhush@host/x')
    assert camera.wait() == 1
    assert re.fullmatch(
        r'error: source: no images are taken from file:; an URL begins with .*\n', camera.said())


@pytest.mark.parametrize('argument', [
    'source=rtsp://pilot:hushhush@host/x', 'source:=[rtsp://pilot:hushhush@host/x]',
    'source:=//pilot:hushhush@host/x'])
def test_invalid_arguments_are_printed_without_secrets(argument):
    done = subprocess.run(
        [sys.executable, '-m', 'mtl_perception.nodes.camera_node', '--ros-args', '-p', argument],
        capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and '***@host/x' in done.stderr
    assert not any(secret in done.stdout + done.stderr for secret in SECRETS)
