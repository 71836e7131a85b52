"""
JPEG and PNG images in messages: header checks, decoding and encoding; no ROS.

The `format` of a message written by image_transport's compressed plugin contains the encoding of
the image, `;`, `jpeg` or `png`, `compressed`, and the channel order passed to the codec. Other
publishers write only `jpeg` or `png`, or any text, so the kind is determined from the data.

As with cv_bridge and image_transport, the orientation in a JPEG's EXIF data is not applied: a
camera's calibration applies to its unrotated pixels. The values in a header are checked before
memory is allocated, and only the decoders of JPEG and PNG process the data.
"""

from __future__ import annotations

from dataclasses import dataclass
import struct
import sys

import cv2
import numpy as np

from mtl_perception.encodings import (
    Buffer,
    decode_image,
    ENCODINGS,
    FrameError,
    MAX_SIDE,
    RawImage,
)
from mtl_perception.jpeg import decode_jpeg
from mtl_perception.stretch import stretched, StretchPixels

try:
    import simplejpeg
except ModuleNotFoundError:  # OpenCV is the fallback
    simplejpeg = None

KINDS = ('jpeg', 'png')

MAX_PIXELS = 1 << 26
"""Maximum number of pixels of a compressed image: 8192x8192, 200 MB when decoded."""

UNSUPPORTED, CUT_OFF, TOO_LARGE, BROKEN = (
    'not JPEG or PNG', 'cut off', 'too large', 'broken data')
"""Causes for dropping a compressed image, as counted in diagnostics."""

_JPEG = b'\xff\xd8\xff'
_JPEG_END = b'\xff\xd9'
_PNG = b'\x89PNG\r\n\x1a\n'
_PNG_END = b'\x00\x00\x00\x00IEND\xaeB`\x82'
_PNG_HEADER = struct.Struct('>I4sIIBBBBB')
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Colour type (PNG specification, 11.2.2) -> samples of a pixel."""

_JPEG_PIXELS_PER_BYTE = 512
"""Upper bound for a JPEG: a block of 64 pixels takes at least one bit of Huffman code."""
_PNG_BYTES_PER_BYTE = 1032
"""Upper bound of the expansion of DEFLATE data (Adler and Roelofs, zlib technical details)."""

_TAIL = 1 << 16
"""Bytes at the end that are searched for the end marker: some cameras pad their JPEGs."""

_INSTEAD = (
    (('compresseddepth',), 'depth is not supported: select the colour or infrared topic'),
    (('theora', 'h264', 'h265', 'hevc', 'av1', 'vp8', 'vp9', 'x264', 'nvenc', 'ffmpeg'),
     'video packets are not received: `ros2 run image_transport republish --ros-args -p '
     'in_transport:=TRANSPORT -p out_transport:=raw` decodes them, or configure the driver to '
     'publish JPEG'),
    (('webp', 'tif', 'bmp', 'jp2', 'jxl', 'qoi', 'zstd', 'lz4', 'rvl', 'draco'),
     'configure the publisher to send JPEG or PNG'),
)
"""Words in a format -> remedy."""


@dataclass(frozen=True)
class CompressedData:
    """A compressed image message's fields, without its header."""

    data: Buffer
    format: str


@dataclass(frozen=True)
class CompressedHeader:
    """The header of a compressed image."""

    kind: str
    """'jpeg' or 'png'."""
    width: int
    height: int


def check_compressed(image: CompressedData) -> CompressedHeader:
    """
    Return the header; FrameError with its cause if it is invalid.

    Takes microseconds for any size. The data after the header may still be broken.
    """
    data = memoryview(image.data)
    start = bytes(data[:_PNG_HEADER.size + len(_PNG)])
    if start.startswith(_JPEG):
        header = _jpeg_header(data)
    elif start.startswith(_PNG):
        header = _png_header(start, len(data))
    else:
        raise FrameError(_unsupported(image.format, start), UNSUPPORTED)
    tail = bytes(data[-_TAIL:])
    if (_JPEG_END if header.kind == 'jpeg' else _PNG_END) not in tail:
        raise FrameError(f'{header.kind} of {len(data)} bytes is cut off: it has no end', CUT_OFF)
    return header


def decode_compressed(image: CompressedData,
                      stretch: StretchPixels = stretched) -> tuple[np.ndarray, str]:
    """
    Return the image's pixels and the order of their channels, 'rgb' or 'bgr'.

    The pixels are uint8 [height, width, 3], or [height, width] for grey images; `stretch` reduces
    16 bits to 8, transparency is dropped. FrameError has the cause and the reason in one line.
    """
    header = check_compressed(image)
    pixels = _jpeg(image.data) if header.kind == 'jpeg' else _png(image.data)
    if pixels is None:
        raise FrameError(
            f'{header.kind} of {len(image.data)} bytes cannot be decoded', BROKEN)
    if pixels.shape[:2] != (header.height, header.width):
        raise FrameError(f'{header.kind} is {pixels.shape[1]}x{pixels.shape[0]} and its header '
                         f'says {header.width}x{header.height}', BROKEN)
    encoding, _, codec = image.format.partition(';')
    if pixels.ndim == 2:
        # A Bayer pattern is encoded like a grey image.
        bits = 8 * pixels.itemsize
        mosaic = f'{encoding.strip().removesuffix("16").removesuffix("8")}{bits}'
        if mosaic.startswith('bayer_') and mosaic in ENCODINGS:
            height, width = pixels.shape
            return decode_image(RawImage(
                np.ascontiguousarray(pixels).data.cast('B'), width, height,
                width * pixels.itemsize, mosaic, sys.byteorder == 'big'), stretch)
    order = 'rgb' if pixels.ndim == 2 or 'compressed rgb' in codec else 'bgr'
    return pixels if pixels.dtype == np.uint8 else stretch(pixels), order


def compress(pixels: np.ndarray, order: str, kind: str, quality: int = 85) -> bytes:
    """
    Encode an image as JPEG or PNG.

    `pixels` is uint8 [height, width, 3], its channels in `order` ('rgb' or 'bgr'), or [height,
    width]; PNG also supports uint16. `kind` is one of `KINDS`; `quality` of a JPEG is in 1..100.
    Raises ValueError for another kind, shape or type.
    """
    if kind not in KINDS or pixels.ndim not in (2, 3) or not (
            pixels.dtype == np.uint8 or (pixels.dtype == np.uint16 and kind == 'png')):
        raise ValueError(f'{kind} does not support {pixels.dtype} {list(pixels.shape)}')
    if kind == 'jpeg' and simplejpeg is not None:
        grey = pixels.ndim == 2
        data: bytes = simplejpeg.encode_jpeg(
            np.ascontiguousarray(pixels[..., None] if grey else pixels), quality,
            'GRAY' if grey else order.upper(), 'Gray' if grey else '420')
        return data
    if pixels.ndim == 3 and order == 'rgb':
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    # Level 1 takes a fifth of the default's time, for a few percent more bytes.
    options = ([cv2.IMWRITE_JPEG_QUALITY, quality] if kind == 'jpeg'
               else [cv2.IMWRITE_PNG_COMPRESSION, 1])
    good, encoded = cv2.imencode('.jpg' if kind == 'jpeg' else '.png', pixels, options)
    if not good:
        raise ValueError(f'{kind} cannot encode {pixels.dtype} {list(pixels.shape)}')
    return encoded.tobytes()


def format_name(encoding: str, kind: str) -> str:
    """
    Return the `format` of an image of this encoding after `compress`, as in image_transport.

    The colours in the data are in the codec's order, which image_transport calls BGR.
    """
    bits = 16 if encoding.endswith('16') else 8
    is_grey = encoding.startswith(('mono', 'bayer', '8UC1', '16UC1'))
    return f'{encoding}; {kind} compressed ' + ('' if is_grey else f'bgr{bits}')


def _jpeg_header(data: memoryview) -> CompressedHeader:
    """Return the header from the first frame header (SOFn, ITU-T T.81, B.2.2)."""
    at = 2
    while at + 9 <= len(data):
        if data[at] != 0xFF:
            raise FrameError('jpeg has no marker where one must be', BROKEN)
        marker = data[at + 1]
        if marker == 0xFF:  # fill
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            bits, height, width = struct.unpack_from('>BHH', data, at + 4)
            if bits != 8:
                raise FrameError(f'jpeg of {bits} bits a channel', UNSUPPORTED)
            _check_size('jpeg', width, height)
            if width * height > _JPEG_PIXELS_PER_BYTE * len(data):
                raise FrameError(
                    f'jpeg of {len(data)} bytes is too short for {width}x{height}', CUT_OFF)
            return CompressedHeader('jpeg', width, height)
        if marker in (0xD9, 0xDA):
            raise FrameError('jpeg has no frame header', BROKEN)
        (length,) = struct.unpack_from('>H', data, at + 2)
        at += 2 + max(length, 2)
    raise FrameError(f'jpeg of {len(data)} bytes is cut off in its header', CUT_OFF)


def _png_header(start: bytes, size: int) -> CompressedHeader:
    if len(start) < len(_PNG) + _PNG_HEADER.size:
        raise FrameError(f'png of {size} bytes is cut off in its header', CUT_OFF)
    length, name, width, height, bits, kind, *_ = _PNG_HEADER.unpack_from(start, len(_PNG))
    if length != 13 or name != b'IHDR' or kind not in _PNG_CHANNELS:
        raise FrameError('png does not begin with a header', BROKEN)
    _check_size('png', width, height)
    row = 1 + (width * bits * _PNG_CHANNELS[kind] + 7) // 8
    if row * height > _PNG_BYTES_PER_BYTE * size:
        raise FrameError(f'png of {size} bytes is too short for {width}x{height}', CUT_OFF)
    return CompressedHeader('png', width, height)


def _check_size(kind: str, width: int, height: int) -> None:
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and width * height <= MAX_PIXELS):
        raise FrameError(
            f'{kind} of {width}x{height} is not within 1..{MAX_SIDE} on each side and '
            f'{MAX_PIXELS >> 20} Mi pixels', TOO_LARGE)


def _jpeg(data: Buffer) -> np.ndarray:
    try:
        return decode_jpeg(data)
    except ValueError as error:
        raise FrameError(f'jpeg of {len(data)} bytes: {error!s:.100}', BROKEN) from None


def _png(data: Buffer) -> np.ndarray | None:
    try:
        return cv2.imdecode(
            np.frombuffer(data, np.uint8),
            cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None


def _unsupported(given: str, start: bytes) -> str:
    words = given.lower()
    what = f'format {given!r:.60}, which begins with {start[:8].hex() or "nothing"}, '
    for names, instead in _INSTEAD:
        if any(name in words for name in names):
            return what + f'is neither JPEG nor PNG: {instead}'
    return what + 'is neither JPEG nor PNG'
