"""Decoding of the pixels of image files, as they are stored: any depth, not turned."""

from __future__ import annotations

import io

import cv2
import numpy as np

from mtl_perception.images.header import Header
from mtl_perception.images.png import check_png
from mtl_perception.images.tiff import decode_tiff, unturned
from mtl_perception.jpeg import decode_jpeg


def decode(data: bytes, header: Header, order: str) -> np.ndarray:
    """
    Return the stored pixels of the file `data`: [H, W], or [H, W, 3] in the `order` of channels.

    The type is the file's from 8 bits on; alpha is dropped. ValueError, or an error of Pillow,
    where it cannot be decoded.
    """
    if header.kind == 'JPEG':
        return decode_jpeg(data, order)
    if header.tiff is not None:
        pixels, own = decode_tiff(data, header.tiff)
    else:
        pixels, own = _by_opencv(data, header), 'bgr'
    if pixels.ndim == 3 and own != order:
        pixels = (cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB) if pixels.dtype == np.uint8
                  else pixels[..., ::-1])
    return pixels


def decode_indices(data: bytes, header: Header) -> np.ndarray | None:
    """
    Return the class indices of a grey or palette image as uint8 [H, W]; None for another image.

    Values of 1, 2 and 4 bits are not scaled, unlike those of a grey image. Errors as in `decode`.
    """
    import PIL.Image
    if header.kind == 'JPEG':
        pixels = decode_jpeg(data)
        return pixels if pixels.ndim == 2 else None
    if header.bits > 8:
        return None
    if header.tiff is not None:
        data = unturned(data, header.tiff)
    elif header.kind == 'PNG':
        check_png(io.BytesIO(data))
    with PIL.Image.open(io.BytesIO(data), formats=[header.kind]) as image:
        if image.mode not in ('1', 'L', 'P'):
            return None
        pixels = np.array(image).astype(np.uint8)
        # Pillow scales grey values of 2 and 4 bits.
        return pixels // (255 // ((1 << header.bits) - 1)) if image.mode == 'L' else pixels


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Return `pixels` upright, by their EXIF orientation 1..8 (TIFF 6.0, tag 274)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _by_opencv(data: bytes, header: Header) -> np.ndarray:
    deep = header.bits > 8
    flags = cv2.IMREAD_UNCHANGED if deep else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise ValueError(error.err) from None
    if pixels is None:
        raise ValueError('the decoder found damage')
    if pixels.ndim == 3 and deep:
        pixels = np.ascontiguousarray(pixels[..., 0 if header.grey else slice(3)])
    return pixels
