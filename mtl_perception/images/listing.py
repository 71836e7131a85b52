"""Finding image files by folder or by stem, with suffixes in any case."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mtl_perception.errors import DataError

SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')
"""Suffixes of image files in lower case; upper and mixed case are supported too."""


def is_image_name(path: Path) -> bool:
    """Return whether the suffix is that of an image."""
    return path.suffix.lower() in SUFFIXES


def list_images(folder: Path) -> list[Path]:
    """Return the image files in `folder`, sorted by name; DataError if there are none."""
    return _images(folder, '*')


def list_images_below(folder: Path) -> list[Path]:
    """Return the image files in `folder` and its subfolders, sorted; DataError if none."""
    return _images(folder, '**/*')


def find_image(base: Path, where: str) -> Path:
    """
    Return the image `base` plus a suffix, in any case; DataError, naming `where`, if none exists.

    With several suffixes, the first in `SUFFIXES` is used.
    """
    for suffix in (*SUFFIXES, *map(str.upper, SUFFIXES)):
        path = base.with_name(base.name + suffix)
        if path.is_file():
            return path
    if base.parent.is_dir():
        for path in sorted(base.parent.iterdir()):
            if path.name.startswith(f'{base.name}.') and is_image_name(path) \
                    and path.stem == base.name and path.is_file():
                return path
    raise DataError(f'{base}.jpg: no such image, nor .png; {where} names it')


def spread(count: int, most: int | None) -> Sequence[int]:
    """
    Return at most `most` of `count` indices in order, evenly spread; None: all of them.

    They are the middles of equal intervals, so neither end is preferred.
    """
    if most is None or most >= count:
        return range(count)
    return [(2 * index + 1) * count // (2 * most) for index in range(most)]


def _images(folder: Path, pattern: str) -> list[Path]:
    try:
        # `glob` ignores a folder that it may not read.
        next(folder.iterdir(), None)
        images = sorted(path for path in folder.glob(pattern)
                        if is_image_name(path) and path.is_file())
    except OSError as error:
        raise DataError(f'{folder}: cannot be read: {error.strerror}') from None
    if not images:
        raise DataError(f'{folder}: no images in this folder ({", ".join(SUFFIXES)})')
    return images
