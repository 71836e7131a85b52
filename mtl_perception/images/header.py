"""What the headers of image files say, read and checked before memory is allocated."""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
import warnings

from mtl_perception.encodings import MAX_SIDE
from mtl_perception.errors import DataError, one_line
from mtl_perception.images.png import png_exif, SIGNATURE
from mtl_perception.images.tiff import (
    MAGIC,
    read_directory,
    TiffDirectory,
    UnsupportedImageError,
)

MAX_PIXELS = 1 << 28
"""Maximum number of pixels of a decoded image: 805 MB in three channels."""

NOT_AN_IMAGE = 'is not a JPEG, PNG, TIFF, BMP or WebP image, or its header is damaged'
DAMAGED = 'is damaged or truncated'

_FORMATS = ['JPEG', 'PNG', 'BMP', 'DIB', 'WEBP']
_EXIF_ORIENTATION = 0x0112
_QUARTER_TURNS = (5, 6, 7, 8)
"""Values of the EXIF orientation that exchange width and height (TIFF 6.0, tag 274)."""


@dataclass(frozen=True)
class Header:
    """The header of an image file."""

    kind: str
    """'JPEG', 'PNG', 'TIFF', 'BMP' or 'WEBP'."""
    width: int
    height: int
    """Size of the stored pixels."""
    orientation: int
    """EXIF orientation of the stored pixels, 1..8."""
    bits: int
    """Bits per channel of PNG and TIFF, 1..64; 8 for others."""
    grey: bool
    """Whether it is a grey PNG, with alpha or without."""
    tiff: TiffDirectory | None = None

    @property
    def upright_size(self) -> tuple[int, int]:
        """Width and height of the upright image."""
        return ((self.height, self.width) if self.orientation in _QUARTER_TURNS
                else (self.width, self.height))


def read_header(file: BinaryIO, path: Path) -> Header:
    """Return the header of `file`; DataError, naming `path`, if it is invalid or too large."""
    with decoder_errors(path, NOT_AN_IMAGE):
        start = file.read(26)
        header = _tiff(file) if start[:4] in MAGIC else _other(file, start)
    pixels = header.width * header.height
    if pixels > MAX_PIXELS or max(header.width, header.height) > MAX_SIDE:
        raise DataError(f'{path}: its header gives {header.width}x{header.height} pixels; the '
                        f'limits are {MAX_PIXELS} pixels and {MAX_SIDE} a side; crop it')
    if pixels <= 0:
        raise DataError(f'{path}: {NOT_AN_IMAGE}')
    return header


@contextlib.contextmanager
def decoder_errors(path: Path, what: str = DAMAGED) -> Iterator[None]:
    """Turn what decoders raise in the `with` block into a DataError: path, `what` and reason."""
    import PIL.Image
    # By default, Pillow rejects images that are smaller than our limit.
    PIL.Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    warnings.filterwarnings('ignore', module=r'PIL\.')
    try:
        yield
    except DataError:
        raise
    except UnsupportedImageError as error:
        raise DataError(f'{path}: {error}') from None
    except PIL.UnidentifiedImageError:
        raise DataError(f'{path}: {what}') from None
    except PIL.Image.DecompressionBombError:
        raise DataError(f'{path}: its header gives more than {MAX_PIXELS} pixels, the limit; '
                        'crop it') from None
    except Exception as error:  # on damaged data Pillow raises errors of many types
        raise DataError(f'{path}: {what}: {one_line(error)}') from None


def _tiff(file: BinaryIO) -> Header:
    directory = read_directory(file)
    return Header('TIFF', directory.width, directory.height, _valid(directory.orientation),
                  directory.bits, False, directory)


def _other(file: BinaryIO, start: bytes) -> Header:
    import PIL.Image
    file.seek(0)
    image = PIL.Image.open(file, formats=_FORMATS)
    width, height = image.size
    if image.format in ('PNG', 'WEBP') and getattr(image, 'n_frames', 1) > 1:
        raise UnsupportedImageError('is an animation; write each image to a file of its own')
    if start.startswith(SIGNATURE):
        # Pillow would decode the image to find what may follow the pixels.
        orientation = _exif_orientation(png_exif(file))
        bits, kind = start[24], start[25]
        return Header('PNG', width, height, orientation, bits, kind in (0, 4))
    kinds = {'MPO': 'JPEG', 'DIB': 'BMP'}
    orientation = _valid(_given_orientation(image)) if image.format != 'BMP' else 1
    return Header(kinds.get(image.format or '', image.format or ''), width, height, orientation,
                  8, False)


def _given_orientation(image: Any) -> Any:
    try:
        return image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # broken EXIF data is no reason to reject the pixels
        return 1


def _exif_orientation(data: bytes) -> int:
    import PIL.Image
    exif = PIL.Image.Exif()
    try:
        exif.load(data)
        return _valid(exif.get(_EXIF_ORIENTATION, 1))
    except Exception:  # as above
        return 1


def _valid(orientation: Any) -> int:
    return orientation if orientation in range(1, 9) else 1
