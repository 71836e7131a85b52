"""Decoding of image files: upright, with 8 bits per channel, and within size limits."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal, TYPE_CHECKING
import warnings

import cv2
import numpy as np

from mtl_perception.errors import DataError
from mtl_perception.files import read_bytes

if TYPE_CHECKING:
    import PIL.Image

MAX_BYTES = 1 << 30
"""Maximum size of an image file."""

MAX_PIXELS = 1 << 28
"""Maximum number of pixels of a decoded image: 805 MB in three channels."""

MAX_SIDE = 32766
"""Longest side of an image in pixels: OpenCV's `remap` and `warpAffine` use 16-bit coordinates."""

_EXIF_ORIENTATION = 0x0112
_QUARTER_TURNS = (5, 6, 7, 8)
"""Values of the EXIF orientation that exchange width and height (TIFF 6.0, tag 274)."""

_NOT_AN_IMAGE = 'is not an image that OpenCV can decode, or is truncated'


def image_size(path: Path) -> tuple[int, int]:
    """
    Return width and height in pixels, upright by the EXIF orientation, from the file's header.

    Raises DataError if it is not an image or exceeds `MAX_PIXELS` or `MAX_SIDE`.
    """
    with _header(path, path) as header:
        turned = header.getexif().get(_EXIF_ORIENTATION, 1) in _QUARTER_TURNS
        return (header.height, header.width) if turned else (header.width, header.height)


def read_image(path: Path, order: Literal['rgb', 'bgr'] = 'rgb') -> np.ndarray:
    """
    Return the image as uint8 [H, W, 3] in the `order` of channels, upright by its EXIF.

    A grey image has three equal channels; an alpha channel is dropped. Raises DataError if the
    file cannot be decoded, exceeds a limit or has more than 8 bits per channel.
    """
    image = _decode(path, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if image.dtype != np.uint8:
        raise DataError(f'{path}: has {image.dtype} pixels; convert it to 8 bits per channel')
    return image if order == 'bgr' else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def read_index_image(path: Path) -> np.ndarray:
    """
    Return the indices of a grey or palette image as uint8 [H, W]; DataError for any other image.

    The colours of a palette are ignored, as in the masks of Pascal VOC.
    """
    data = read_bytes(path, MAX_BYTES)
    with _header(path, io.BytesIO(data)) as header:
        if header.mode == 'P':
            try:
                return np.array(header, np.uint8)
            except (OSError, SyntaxError, ValueError) as error:
                raise DataError(f'{path}: cannot be decoded: {error}') from None
    mask = _decode_bytes(path, data, cv2.IMREAD_UNCHANGED)
    if mask.ndim != 2 or mask.dtype != np.uint8:
        channels = 1 if mask.ndim == 2 else mask.shape[2]
        raise DataError(f'{path}: {channels} channels of {mask.dtype}; a mask is a grey 8-bit '
                        'or a palette PNG of class indices; colours need `colors` in the manifest')
    return mask


def _decode(path: Path, flags: int) -> np.ndarray:
    data = read_bytes(path, MAX_BYTES)
    _header(path, io.BytesIO(data)).close()
    return _decode_bytes(path, data, flags)


def _decode_bytes(path: Path, data: bytes, flags: int) -> np.ndarray:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise DataError(f'{path}: cannot be decoded: {error.err}') from None
    if image is None:
        raise DataError(f'{path}: {_NOT_AN_IMAGE}')
    return image


def _header(path: Path, source: Path | io.BytesIO) -> PIL.Image.Image:
    """Return the image, not decoded yet, after a check of its size."""
    import PIL.Image
    # By default, Pillow rejects images that are smaller than our limit. Images of which it warns
    # are rejected here or by OpenCV's decoder.
    PIL.Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    warnings.filterwarnings('ignore', module=r'PIL\.')
    try:
        image = PIL.Image.open(source)
    except PIL.Image.DecompressionBombError:
        raise DataError(f'{path}: its header gives more than {MAX_PIXELS} pixels, the limit; '
                        'crop it') from None
    except PIL.UnidentifiedImageError:
        raise DataError(f'{path}: {_NOT_AN_IMAGE}') from None
    except OSError as error:
        raise DataError(f'{path}: cannot be read: {error.strerror or error}') from None
    except (SyntaxError, ValueError) as error:
        raise DataError(f'{path}: {_NOT_AN_IMAGE} ({error})') from None
    width, height = image.size
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        image.close()
        raise DataError(f'{path}: its header gives {width}x{height} pixels; the limits are '
                        f'{MAX_PIXELS} pixels and {MAX_SIDE} a side; crop it')
    return image
