"""TIFF files: what their directories say, and decoding of the depths and layouts of cameras."""

from __future__ import annotations

from dataclasses import dataclass
import io
import struct
from typing import Any, BinaryIO

import cv2
import numpy as np


class UnsupportedImageError(ValueError):
    """An image is valid, but of a layout that is not read."""


MAGIC = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')

_MAX_PAGES = 1000

# Tags (TIFF 6.0; 42113 is GDAL's).
_SUBFILE, _WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC = 254, 256, 257, 258, 262
_COMPRESSION, _SAMPLES, _PLANES = 259, 277, 284
_ORIENTATION, _FORMAT, _NO_DATA = 274, 339, 42113

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_FORMATS = {1: 'unsigned integers', 2: 'signed integers', 3: 'floating point', 4: 'undefined',
            5: 'complex integers', 6: 'complex numbers'}
_UNSIGNED, _SIGNED, _FLOAT, _UNDEFINED = 1, 2, 3, 4


@dataclass(frozen=True)
class TiffDirectory:
    """What the first directory of a TIFF says of its image, as it is stored."""

    width: int
    height: int
    orientation: int
    bits: int
    """Bits per sample."""
    format: int
    """SampleFormat: a key of `_FORMATS`."""
    samples: int
    """Samples per pixel."""
    photometric: int
    planes: int
    """PlanarConfiguration: 1 for pixels, 2 for a plane of each channel."""
    compression: int
    no_data: float | None
    """Value of pixels without a measurement (GDAL)."""


def read_directory(file: BinaryIO) -> TiffDirectory:
    """
    Return the first directory; ValueError with the reason for a broken file.

    Further images of at least its size are rejected: which one is meant is not known. Smaller ones
    are previews.
    """
    first, following = _load(file)
    directory = TiffDirectory(
        _number(first, _WIDTH, 0), _number(first, _HEIGHT, 0), _number(first, _ORIENTATION, 1),
        _number(first, _BITS, 1), _number(first, _FORMAT, _UNSIGNED), _number(first, _SAMPLES, 1),
        _number(first, _PHOTOMETRIC, _BLACK_IS_ZERO), _number(first, _PLANES, 1),
        _number(first, _COMPRESSION, 1), _no_data(first))
    seen: set[int] = set()
    while following and following not in seen and len(seen) < _MAX_PAGES:
        seen.add(following)
        page, following = _load(file, following)
        if not _number(page, _SUBFILE, 0) & 0b101 and _number(page, _WIDTH, 0) >= directory.width \
                and _number(page, _HEIGHT, 0) >= directory.height:
            raise UnsupportedImageError(
                'has several images (pages); write each to a file of its own')
    return directory


def decode_tiff(data: bytes, directory: TiffDirectory) -> tuple[np.ndarray, str]:
    """
    Return the stored pixels and the order of their channels, 'rgb' or 'bgr'.

    The pixels are [H, W] or [H, W, 3], not turned, of the file's type from 8 bits on; alpha is
    dropped, and NaN stands for GDAL's no data. ValueError has the reason where they cannot be
    decoded, for complex numbers among others.
    """
    data = unturned(data, directory)
    if directory.bits <= 8 and directory.format in (_UNSIGNED, _UNDEFINED):
        return _few_bits(data, directory), 'rgb'
    contiguous = directory.samples == 1 or directory.planes == 1
    grey = directory.photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO) and directory.samples == 1
    if directory.format not in (_UNSIGNED, _SIGNED, _FLOAT) or not contiguous or not (
            grey or (directory.photometric == _RGB and directory.samples in (3, 4))):
        raise _unsupported(directory)
    pixels = _many_bits(data, directory)
    if directory.photometric == _WHITE_IS_ZERO:
        pixels = (np.invert(pixels) if directory.format != _FLOAT else -pixels)
    elif directory.no_data is not None and directory.format == _FLOAT:
        pixels = np.where(pixels == pixels.dtype.type(directory.no_data), np.nan, pixels)
    return pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., :3]), 'bgr'


def _few_bits(data: bytes, directory: TiffDirectory) -> np.ndarray:
    # OpenCV multiplies colours by alpha, and decodes damaged data.
    import PIL.Image
    try:
        with PIL.Image.open(io.BytesIO(data), formats=['TIFF']) as image:
            if image.mode in ('1', 'L', 'LA'):
                return np.array(image.convert('L'))
            if image.mode not in ('P', 'RGB', 'RGBA', 'RGBX', 'CMYK', 'YCbCr'):
                raise _unsupported(directory)
            return np.array(image.convert('RGB'))
    except PIL.UnidentifiedImageError:
        raise _unsupported(directory) from None


def _many_bits(data: bytes, directory: TiffDirectory) -> np.ndarray:
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        pixels = None
    if pixels is None and directory.samples == 1:
        # It knows more compressions.
        import PIL.Image
        try:
            with PIL.Image.open(io.BytesIO(data), formats=['TIFF']) as image:
                if image.mode in ('I;16', 'I;16B', 'I', 'F'):
                    pixels = np.array(image)
                    if image.mode == 'I' and directory.format == _UNSIGNED:
                        pixels = pixels.view(np.uint32)  # as which its bits are kept
        except PIL.UnidentifiedImageError:
            pass
    if pixels is None:
        raise _unsupported(directory)
    kind = {_UNSIGNED: 'u', _SIGNED: 'i', _FLOAT: 'f'}[directory.format]
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    if pixels.dtype.kind != kind or 8 * pixels.itemsize < directory.bits \
            or channels != directory.samples:
        raise _unsupported(directory)
    return pixels.astype(pixels.dtype.newbyteorder('='), copy=False)


def _unsupported(directory: TiffDirectory) -> UnsupportedImageError:
    return UnsupportedImageError(
        f'{directory.samples} channels of {directory.bits} bits '
        f'({_FORMATS.get(directory.format, f"format {directory.format}")}, photometric '
        f'interpretation {directory.photometric}, compression {directory.compression}) are not '
        f'supported{", or cut off" if directory.bits > 8 else ""}; convert it to grey or RGB')


def _load(file: BinaryIO, at: int | None = None) -> tuple[Any, int]:
    """Return the directory at `at`, by default the first, and the offset of the next or 0."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2
    file.seek(0)
    # BigTIFF has 16 bytes.
    directory = ImageFileDirectory_v2(file.read(16)[:_header_size(file)])
    file.seek(directory.next if at is None else at)
    directory.load(file)
    if _WIDTH not in directory:  # a damaged one is empty
        raise ValueError('a directory is cut off')
    return directory, directory.next


def _header_size(file: BinaryIO) -> int:
    file.seek(0)
    return 16 if b'+' in file.read(4) else 8


def _number(directory: Any, tag: int, missing: int) -> int:
    """Return the value of a tag; ValueError where it is not one number."""
    value = directory.get(tag, missing)
    values = value if isinstance(value, tuple) else (value,)
    if len(set(values)) != 1 or not isinstance(values[0], int):
        raise ValueError(f'tag {tag} is {value!r:.60}')
    return values[0]


def _no_data(directory: Any) -> float | None:
    try:
        return float(directory[_NO_DATA])
    except (KeyError, TypeError, ValueError):
        return None


def unturned(data: bytes, directory: TiffDirectory) -> bytes:
    """Return the file with orientation 1: some decoders apply it, some do not, some twice."""
    if directory.orientation == 1:
        return data
    order = '<' if data.startswith(b'II') else '>'
    count_type, offset_type, entry = ('Q', 'Q', 20) if b'+' in data[:4] else ('H', 'I', 12)
    (at,) = struct.unpack_from(order + offset_type, data, 8 if entry == 20 else 4)
    (count,) = struct.unpack_from(order + count_type, data, at)
    at += struct.calcsize(count_type)
    for place in range(at, at + count * entry, entry):
        (tag,) = struct.unpack_from(order + 'H', data, place)
        if tag == _ORIENTATION:
            changed = bytearray(data)
            value = place + entry - struct.calcsize(offset_type)
            # As a short, whatever its type was.
            struct.pack_into(order + 'H', changed, place + 2, 3)
            struct.pack_into(order + 'H', changed, value, 1)
            return bytes(changed)
    return data
