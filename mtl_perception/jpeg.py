"""Strict decoding of JPEG: data that libjpeg would repair with a warning is rejected."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

try:
    import simplejpeg
except ModuleNotFoundError:  # OpenCV is the fallback, but decodes damaged data without an error
    simplejpeg = None


def decode_jpeg(data: Any, order: str = 'bgr') -> np.ndarray:
    """
    Return the stored pixels, not turned by EXIF: uint8 [H, W], or [H, W, 3] in the `order`.

    `data` is a bytes-like object. Raises ValueError with the reason for data that is broken or
    truncated, or that contradicts itself, such as a part overwritten by zeros.
    """
    if simplejpeg is None:
        return _decode(data, order)
    *_, colors, _ = simplejpeg.decode_jpeg_header(data)
    colorspace = 'GRAY' if colors == 'Gray' else order.upper()
    pixels: np.ndarray = simplejpeg.decode_jpeg(data, colorspace)
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels


def _decode(data: Any, order: str) -> np.ndarray:
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8),
                              cv2.IMREAD_ANYCOLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise ValueError(error.err) from None
    if pixels is None:
        raise ValueError('cannot be decoded')
    if pixels.ndim == 3 and order == 'rgb':
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return pixels
