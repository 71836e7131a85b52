"""Servers of numbered images for tests: MJPEG over HTTP, and RTP/JPEG over RTSP."""

from __future__ import annotations

import contextlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import itertools
import socket
import socketserver
import struct
import threading
import time

import cv2
import numpy as np

PERIOD = 0.05
WIDTH, HEIGHT = 160, 128
SECRETS = ('pilot', 'hushhush')


def numbered_image(number: int) -> np.ndarray:
    """Return an image whose grey level encodes its number."""
    return np.full((HEIGHT, WIDTH, 3), number % 25 * 10, np.uint8)


def jpeg(number: int) -> bytes:
    return cv2.imencode('.jpg', numbered_image(number))[1].tobytes()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


class Server:
    """A server on its own port that can be stopped, restarted and stalled."""

    def __init__(self, handler, scheme: str, path: str) -> None:
        self.port = free_port()
        self.url = f'{scheme}://{SECRETS[0]}:{SECRETS[1]}@127.0.0.1:{self.port}{path}'
        self.name = f'{scheme}://127.0.0.1:{self.port}{path}'
        self._handler = handler
        self._server = None
        self._connections: list[socket.socket] = []

    def start(self) -> None:
        class Threading(ThreadingHTTPServer):
            allow_reuse_address = True
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self._server = Threading(('127.0.0.1', self.port), self._handler)
        self._server.stalled = False
        self._server.ended = False
        self._server.connections = self._connections
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stall(self) -> None:
        """Keep the connections and send nothing more."""
        self._server.stalled = True

    def stop(self) -> None:
        if self._server is None:
            return
        self._server.ended = True
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._connections.clear()
        self._server.shutdown()
        self._server.server_close()
        self._server = None


def beats(server):
    """Yield numbers at the period until the server stops, none while it is stalled."""
    for number in itertools.count():
        while server.stalled and not server.ended:
            time.sleep(0.02)
        if server.ended:
            return
        yield number
        time.sleep(PERIOD)


class MotionJpeg(BaseHTTPRequestHandler):
    """MJPEG over HTTP, as in most network cameras."""

    def do_GET(self) -> None:
        self.respond()

    def respond(self) -> None:
        self.server.connections.append(self.connection)
        self.send_response(200)
        self.send_header('Content-Type', 'multipart/x-mixed-replace; boundary=frame')
        self.end_headers()
        for number in beats(self.server):
            data = jpeg(number)
            self.wfile.write(b'--frame\r\nContent-Type: image/jpeg\r\nContent-Length: '
                             + str(len(data)).encode() + b'\r\n\r\n' + data + b'\r\n')

    def log_message(self, *_) -> None:
        pass


class RtspJpeg(socketserver.StreamRequestHandler):
    """RTSP (RFC 2326) with RTP/JPEG (RFC 2435) interleaved in its connection."""

    sdp = 'm=video 0 RTP/AVP 26\r\n'
    payload_type = 26

    def handle(self) -> None:
        self.server.connections.append(self.connection)
        while line := self.rfile.readline().decode():
            headers = {}
            while header := self.rfile.readline().decode().strip():
                key, _, value = header.partition(':')
                headers[key.lower()] = value.strip()
            method, url, _ = line.split()
            self.answer(method, url, headers)
            if method == 'PLAY':
                threading.Thread(target=self.play, daemon=True).start()

    def answer(self, method: str, url: str, headers: dict[str, str]) -> None:
        more, body = '', ''
        if method == 'OPTIONS':
            more = 'Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n'
        elif method == 'DESCRIBE':
            body = ('v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n'
                    f'{self.sdp}a=control:track\r\n')
            more = (f'Content-Base: {url}/\r\nContent-Type: application/sdp\r\n'
                    f'Content-Length: {len(body)}\r\n')
        elif method == 'SETUP':
            assert 'TCP' in headers['transport'], 'over TCP unless somebody asks otherwise'
            more = 'Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 7\r\n'
        elif method == 'PLAY':
            more = 'Session: 7\r\nRange: npt=0.000-\r\n'
        self.wfile.write(
            f'RTSP/1.0 200 OK\r\nCSeq: {headers["cseq"]}\r\n{more}\r\n{body}'.encode())

    def play(self) -> None:
        sequence = 0
        with contextlib.suppress(OSError):
            for number in beats(self.server):
                payloads = self.payloads(number)
                for index, payload in enumerate(payloads):
                    is_last = index == len(payloads) - 1
                    packet = struct.pack(
                        '>BBHII', 0x80, self.payload_type | is_last << 7, sequence & 0xFFFF,
                        int(number * PERIOD * 90000), 1) + payload
                    self.wfile.write(struct.pack('>cBH', b'$', 0, len(packet)) + packet)
                    sequence += 1

    def payloads(self, number: int) -> list[bytes]:
        """Return the RTP payloads of an image."""
        tables, scan = self.parts(jpeg(number))
        payloads = []
        for at in range(0, len(scan), 1200):
            # Type 1: 4:2:0; Q 255: tables in each first packet.
            head = struct.pack('>IBBBB', at, 1, 255, WIDTH // 8, HEIGHT // 8)
            if at == 0:
                head += struct.pack('>BBH', 0, 0, len(tables)) + tables
            payloads.append(head + scan[at:at + 1200])
        return payloads

    @staticmethod
    def parts(data: bytes) -> tuple[bytes, bytes]:
        """Return the quantisation tables and the scan of a baseline JPEG."""
        tables, at = b'', 2
        while data[at + 1] != 0xDA:
            (length,) = struct.unpack_from('>H', data, at + 2)
            if data[at + 1] == 0xDB:
                segment = data[at + 4:at + 2 + length]
                tables += b''.join(segment[i + 1:i + 65] for i in range(0, len(segment), 65))
            at += 2 + length
        (length,) = struct.unpack_from('>H', data, at + 2)
        return tables, data[at + 2 + length:-2]
