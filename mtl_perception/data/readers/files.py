"""Files of a data set: texts with a size limit, lists of stems, pictures found by stem."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from mtl_perception.data.manifest import FlightSplit, SetSpec
from mtl_perception.errors import ConfigError, DataError

MAX_TEXT_BYTES = 16 << 20
"""Largest list or annotation of one picture that is read."""

MAX_IMAGE_BYTES = 512 << 20
"""Largest picture file that is read; OpenCV itself stops at 2^30 decoded pixels."""

SUFFIXES = ('.jpg', '.png', '.jpeg', '.JPG', '.PNG', '.JPEG', '.bmp', '.tif', '.tiff')


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


def split_file(spec: SetSpec, split: str) -> Path:
    """Return the file that lists `split`; ConfigError where the set has no such split."""
    entry = spec.splits.get(split)
    if entry is None or isinstance(entry, FlightSplit):
        raise ConfigError(
            f'data set {spec.name} has no split {split!r}; it has {", ".join(spec.splits)}')
    return spec.path / entry


def read_stems(path: Path) -> tuple[str, ...]:
    """Return the stems that `path` lists, one a line; DataError for one that occurs twice."""
    first_line: dict[str, int] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        stem = line.strip()
        if not stem:
            continue
        if stem in first_line:
            raise DataError(f'{path}: line {number}: {stem} is listed on line '
                            f'{first_line[stem]} already; remove one')
        first_line[stem] = number
    if not first_line:
        raise DataError(f'{path}: lists no picture')
    return tuple(first_line)


def find_image(folder: Path, stem: str, where: str) -> Path:
    """Return the picture `stem` in `folder`, whatever its suffix; DataError where none is."""
    base = inside(folder, stem, where)
    for suffix in SUFFIXES:
        path = base.with_name(base.name + suffix)
        if path.is_file():
            return path
    raise DataError(f'{base}.jpg: no such picture, nor .png; {where} names it')


def read_image(path: Path) -> np.ndarray:
    """Return the picture as uint8 [H, W, 3] RGB, turned upright by its EXIF orientation."""
    return cv2.cvtColor(_decode(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def read_mask(path: Path) -> np.ndarray:
    """Return the one-channel 8-bit picture as uint8 [H, W]; DataError where it is another."""
    mask = _decode(path, cv2.IMREAD_UNCHANGED)
    if mask.ndim != 2 or mask.dtype != np.uint8:
        channels = 1 if mask.ndim == 2 else mask.shape[2]
        raise DataError(f'{path}: {channels} channels of {mask.dtype}; a mask is a grey 8-bit '
                        'PNG of class indices (a palette PNG must be converted)')
    return mask


def _decode(path: Path, flags: int) -> np.ndarray:
    data = np.frombuffer(read_bytes(path, MAX_IMAGE_BYTES), np.uint8)
    try:
        image = cv2.imdecode(data, flags) if data.size else None
    except cv2.error as error:
        raise DataError(f'{path}: cannot be decoded: {error.err}') from None
    if image is None:
        raise DataError(f'{path}: is not a picture that OpenCV can decode, or is cut short')
    return image
