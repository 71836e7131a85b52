"""Files of a data set: texts with a size limit, lists of stems, images found by stem."""

from __future__ import annotations

from dataclasses import dataclass
import io
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import cv2
import numpy as np

from mtl_perception.data.set_spec import FlightSplit, ListSplit, SetSpec
from mtl_perception.errors import ConfigError, DataError

if TYPE_CHECKING:
    import PIL.Image

MAX_TEXT_BYTES = 16 << 20
"""Largest list or annotation of one image that is read."""

MAX_IMAGE_BYTES = 512 << 20
"""Largest image file that is read."""

MAX_PIXELS = 1 << 27
"""Most pixels of an image that is decoded: 400 MB in three channels."""

MAX_SIDE = 32766
"""Longest side of an image; OpenCV's warps take no longer one."""

SUFFIXES = ('.jpg', '.png', '.jpeg', '.JPG', '.PNG', '.JPEG', '.bmp', '.tif', '.tiff', '.webp')

_LOWER_SUFFIXES = frozenset(suffix.lower() for suffix in SUFFIXES)
_EXIF_ORIENTATION = 0x0112
_NO_IMAGE = 'is not an image that OpenCV can decode, or is cut short'


def read_bytes(path: Path, limit: int) -> bytes:
    """Return the content of `path`; DataError where it cannot be read or exceeds `limit`."""
    try:
        size = path.stat().st_size
        if size > limit:
            raise DataError(f'{path}: {size} bytes; at most {limit} are read')
        return path.read_bytes()
    except OSError as error:
        raise DataError(f'{path}: cannot be read: {error.strerror}') from None


def read_text(path: Path, limit: int = MAX_TEXT_BYTES) -> str:
    """Return the UTF-8 text in `path`; DataError where it cannot be read or exceeds `limit`."""
    try:
        return read_bytes(path, limit).decode('utf-8')
    except UnicodeDecodeError:
        raise DataError(f'{path}: is not UTF-8 text') from None


def inside(folder: Path, name: str, where: str) -> Path:
    """Return `folder`/`name`; DataError, naming `where`, if that could leave `folder`."""
    if not name or '\\' in name or '\0' in name or PurePosixPath(name).is_absolute() \
            or '..' in PurePosixPath(name).parts:
        raise DataError(f'{where}: {name!r:.80} is not a name inside {folder}')
    return folder / name


def split_of(spec: SetSpec, split: str) -> str | ListSplit:
    """Return the entry of `split` in the manifest; ConfigError where the set has no such split."""
    entry = spec.splits.get(split)
    if entry is None or isinstance(entry, FlightSplit):
        raise ConfigError(
            f'data set {spec.name} has no split {split!r}; it has {", ".join(spec.splits)}')
    return entry


def split_file(spec: SetSpec, split: str) -> Path:
    """Return the file or folder of `split`; ConfigError where the set has no such split."""
    entry = split_of(spec, split)
    source = entry.source if isinstance(entry, ListSplit) else entry
    return spec.path / source if isinstance(source, str) else spec.path


@dataclass(frozen=True)
class Listed:
    """A name of a list."""

    name: str
    where: str
    """The file and line, or the manifest's split, that names it."""
    problem: str = ''
    """What is wrong with the name; such an entry has no image."""


def read_list(path: Path) -> list[Listed]:
    """
    Return the names that `path` lists, one on each line.

    One that occurs twice has a `problem` the second time. Raises DataError where the file cannot
    be read or lists nothing.
    """
    first_line: dict[str, int] = {}
    listed = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        name = line.strip()
        if not name:
            continue
        where = f'{path}: line {number}'
        problem = ''
        if name in first_line:
            problem = f'{where}: {name} is listed on line {first_line[name]} already; remove one'
        first_line.setdefault(name, number)
        listed.append(Listed(name, where, problem))
    if not listed:
        raise DataError(f'{path}: lists no image')
    return listed


def image_files_below(folder: Path) -> list[Path]:
    """Return the image files in `folder` and its subfolders, sorted; DataError where none is."""
    try:
        found = sorted(path for path in folder.rglob('*')
                       if path.suffix.lower() in _LOWER_SUFFIXES and path.is_file())
    except OSError as error:
        raise DataError(f'{folder}: cannot be read: {error.strerror}') from None
    if not found:
        raise DataError(f'{folder}: holds no image ({", ".join(sorted(_LOWER_SUFFIXES))})')
    return found


def find_image(folder: Path, stem: str, where: str) -> Path:
    """Return the image `stem` in `folder`, whatever its suffix; DataError where none is."""
    base = inside(folder, stem, where)
    for suffix in SUFFIXES:
        path = base.with_name(base.name + suffix)
        if path.is_file():
            return path
    raise DataError(f'{base}.jpg: no such image, nor .png; {where} names it')


def image_size(path: Path) -> tuple[int, int]:
    """
    Return width and height of the image, upright by its EXIF orientation, from its header.

    Raises DataError where it is no image or exceeds `MAX_PIXELS` or `MAX_SIDE`.
    """
    with _header(path, path) as header:
        # 5 to 8 are the orientations by a quarter turn.
        turned = header.getexif().get(_EXIF_ORIENTATION, 1) in (5, 6, 7, 8)
        return (header.height, header.width) if turned else (header.width, header.height)


def read_image(path: Path) -> np.ndarray:
    """Return the image as uint8 [H, W, 3] RGB, turned upright by its EXIF orientation."""
    return cv2.cvtColor(_decode(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def read_mask(path: Path) -> np.ndarray:
    """
    Return the indices of a grey or palette image as uint8 [H, W]; DataError where it is another.

    The colours of a palette are left aside, as in the masks of Pascal VOC.
    """
    data = read_bytes(path, MAX_IMAGE_BYTES)
    with _header(path, io.BytesIO(data)) as header:
        if header.mode == 'P':
            try:
                return np.array(header, np.uint8)
            except (OSError, SyntaxError, ValueError) as error:
                raise DataError(f'{path}: cannot be decoded: {error}') from None
    mask = _decode(path, cv2.IMREAD_UNCHANGED)
    if mask.ndim != 2 or mask.dtype != np.uint8:
        channels = 1 if mask.ndim == 2 else mask.shape[2]
        raise DataError(f'{path}: {channels} channels of {mask.dtype}; a mask is a grey 8-bit '
                        'or a palette PNG of class indices; colours need `colors` in the manifest')
    return mask


def _decode(path: Path, flags: int) -> np.ndarray:
    data = read_bytes(path, MAX_IMAGE_BYTES)
    _header(path, io.BytesIO(data)).close()
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise DataError(f'{path}: cannot be decoded: {error.err}') from None
    if image is None:
        raise DataError(f'{path}: {_NO_IMAGE}')
    return image


def _header(path: Path, source: Path | io.BytesIO) -> PIL.Image.Image:
    """Return the image, not decoded yet, with its size checked."""
    import PIL.Image
    try:
        image = PIL.Image.open(source)
    except PIL.Image.DecompressionBombError:
        raise DataError(f'{path}: its header gives more than {MAX_PIXELS} pixels, the most that '
                        'is read; cut it') from None
    except PIL.UnidentifiedImageError:
        raise DataError(f'{path}: {_NO_IMAGE}') from None
    except OSError as error:
        raise DataError(f'{path}: cannot be read: {error.strerror or error}') from None
    except (SyntaxError, ValueError) as error:
        raise DataError(f'{path}: {_NO_IMAGE} ({error})') from None
    width, height = image.size
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        image.close()
        raise DataError(f'{path}: its header gives {width}x{height} pixels; at most {MAX_PIXELS} '
                        f'and sides up to {MAX_SIDE} are read; cut it')
    return image
