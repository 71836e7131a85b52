"""Decoding of image files: upright, with 8 bits per channel, and within size limits."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from mtl_perception.errors import DataError
from mtl_perception.files import read_bytes
from mtl_perception.images.decoding import decode, decode_indices, turned
from mtl_perception.images.header import decoder_errors, Header, read_header
from mtl_perception.stretch import stretched, StretchPixels

MAX_BYTES = 1 << 30
"""Maximum size of an image file."""


def image_size(path: Path) -> tuple[int, int]:
    """
    Return width and height in pixels, upright by the EXIF orientation, from the file's header.

    Raises DataError if it is not an image or exceeds a limit of `images.header`.
    """
    try:
        with path.open('rb') as file:
            return read_header(file, path).upright_size
    except OSError as error:
        raise DataError(f'{path}: cannot be read: {error.strerror or error}') from None
    except ValueError as error:  # a name that no file can have
        raise DataError(f'{str(path)!r}: cannot be read: {error}') from None


def read_image(path: Path, order: Literal['rgb', 'bgr'] = 'rgb',
               stretch: StretchPixels = stretched) -> np.ndarray:
    """
    Return the image as uint8 [H, W, 3] in the `order` of channels, upright by its EXIF.

    A grey image has three equal channels; an alpha channel is dropped; `stretch` reduces more than
    8 bits to 8. Raises DataError if the file is damaged, exceeds a limit, or has pixels of a type
    that cannot be reduced.
    """
    header, pixels = _read(path, order)
    if pixels.dtype != np.uint8:
        try:
            pixels = stretch(pixels)
        except ValueError as error:
            raise DataError(f'{path}: {error}; convert it to 8 or 16 bits per channel') from None
    if pixels.ndim == 2:
        pixels = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_GRAY2RGB)
    return turned(pixels, header.orientation)


def read_colors(path: Path) -> np.ndarray:
    """Return the exact colours of an image of 8 bits per channel: see `read_image`."""
    header, pixels = _read(path, 'rgb')
    if pixels.dtype != np.uint8:
        raise DataError(f'{path}: has {header.bits} bits per channel; a mask of colours has 8')
    if pixels.ndim == 2:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    return turned(pixels, header.orientation)


def read_index_image(path: Path) -> np.ndarray:
    """
    Return the indices of a grey or palette image of up to 8 bits as uint8 [H, W], upright.

    Values of 1, 2 and 4 bits are not scaled. The colours of a palette are ignored, as in the masks
    of Pascal VOC. Raises DataError for any other image.
    """
    data = read_bytes(path, MAX_BYTES)
    header = read_header(io.BytesIO(data), path)
    with decoder_errors(path):
        mask = decode_indices(data, header)
    if mask is None:
        raise DataError(f'{path}: has colours, alpha or more than 8 bits per channel; a mask is a '
                        'grey or palette image of class indices; colours need `colors` in the '
                        'manifest')
    _check_size(mask, header, path)
    return turned(mask, header.orientation)


def _read(path: Path, order: str) -> tuple[Header, np.ndarray]:
    data = read_bytes(path, MAX_BYTES)
    header = read_header(io.BytesIO(data), path)
    with decoder_errors(path):
        pixels = decode(data, header, order)
    _check_size(pixels, header, path)
    return header, pixels


def _check_size(pixels: np.ndarray, header: Header, path: Path) -> None:
    if pixels.shape[:2] != (header.height, header.width):
        raise DataError(f'{path}: has {pixels.shape[1]}x{pixels.shape[0]} pixels, but its header '
                        f'says {header.width}x{header.height}')
