"""
Decoding of raw ROS images by a table of encodings; no ROS.

Every entry gives the same pixels as cv_bridge for `rgb8` or `bgr8` (and for the plain OpenCV types
`8UC1`, `8UC3` and `8UC4`, OpenCV's convention: grey, BGR and BGRA). Three of them, `rgb8`, `bgr8`
and grey, are views of the message's bytes; the others need one conversion.

Pixels of more than 8 bits become 8-bit by the rule of ``mtl_perception.stretch``.

The layouts are those of ``sensor_msgs/image_encodings.hpp``. `step` is the length of a row of the
first plane in bytes and may exceed the size of its pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from mtl_perception.errors import MtlError
from mtl_perception.stretch import stretched, StretchPixels

MAX_SIDE = 32766
"""
Maximum width and height of an image, in messages, files and the pipeline: OpenCV's `remap` and
`warpAffine` use 16-bit coordinates.
"""

Buffer = Any
"""Anything with the buffer protocol over bytes: array.array('B'), bytes, memoryview."""


class FrameError(MtlError):
    """An image message is invalid; the frame is dropped, the next one may be valid."""

    def __init__(self, text: str, cause: str = 'bad frame') -> None:
        """Store the message and the cause under which such frames are counted."""
        super().__init__(text)
        self.cause = cause


@dataclass(frozen=True)
class RawImage:
    """An image message's fields, without its header."""

    data: Buffer
    width: int
    height: int
    step: int
    encoding: str
    is_bigendian: bool = False

    @classmethod
    def of(cls, message: Any) -> RawImage:
        """Return the fields of a sensor_msgs/Image; nothing is copied or checked."""
        return cls(message.data, message.width, message.height, message.step, message.encoding,
                   bool(message.is_bigendian))

    def view(self, dtype: Any, *pixel_shape: int, rows: int = 0) -> np.ndarray:
        """Return `rows` (`height` by default) rows of pixels of `pixel_shape`, without a copy."""
        shape = (rows or self.height, self.width, *pixel_shape)
        item = np.dtype(dtype).itemsize
        strides = (self.step, item * int(np.prod(pixel_shape, dtype=int)), item)
        pixels = np.ndarray(shape, dtype, self.data, strides=strides[:len(shape)])
        pixels.flags.writeable = False
        return pixels


Decode = Callable[[RawImage], np.ndarray]


@dataclass(frozen=True)
class Encoding:
    """The memory layout of an encoding and the decoder of its pixels."""

    pixel_bytes: int
    """Bytes of one pixel in a row of the first plane."""
    order: str
    """Order of the channels returned by `decode`: 'rgb' or 'bgr'; 'rgb' for grey."""
    decode: Decode
    """Returns [height, width, 3] or, for grey, [height, width]; not only uint8."""
    half_rows: int = 2
    """Half rows of `step` bytes per row of pixels, over all planes: 2, or 3 or 6 with chroma."""
    even: tuple[bool, bool] = (False, False)
    """Whether width and height must be even, because pixels share their chroma."""
    min_side: int = 1


def decode_image(image: RawImage,
                 stretch: StretchPixels = stretched) -> tuple[np.ndarray, str]:
    """
    Return the image's pixels and the order of their channels, 'rgb' or 'bgr'.

    The pixels are uint8 [height, width, 3], or [height, width] for grey images; views of the
    message are read-only and row-padded like it. `stretch` reduces more than 8 bits to 8. Raises
    FrameError with the reason in one line if the message is not a valid image.
    """
    layout = check_image(image)
    pixels = layout.decode(image)
    if pixels.dtype != np.uint8:
        pixels = stretch(pixels)
    return pixels, layout.order


def check_image(image: RawImage) -> Encoding:
    """Return the memory layout of the image; FrameError if its fields contradict each other."""
    layout = ENCODINGS.get(image.encoding)
    if layout is None:
        raise FrameError(
            f'encoding {image.encoding!r:.40} is not supported; supported: {", ".join(ENCODINGS)}')
    width, height, step = image.width, image.height, image.step
    size = f'{width}x{height} {image.encoding}'
    if not (layout.min_side <= width <= MAX_SIDE and layout.min_side <= height <= MAX_SIDE):
        raise FrameError(f'size {size} is not within {layout.min_side}..{MAX_SIDE} on each side')
    if (layout.even[0] and width % 2) or (layout.even[1] and height % 2):
        raise FrameError(f'size {size} is odd, but pairs of its pixels share their colour')
    if step < width * layout.pixel_bytes:
        raise FrameError(
            f'step {step} is shorter than a row of {size}: {width * layout.pixel_bytes} bytes')
    needed = step * height * layout.half_rows // 2
    if len(image.data) < needed:
        raise FrameError(
            f'data of {len(image.data)} bytes is shorter than the {needed} of {size}, step {step}')
    return layout


def _view(*pixel_shape: int) -> Decode:
    return lambda image: image.view(np.uint8, *pixel_shape)


def _converted(code: int, *pixel_shape: int) -> Decode:
    return lambda image: cv2.cvtColor(image.view(np.uint8, *pixel_shape), code)


def _deep(dtype: str, *pixel_shape: int, code: int | None = None) -> Decode:
    """Decode pixels of a NumPy type of more than 8 bits, with a colour conversion if any."""
    def decode(image: RawImage) -> np.ndarray:
        given = np.dtype(dtype).newbyteorder('>' if image.is_bigendian else '<')
        pixels = image.view(given, *pixel_shape)
        if not given.isnative or image.step % given.itemsize:
            pixels = pixels.astype(given.newbyteorder('='))
        return pixels if code is None else cv2.cvtColor(pixels, code)

    return decode


def _two_planes(code: int) -> Decode:
    """Convert luma rows followed by half as many rows of interleaved chroma."""
    return lambda image: cv2.cvtColor(image.view(np.uint8, rows=image.height * 3 // 2), code)


def _nv24(image: RawImage) -> np.ndarray:
    """
    Convert a luma plane followed by a plane of interleaved U and V, one pair per pixel.

    OpenCV has no conversion for it. Each pixel is written twice as the 4:2:2 pair (U Y)(V Y),
    which preserves its chroma, and every second pixel of the result is used.
    """
    chroma = np.ndarray(
        (image.height, 2 * image.width), np.uint8, image.data,
        offset=image.step * image.height, strides=(2 * image.step, 1))
    pairs = np.empty((image.height, 2 * image.width, 2), np.uint8)
    pairs[..., 0] = chroma
    pairs[:, 0::2, 1] = pairs[:, 1::2, 1] = image.view(np.uint8)
    return np.ascontiguousarray(cv2.cvtColor(pairs, cv2.COLOR_YUV2RGB_UYVY)[:, ::2])


_GREY = Encoding(1, 'rgb', _view())
_BGR = Encoding(3, 'bgr', _view(3))
_BGRA = Encoding(4, 'bgr', _converted(cv2.COLOR_BGRA2BGR, 4))
_UYVY = Encoding(2, 'rgb', _converted(cv2.COLOR_YUV2RGB_UYVY, 2), even=(True, False))
_YUYV = Encoding(2, 'rgb', _converted(cv2.COLOR_YUV2RGB_YUY2, 2), even=(True, False))


_BGR16 = Encoding(6, 'bgr', _deep('u2', 3))
_BGRA16 = Encoding(8, 'bgr', _deep('u2', 4, code=cv2.COLOR_BGRA2BGR))

_BAYER = {'rggb': cv2.COLOR_BayerBG2RGB, 'bggr': cv2.COLOR_BayerRG2RGB,
          'gbrg': cv2.COLOR_BayerGR2RGB, 'grbg': cv2.COLOR_BayerGB2RGB}
"""
OpenCV names a Bayer pattern by the second row's second and third pixel, ROS by the first row's
first two: `rggb` is OpenCV's BG.
"""


ENCODINGS = {
    'mono8': _GREY,
    'mono16': Encoding(2, 'rgb', _deep('u2')),
    '8UC1': _GREY,
    '8UC3': _BGR,
    '8UC4': _BGRA,
    'rgb8': Encoding(3, 'rgb', _view(3)),
    'bgr8': _BGR,
    'rgba8': Encoding(4, 'rgb', _converted(cv2.COLOR_RGBA2RGB, 4)),
    'bgra8': _BGRA,
    # OpenCV leaves anything smaller than its 3x3 neighbourhood black.
    **{f'bayer_{name}8': Encoding(1, 'rgb', _converted(code), min_side=3)
       for name, code in _BAYER.items()},
    'yuv422': _UYVY,
    'uyvy': _UYVY,
    'yuv422_yuy2': _YUYV,
    'yuyv': _YUYV,
    'nv12': Encoding(1, 'rgb', _two_planes(cv2.COLOR_YUV2RGB_NV12), 3, even=(True, True)),
    'nv21': Encoding(1, 'rgb', _two_planes(cv2.COLOR_YUV2RGB_NV21), 3, even=(True, True)),
    'nv24': Encoding(1, 'rgb', _nv24, 6),
    'rgb16': Encoding(6, 'rgb', _deep('u2', 3)),
    'bgr16': _BGR16,
    'rgba16': Encoding(8, 'rgb', _deep('u2', 4, code=cv2.COLOR_RGBA2RGB)),
    'bgra16': _BGRA16,
    **{f'bayer_{name}16': Encoding(2, 'rgb', _deep('u2', code=code), min_side=3)
       for name, code in _BAYER.items()},
    '16UC1': Encoding(2, 'rgb', _deep('u2')),
    '16UC3': _BGR16,
    '16UC4': _BGRA16,
    '16SC1': Encoding(2, 'rgb', _deep('i2')),
    '32SC1': Encoding(4, 'rgb', _deep('i4')),
    '32FC1': Encoding(4, 'rgb', _deep('f4')),
    '64FC1': Encoding(8, 'rgb', _deep('f8')),
}
"""All supported encodings, by their names in `sensor_msgs/Image`."""
