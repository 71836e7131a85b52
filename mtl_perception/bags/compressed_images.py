"""Conversion of serialised Image messages to CompressedImage messages, without ROS."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from rosbags.typesys import get_typestore, Stores
from rosbags.typesys.store import Typestore

from mtl_perception.bags.metadata import COMPRESSED_IMAGE, IMAGE
from mtl_perception.compressed import compress, format_name
from mtl_perception.encodings import decode_image, FrameError, MAX_SIDE, RawImage

_SIXTEEN_BITS = {'mono16': (), '16UC1': (), 'rgb16': (3,), 'bgr16': (3,), '16UC3': (3,)}
"""Encodings with 16 bits per channel that PNG supports -> shape of a pixel."""

_AS_THEY_ARE = ('mono8', 'rgb8', 'bgr8', '8UC3', 'rgba8', 'bgra8', '8UC4')
"""Encodings named in the compressed image, to which a reader converts its colours back."""


def compressed_message(data: bytes, kind: str, quality: int) -> bytes:
    """
    Return the CDR of a CompressedImage with the header and pixels of the Image with the CDR
    `data`.

    `kind` is 'jpeg' or 'png'; images of 16 bits are always PNG. Raises FrameError with the reason
    for unsupported images, such as depth in floating point.
    """
    store = _store()
    try:
        message: Any = store.deserialize_cdr(data, IMAGE)
    except Exception as error:  # on broken data the library raises errors of many types
        raise FrameError(f'not an {IMAGE}: {type(error).__name__} {error!s:.100}') from None
    image = RawImage.of(message)
    if image.encoding == '8UC1':
        raise FrameError('the values of 8UC1 may be class ids')
    try:
        if image.encoding in _SIXTEEN_BITS:
            kind, encoding = 'png', image.encoding
            order = 'rgb' if encoding == 'rgb16' else 'bgr'
            pixels = _sixteen_bits(image)
        else:
            pixels, order = decode_image(image, _reject_deep)
            encoding = image.encoding if image.encoding in _AS_THEY_ARE else (
                'mono8' if pixels.ndim == 2 else 'bgr8')
        encoded = np.frombuffer(compress(pixels, order, kind, quality), np.uint8)
    except ValueError as error:
        raise FrameError(str(error)) from None
    made = store.types[COMPRESSED_IMAGE](message.header, format_name(encoding, kind), encoded)
    return bytes(store.serialize_cdr(made, COMPRESSED_IMAGE))


def _reject_deep(pixels: np.ndarray) -> np.ndarray:
    raise FrameError(f'{pixels.dtype} pixels would lose bits')


def _sixteen_bits(image: RawImage) -> np.ndarray:
    """Return uint16 [height, width] or [height, width, 3]."""
    shape = _SIXTEEN_BITS[image.encoding]
    width, height, step = image.width, image.height, image.step
    row = width * 2 * (shape[0] if shape else 1)
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE
            and row <= step and step * height <= len(image.data)):
        raise FrameError(f'{width}x{height} {image.encoding}, step {step}, '
                         f'with {len(image.data)} bytes')
    pixels = image.view('>u2' if image.is_bigendian else '<u2', *shape)
    return np.ascontiguousarray(pixels, np.uint16)


@cache
def _store() -> Typestore:
    return get_typestore(Stores.LATEST)
